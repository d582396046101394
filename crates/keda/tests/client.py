"""Asks an external scaler what KEDA would ask, by a client that Google's tools made from the proto file.

    client.py PROTO_DIRECTORY ADDRESS

Prints one line of JSON for each thing that it heard. The stream is opened first, and stays open.
"""

import json
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

protos, address = sys.argv[1:]
with tempfile.TemporaryDirectory() as made:
    name = "externalscaler.proto"
    code = protoc.main(["protoc", f"-I{protos}", f"--python_out={made}", f"--grpc_python_out={made}", name])
    assert code == 0 and sorted(path.name for path in Path(made).iterdir())
    sys.path.insert(0, made)
    import externalscaler_pb2 as wire
    import externalscaler_pb2_grpc as service


def say(what: str, **heard) -> None:
    print(json.dumps({"what": what, **heard}), flush=True)


def metrics(scaler, name: str) -> list:
    answer = scaler.GetMetrics(wire.GetMetricsRequest(scaledObjectRef=trigger, metricName=name))
    return [[value.metricName, value.metricValue, value.metricValueFloat] for value in answer.metricValues]


trigger = wire.ScaledObjectRef(name="workers", namespace="muster", scalerMetadata={"target": "2.5"})
with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
    scaler = service.ExternalScalerStub(channel)
    stream = scaler.StreamIsActive(trigger)
    say("stream", active=next(stream).result)
    specs = scaler.GetMetricSpec(trigger).metricSpecs
    say("spec", specs=[[spec.metricName, spec.targetSize, spec.targetSizeFloat] for spec in specs])
    say("metrics", values=metrics(scaler, specs[0].metricName))
    # Until something waits.
    say("stream", active=next(stream).result)
    say("active", active=scaler.IsActive(trigger).result)
    say("metrics", values=metrics(scaler, specs[0].metricName))
    try:
        metrics(scaler, "moons")
    except grpc.RpcError as error:
        say("refused", code=error.code().name, detail=error.details())
    # Ends with the server.
    say("end", heard=sum(1 for _ in stream))
