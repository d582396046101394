#!/usr/bin/env python3
"""Makes a stack of a CloudFormation template on the emulator that `tools/aws.py` runs, and waits until it is there.

    .tools/venv-aws/bin/python tools/stack.py TEMPLATE NAME [PARAMETER=VALUE...]

Prints the stack's outputs as one JSON object. Ends with 1, and says which resource failed and why, if it could not be made.

What ministack leaves out of a DynamoDB table that a template describes is added by the service's own calls, with the values of
the template: its time to live, and indexes that say that they are ready.
"""

import json
import os
import sys
import time
from pathlib import Path

import botocore.session
import yaml

# The emulator takes less than a second. A machine that is busy building needs more.
PATIENCE_SECONDS = 120


class Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which are read as what they would be in JSON."""


def intrinsic(loader: yaml.Loader, suffix: str, node: yaml.Node):
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
    value = kinds.get(type(node), loader.construct_mapping)(node, *([] if type(node) is yaml.ScalarNode else [True]))
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Template.add_multi_constructor("!", intrinsic)


def client(service: str):
    url = os.environ["MUSTER_TEST_AWS_URL"]
    return botocore.session.get_session().create_client(service, endpoint_url=url, region_name="us-east-1")


def create(stacks, name: str, body: str, parameters: dict[str, str]) -> dict:
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    stacks.create_stack(
        StackName=name, TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_NAMED_IAM"], OnFailure="DO_NOTHING"
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        stack = stacks.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.1)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = stacks.describe_stack_events(StackName=name)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        said = [f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed]
        sys.exit("\n".join([f"stack {name}: {stack['StackStatus']}", *said]))
    return stack


def complete_table(dynamodb, table: str, properties: dict) -> None:
    """What is there and says that it is ready stays as it is."""
    there = dynamodb.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes", [])
    unready = {index["IndexName"] for index in there if "IndexStatus" not in index}
    for index in properties.get("GlobalSecondaryIndexes", []):
        if index["IndexName"] in unready:
            attributes = [
                attribute
                for attribute in properties["AttributeDefinitions"]
                if attribute["AttributeName"] in {key["AttributeName"] for key in index["KeySchema"]}
            ]
            for update in {"Delete": {"IndexName": index["IndexName"]}}, {"Create": index}:
                dynamodb.update_table(
                    TableName=table, AttributeDefinitions=attributes, GlobalSecondaryIndexUpdates=[update]
                )
    ttl = properties.get("TimeToLiveSpecification")
    is_now = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if ttl and is_now == "DISABLED":
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=ttl)


def main(path: str, name: str, *parameters: str) -> None:
    body = Path(path).read_text()
    stacks = client("cloudformation")
    stack = create(stacks, name, body, dict(parameter.split("=", 1) for parameter in parameters))
    described = yaml.load(body, Template)["Resources"]
    for resource in stacks.describe_stack_resources(StackName=name)["StackResources"]:
        if resource["ResourceType"] == "AWS::DynamoDB::Table":
            properties = described[resource["LogicalResourceId"]]["Properties"]
            complete_table(client("dynamodb"), resource["PhysicalResourceId"], properties)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    print(json.dumps(outputs))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
