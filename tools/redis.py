#!/usr/bin/env python3
"""A Redis on this machine for as long as a command runs.

    tools/redis.py [--port N] [COMMAND [ARGUMENT...]]

Starts redis-server on a free loopback port (or N), with an append-only file in a temporary directory that is written before
every acknowledgement, waits until it takes commands, sets MUSTER_TEST_REDIS_URL for COMMAND, and ends with its exit code.
The server is a cluster of one node: that refuses what touches keys of several slots, so the tests see it.
Without COMMAND it prints the URL and stays until Ctrl-C or SIGTERM. Server and file never outlive this program.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(directory: str, port: int) -> subprocess.Popen:
    """The server. In a session of its own, so that a Ctrl-C for COMMAND leaves it alone until COMMAND is done."""
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": directory,
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "daemonize": "no",
        "logfile": "",
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),
    }
    command = ["redis-server"]
    for name, value in settings.items():
        command += [f"--{name}", value]
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until_ready(server: subprocess.Popen) -> None:
    """Reads the server's log until it takes commands; the rest of the log is read and dropped."""
    log = []
    for line in server.stdout:
        log.append(line)
        if "Ready to accept connections" in line:
            threading.Thread(target=lambda: [None for _ in server.stdout], daemon=True).start()
            return
    sys.exit("redis: the server ended before it was ready:\n" + "".join(log[-20:]))


def ask(port: int, command: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
        connection.sendall(f"{command}\r\nQUIT\r\n".encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def own_all_slots(port: int) -> None:
    ask(port, "CLUSTER ADDSLOTSRANGE 0 16383")
    deadline = time.monotonic() + START_SECONDS
    while "cluster_state:ok" not in (info := ask(port, "CLUSTER INFO")):
        if time.monotonic() > deadline:
            sys.exit(f"redis: the server does not take its slots:\n{info}")
        time.sleep(0.02)


def run(command: list[str], url: str) -> int:
    """COMMAND's exit code. Ctrl-C reaches it by itself; SIGTERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        env={**os.environ, "MUSTER_TEST_REDIS_URL": url},
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
    with tempfile.TemporaryDirectory(prefix="muster-redis-", ignore_cleanup_errors=True) as directory:
        port = args.port or free_port()
        server = start(directory, port)
        try:
            wait_until_ready(server)
            own_all_slots(port)
            url = f"redis://127.0.0.1:{port}/"
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
