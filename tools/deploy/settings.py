"""That every setting in deploy/ is one of Muster's."""

import re
from pathlib import Path

import yaml

import chart
from programs import DEPLOY, ROOT

# Read from the environment without being keys of the configuration.
OTHERS = {"MUSTER_API_KEY", "MUSTER_CONFIG", "MUSTER_LOG"}
# Coming, and not in config.default.toml yet.
COMING: set[str] = set()


def known() -> set[str]:
    """Keys of config.default.toml, as patterns: NAME stands for any name."""
    keys, section = set(), ""
    for line in (ROOT / "config.default.toml").read_text().splitlines():
        if found := re.fullmatch(r"\[([\w.]+)\]", line):
            section = found[1] + "."
        elif found := re.match(r"# ([a-z0-9_]+) = ", line):
            keys.add(section + found[1])
    return keys


def variable(key: str) -> str:
    return "MUSTER_" + key.replace(".", "__").upper()


def check() -> list[str]:
    keys = known()
    wrong = [f"{key} is in config.default.toml now: take it out of COMING" for key in sorted(COMING & keys)]
    keys |= COMING
    patterns = [re.compile(variable(key).replace("NAME", r"[A-Z0-9_-]+?")) for key in keys]
    for where, name in mentioned():
        if name not in OTHERS and not any(pattern.fullmatch(name) for pattern in patterns):
            wrong.append(f"{where}: {name} is no setting")
    for where, key in configured():
        if key not in keys:
            wrong.append(f"{where}: {key} is no key of the configuration")
    return wrong


def files() -> list[Path]:
    there = sorted(file for file in DEPLOY.rglob("*") if file.is_file())
    return [*there, ROOT / "docs/deploy.md"]


def mentioned() -> list[tuple[str, str]]:
    """Every variable, in files and in what the chart makes."""
    found = []
    for file in files():
        names = re.findall(r"\bMUSTER_[A-Z0-9_]*[A-Z0-9]", re.sub(r"MUSTER_…", "", file.read_text()))
        found += [(str(file.relative_to(ROOT)), name) for name in names]
    for values in chart.forms():
        for document in chart.documents(values):
            if document["kind"] == "ConfigMap":
                found += [(f"chart ({values or 'default'})", name) for name in document["data"]]
    return sorted(set(found))


def configured() -> list[tuple[str, str]]:
    """Keys that the chart's values set, and those that comments and documents name in backquotes or parentheses."""
    found = []
    for file in [chart.CHART / "values.yaml", *(chart.CHART / "ci").glob("*.yaml")]:
        values = yaml.safe_load(file.read_text()) or {}
        found += [(str(file.relative_to(ROOT)), key) for key in values.get("config", {})]
    sections = "|".join(sorted({key.split(".")[0] for key in known() | COMING if "." in key}))
    for file in files():
        keys = re.findall(rf"[`(]((?:{sections})(?:\.[a-z0-9_]+)+)[`)]", file.read_text())
        found += [(str(file.relative_to(ROOT)), key) for key in keys]
    return sorted(set(found))
