#!/usr/bin/env python3
"""A Redis on this machine for as long as a command runs.

    tools/redis.py [--port N] [COMMAND [ARGUMENT...]]

Starts redis-server on a free loopback port (or N), with an append-only file in a temporary directory that is written before
every acknowledgement, waits until it takes commands, sets MUSTER_TEST_REDIS_URL for COMMAND, and ends with its exit code.
The server is a cluster of one node: that refuses what touches keys of several slots, so the tests see it.
Without COMMAND it prints the URL and stays until Ctrl-C or SIGTERM. Server and file never outlive this program.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

import beside

START_SECONDS = 30


def start(directory: Path, port: int):
    port = port or beside.free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "daemonize": "no",
        "logfile": "",
        "cluster-enabled": "yes",
        "cluster-port": str(beside.free_port()),
    }
    command = ["redis-server"]
    for name, value in settings.items():
        command += [f"--{name}", value]
    server = beside.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ready():
        accepts = lambda line: "Ready to accept connections" in line
        beside.until(server.stdout, accepts, "redis: the server ended before it was ready")
        own_all_slots(port)
        url = f"redis://127.0.0.1:{port}/"
        return url, {"MUSTER_TEST_REDIS_URL": url}

    return server, ready


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


if __name__ == "__main__":
    sys.exit(beside.main(__doc__, "redis", start))
