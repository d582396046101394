"""A server on this machine, for as long as a command runs: what whisper.py, redis.py and aws.py have in common."""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Callable, Iterator

# A server that runs, once `ready` has its address and what a command finds it by.
Starting = Callable[[Path, int], tuple[subprocess.Popen, Callable[[], tuple[str, dict[str, str]]]]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def spawn(command: list[str], **options) -> subprocess.Popen:
    """In a session of its own, so that a Ctrl-C for the other command leaves it alone until that is done."""
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)


def until(log: Iterator[str], told: Callable[[str], object], failed: str):
    """What `told` makes of the first line that it makes something of; the rest of the log is read and dropped."""
    lines = []
    for line in log:
        lines.append(line)
        found = told(line)
        if found:
            threading.Thread(target=lambda: [None for _ in log], daemon=True).start()
            return found
    sys.exit(f"{failed}:\n" + "".join(lines[-20:]))


def run(command: list[str], environment: dict[str, str]) -> int:
    """Its exit code. Ctrl-C reaches it by itself; SIGTERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def end(server: subprocess.Popen, grace_seconds: float) -> None:
    if grace_seconds:
        server.terminate()
    try:
        server.wait(timeout=grace_seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(about: str, name: str, start: Starting, grace_seconds: float = 0) -> int:
    """The program: its arguments, the server in a temporary directory, the command or its address, and the end of both."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0, the default, takes a free one")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix=f"muster-{name}-", ignore_cleanup_errors=True) as directory:
        server, ready = start(Path(directory), args.port)
        try:
            url, environment = ready()
            if args.command:
                return run(args.command, environment)
            print(url, flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 130
        finally:
            end(server, grace_seconds)
