#!/usr/bin/env python3
"""SQS and DynamoDB on this machine, played by ministack, for as long as a command runs.

    .tools/venv-aws/bin/python tools/aws.py [--port N] [COMMAND [ARGUMENT...]]

Starts ministack on a free loopback port (or N), waits until it answers, sets MUSTER_TEST_AWS_URL, MUSTER_TEST_AWS_PYTHON (which
runs tools/stack.py) and what the SDK takes for credentials for COMMAND, and ends with its exit code. Without COMMAND it prints the URL and stays until Ctrl-C or SIGTERM.
Everything is in memory. The server never outlives this program.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import beside

# Starting takes half a second; a machine that is busy building needs more.
START_SECONDS = 60
# Any will do. The metadata service of a cloud host would answer late or never.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def start(directory: Path, port: int):
    port = port or beside.free_port()
    url = f"http://127.0.0.1:{port}"
    with open(directory / "log", "wb") as log:
        server = beside.spawn(
            [str(Path(sys.executable).with_name("ministack"))],
            env={**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "PERSIST_STATE": "0"},
            cwd=directory,
            stdout=log,
            stderr=log,
        )

    def ready():
        wait_until_ready(server, url, directory)
        return url, {**ENVIRONMENT, "MUSTER_TEST_AWS_URL": url, "MUSTER_TEST_AWS_PYTHON": sys.executable}

    return server, ready


def wait_until_ready(server: subprocess.Popen, url: str, directory: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(f"{url}/_ministack/health", timeout=5).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    log = (directory / "log").read_text(errors="replace").splitlines()
    sys.exit("\n".join(["aws: ministack did not answer:", *log[-20:]]))


if __name__ == "__main__":
    sys.exit(beside.main(__doc__, "aws", start))
