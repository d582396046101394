#!/usr/bin/env python3
"""Amazon's services on this machine, for as long as a command runs: ministack plays SQS, DynamoDB, ECS and CloudWatch, moto EC2
Auto Scaling.

    .tools/venv-aws/bin/python tools/aws.py [--port N] [COMMAND [ARGUMENT...]]

Starts ministack on a free loopback port (or N) and moto on another, waits until they answer, sets MUSTER_TEST_AWS_URL,
MUSTER_TEST_MOTO_URL, MUSTER_TEST_AWS_PYTHON (which runs tools/stack.py) and what the SDK takes for credentials for COMMAND, and ends
with its exit code. Without COMMAND it prints ministack's URL and stays until Ctrl-C or SIGTERM. Everything is in memory. No server
outlives this program.
"""

import atexit
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


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def start_moto(directory: Path):
    port = beside.free_port()
    url = f"http://127.0.0.1:{port}"
    with open(directory / "moto.log", "wb") as log:
        command = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = beside.spawn(command, cwd=directory, stdout=log, stderr=log)
    atexit.register(beside.end, server, 0)

    def ready() -> str:
        wait_until_ready(server, "moto", f"{url}/moto-api/", directory / "moto.log")
        return url

    return ready


def start(directory: Path, port: int):
    port = port or beside.free_port()
    url = f"http://127.0.0.1:{port}"
    moto = start_moto(directory)
    with open(directory / "log", "wb") as log:
        server = beside.spawn(
            [program("ministack")],
            env={**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "PERSIST_STATE": "0"},
            cwd=directory,
            stdout=log,
            stderr=log,
        )

    def ready():
        wait_until_ready(server, "ministack", f"{url}/_ministack/health", directory / "log")
        told = {"MUSTER_TEST_AWS_URL": url, "MUSTER_TEST_MOTO_URL": moto(), "MUSTER_TEST_AWS_PYTHON": sys.executable}
        return url, {**ENVIRONMENT, **told}

    return server, ready


def wait_until_ready(server: subprocess.Popen, name: str, url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(url, timeout=5).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    lines = log.read_text(errors="replace").splitlines()
    sys.exit("\n".join([f"aws: {name} did not answer:", *lines[-20:]]))


if __name__ == "__main__":
    sys.exit(beside.main(__doc__, "aws", start))
