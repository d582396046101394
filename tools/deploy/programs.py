"""Where things are, and how programs are asked about them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
BIN = Path(sys.prefix) / "bin"


def run(*command: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)


def lines(ran: subprocess.CompletedProcess) -> list[str]:
    """What a program that should have said nothing said; its exit code, if it said nothing and failed."""
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    return said or ([f"{ran.args[0]} ended with {ran.returncode}"] if ran.returncode else [])


def lost(given, kept, path: str = "") -> list[str]:
    """What of `given` is not in `kept`, as paths: what somebody who read it did not know."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            where
            for key, value in given.items()
            for where in (lost(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"])
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [where for at, pair in enumerate(zip(given, kept)) for where in lost(*pair, f"{path}[{at}]")]
    return [] if given == kept else [path]
