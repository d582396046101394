"""The chart, in every form that it has, and deploy/kubernetes, which is rendered from it."""

import re
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from programs import BIN, DEPLOY, lines, lost, run

CHART = DEPLOY / "helm/muster"
KUBERNETES = DEPLOY / "kubernetes"
SCHEMA = "1.37"
# What goes where, of which values besides the defaults.
MANIFESTS = {"keda-scaledjob": None, "keda-scaledobject": "scaledobject-push", "deployment": "fixed"}
# Values that values.schema.json has to refuse.
REFUSED = (
    "workers.kind=statefulset",
    "workers.trigger=external-push",  # KEDA ignores it of Jobs
    "workers.bots=0",
    "worker.bots=4",
    "config.public_url=bots",
    "workers.drainSeconds=4h",
    "networkPolicy.kubernetesApi={10.96.0.1}",
)
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: muster
  labels:
    # What these pods keep to.
    pod-security.kubernetes.io/enforce: restricted
"""


def template(values: str | None, *more: str):
    files = ["--values", CHART / f"ci/{values}.yaml"] if values else []
    return run(BIN / "helm", "template", "muster", CHART, "--namespace", "muster", *files, *more)


def manifest(values: str | None) -> str:
    rendered = template(values)
    if rendered.returncode:
        raise SystemExit(rendered.stderr)
    documents = [part.strip() for part in rendered.stdout.split("\n---")]
    kept = [part for part in documents if yaml.safe_load(part)]
    said = "# Rendered from deploy/helm/muster by `make render`. Change the chart.\n"
    return said + "\n---\n".join([NAMESPACE.strip(), *(part.removeprefix("---\n") for part in kept)]) + "\n"


def write() -> None:
    KUBERNETES.mkdir(exist_ok=True)
    for name, values in MANIFESTS.items():
        (KUBERNETES / f"{name}.yaml").write_text(manifest(values))


def forms() -> list[str | None]:
    return [None, *sorted(file.stem for file in (CHART / "ci").glob("*.yaml"))]


def documents(values: str | None) -> list[dict]:
    return [document for document in yaml.safe_load_all(template(values).stdout) if document]


def check() -> list[str]:
    wrong = []
    for values in forms():
        name = values or "default"
        files = ["--values", CHART / f"ci/{values}.yaml"] if values else []
        linted = run(BIN / "helm", "lint", "--strict", "--quiet", CHART, *files)
        if linted.returncode:
            wrong += [f"{name}: {line}" for line in lines(linted)]
            continue
        for document in documents(values):
            where = f"{name}: {document['kind']} {document['metadata']['name']}"
            wrong += [f"{where}: {complaint}" for complaint in judged(document)]
    for setting in REFUSED:
        if template(None, "--set", setting).returncode == 0:
            wrong.append(f"values.schema.json takes {setting}")
    for name, values in MANIFESTS.items():
        file = KUBERNETES / f"{name}.yaml"
        if not file.exists() or file.read_text() != manifest(values):
            wrong.append(f"{file.name} is not what the chart renders: make render")
    strangers = {file.stem for file in KUBERNETES.glob("*.yaml")} - set(MANIFESTS)
    return wrong + [f"kubernetes/{name}.yaml is rendered from nothing" for name in strangers]


def judged(document: dict) -> list[str]:
    wrong = against_schema(document)
    if document["kind"] == "ConfigMap":
        numbers = [f"{name} is {value}" for name, value in document["data"].items() if re.fullmatch(r"[\d.]+e[+-]?\d+", value)]
        wrong += [f"{number}, which no setting takes" for number in numbers]
    if document["kind"] == "ScaledJob":
        # What KEDA makes of it.
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": document["spec"]["jobTargetRef"]}
        wrong += against_schema(job)
        if document["spec"].get("rollout") != {"strategy": "gradual"}:
            wrong.append("another rollout than `gradual` ends calls")
        if document["spec"]["jobTargetRef"]["template"]["spec"].get("restartPolicy") != "Never":
            wrong.append("restartPolicy has to be Never: a worker that ended is over")
        if document["spec"]["jobTargetRef"]["backoffLimit"] != 0:
            wrong.append("backoffLimit has to be 0: the queue tries again")
    pod = (document["spec"].get("jobTargetRef") or document["spec"]).get("template") if "spec" in document else None
    return wrong + (guarded(pod) if pod else [])


def against_schema(document: dict) -> list[str]:
    try:
        if not document["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(document, SCHEMA, strict=True)
            return []
        read = getattr(keda, document["kind"]).model_validate(document)
    except Exception as error:  # noqa: BLE001: both have many kinds
        return [" ".join(str(error).split())]
    kept = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [f"KEDA knows no {path}" for path in lost(document, kept)]


def guarded(template: dict) -> list[str]:
    """What every pod of Muster keeps to."""
    pod = template["spec"]
    role = template["metadata"]["labels"]["app.kubernetes.io/component"]
    security = pod["securityContext"]
    wrong = []
    if not (security.get("runAsNonRoot") and security.get("runAsUser", 0) > 0):
        wrong.append("it may run as root")
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        wrong.append("no seccomp profile")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for container in pod["containers"]:
        own = container["securityContext"]
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        if own != wanted:
            wrong.append(f"its securityContext is {own}")
        if not {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}:
            wrong.append("it has nowhere to write")
        if not {"requests", "limits"} <= set(container["resources"]):
            wrong.append("no resources")
    if role == "worker":
        wrong += asked_of_workers(pod, volumes)
    elif pod["automountServiceAccountToken"]:
        wrong.append("it needs no token")
    return wrong


def asked_of_workers(pod: dict, volumes: dict) -> list[str]:
    wrong = []
    if pod["terminationGracePeriodSeconds"] <= 4 * 3600:
        wrong.append("its grace is not longer than worker.drain_deadline")
    if volumes.get("shm", {}).get("emptyDir", {}).get("medium") != "Memory":
        wrong.append("/dev/shm is not in memory")
    if "readinessProbe" in pod["containers"][0]:
        wrong.append("KEDA takes a worker that drains for one that starts, if it has a readinessProbe")
    return wrong
