#!/usr/bin/env python3
"""SQS and DynamoDB on this machine, played by ministack, for as long as a command runs.

    .tools/venv-aws/bin/python tools/aws.py [--port N] [COMMAND [ARGUMENT...]]

Starts ministack on a free loopback port (or N), waits until it answers, sets MUSTER_TEST_AWS_URL and what the SDK takes for
credentials for COMMAND, and ends with its exit code. Without COMMAND it prints the URL and stays until Ctrl-C or SIGTERM.
Everything is in memory. The server never outlives this program.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

# Starting takes half a second; a machine that is busy building needs more.
START_SECONDS = 60
# Any will do. The metadata service of a cloud host would answer late or never.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(directory: Path, port: int) -> subprocess.Popen:
    """The server. In a session of its own, so that a Ctrl-C for COMMAND leaves it alone until COMMAND is done."""
    command = [str(Path(sys.executable).with_name("ministack"))]
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with open(directory / "log", "wb") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "PERSIST_STATE": "0"},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


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


def run(command: list[str], url: str) -> int:
    """COMMAND's exit code. Ctrl-C reaches it by itself; SIGTERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        env={**os.environ, **ENVIRONMENT, "MUSTER_TEST_AWS_URL": url},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0, the default, takes a free one")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="muster-aws-", ignore_cleanup_errors=True) as directory:
        port = args.port or free_port()
        server = start(Path(directory), port)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(server, url, Path(directory))
            if args.command:
                return run(args.command, url)
            print(url, flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 130
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
