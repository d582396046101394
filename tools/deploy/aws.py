"""The CloudFormation template: cfn-lint, and how long and how much workers have. That Muster takes what it makes is a test of the server
(`fleet.rs`)."""

import yaml

from compose import seconds
from programs import BIN, DEPLOY, lines, run

# Each has all that the template names, and resource types may differ between them.
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")


TEMPLATE = DEPLOY / "aws/muster.yaml"
# worker.stop_grace, and for what is to be written after it.
LEAVING = 30


class Loader(yaml.SafeLoader):
    """Functions of CloudFormation are the lists, mappings or texts that they are given."""


def given(loader: Loader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)


Loader.add_multi_constructor("!", given)


def worker() -> list[str]:
    """It sees its limit of memory. On Fargate and elsewhere, bots have time to leave between the end of their calls and that of their worker."""
    task = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]["WorkerTask"]["Properties"]["ContainerDefinitions"][0]
    environment = {entry["Name"]: entry["Value"] for entry in task["Environment"]}
    if task.get("Memory") != "WorkerMemory":
        return ["aws: the worker does not see how much memory it has: its container needs the task's Memory"]
    condition, *timeouts = task["StopTimeout"]
    same, *deadlines = environment["MUSTER_WORKER__STOP_DEADLINE"]
    if condition != same or len(timeouts) != len(deadlines):
        return ["aws: StopTimeout and worker.stop_deadline of the worker go by different conditions"]
    pairs = zip(timeouts, deadlines, strict=True)
    late = [(stop, deadline) for stop, deadline in pairs if stop < seconds(deadline) + LEAVING]
    return [f"aws: StopTimeout of {stop} s is too short for a worker.stop_deadline of {deadline}" for stop, deadline in late]


def check() -> list[str]:
    lint = lines(run(BIN / "cfn-lint", "--format", "parseable", "--regions", *REGIONS, "--", TEMPLATE))
    return lint + worker()
