"""The units: systemd-analyze, and what Muster and Chromium want of them."""

import configparser
import shutil
import tempfile
from pathlib import Path

from programs import DEPLOY, lines, run

UNITS = ("muster.service", "muster@.service")
PROGRAM = "/usr/local/bin/muster"
# Without these calls are lost, and with those of NEVER there is no browser.
WANTED = {
    "LimitNOFILE": "1000000",
    "KillMode": "mixed",
    "TimeoutStopSec": "4h 10min",
    "OOMPolicy": "continue",
    "Delegate": "yes",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "User": "muster",
}
NEVER = ("MemoryDenyWriteExecute", "RestrictNamespaces", "ProtectControlGroups", "SystemCallFilter")
# Of `systemd-analyze security`, in tenths: what was reached, so that nothing is given up unseen.
MOST_EXPOSED = 45


class Unit(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def check() -> list[str]:
    wrong = []
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text()
        unit = Unit(strict=False)
        unit.read_string(text)
        service = unit["Service"]
        wrong += [f"{name}: {key} has to be {value}" for key, value in WANTED.items() if service.get(key) != value]
        wrong += [f"{name}: {key} leaves Chromium or the bots' groups no chance" for key in NEVER if key in service]
        if not service["ExecStart"].startswith(f"{PROGRAM} serve"):
            wrong.append(f"{name}: ExecStart is {service['ExecStart']}")
        wrong += [f"{name}: {line}" for line in analyzed(name, text)]
    return wrong


def analyzed(name: str, text: str) -> list[str]:
    """What systemd says of it. The program is not installed here, so that another stands for it."""
    if not shutil.which("systemd-analyze"):
        return ["systemd-analyze is not there: tools/setup.sh deploy"]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, name)
        file.write_text(text.replace(PROGRAM, "/bin/true"))
        said = lines(run("systemd-analyze", "verify", file))
        secured = run("systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", file)
    if secured.returncode:
        said += (secured.stdout + secured.stderr).strip().splitlines()[-1:]
    return said
