"""The CloudFormation template: cfn-lint. That Muster takes what it makes is a test of the server (`fleet.rs`)."""

from programs import BIN, DEPLOY, lines, run

# Each has all that the template names, and resource types may differ between them.
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2")


def check() -> list[str]:
    return lines(run(BIN / "cfn-lint", "--format", "parseable", "--regions", *REGIONS, "--", DEPLOY / "aws/muster.yaml"))
