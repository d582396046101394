"""The image: hadolint, and what it cannot know: that what is copied, built and installed exists."""

import re
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from programs import BIN, DEPLOY, ROOT, lines, run

FILE = DEPLOY / "docker/Dockerfile"
DEBIAN = "bookworm"


def instructions(text: str) -> list[tuple[str, str]]:
    """Each with its arguments, continued lines joined and comments gone."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def check() -> list[str]:
    wrong = lines(run(BIN / "hadolint", "--no-color", "--config", DEPLOY / "docker/hadolint.yaml", FILE))
    known = instructions(FILE.read_text())
    copied = [words.split()[:-1] for name, words in known if name == "COPY" and "--from=" not in words]
    wrong += absent([path for paths in copied for path in paths])
    wrong += toolchain(known)
    for name, words in known:
        if name == "RUN" and "apt-get install" in words:
            installed = words.split("apt-get install", 1)[1].split("&&")[0].split()
            wrong += unknown([word for word in installed if not word.startswith("-")])
    user = [words for name, words in known if name == "USER"]
    if not user or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[-1]):
        wrong.append(f"{FILE.name}: the last USER has to be a number that is not root's")
    return wrong


def absent(paths: list[str]) -> list[str]:
    """Of the sources of COPY."""
    rules = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    wrong = []
    for path in paths:
        if not (ROOT / path).exists():
            wrong.append(f"COPY {path}: there is no such path")
        if not any(fnmatch(path, rule) for rule in sent):
            wrong.append(f"COPY {path}: Dockerfile.dockerignore keeps it out")
    return wrong


def toolchain(known: list[tuple[str, str]]) -> list[str]:
    channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    [image] = [words.split()[0] for name, words in known if name == "FROM" and words.startswith("rust:")]
    wanted = f"rust:{channel.removesuffix('.0')}-{DEBIAN}"
    wrong = [] if image == wanted else [f"FROM {image}: rust-toolchain.toml wants {wanted}"]
    package = tomllib.loads((ROOT / "crates/server/Cargo.toml").read_text())
    built = next(words for name, words in known if name == "RUN" and "cargo build" in words)
    for flag, value in re.findall(r"--(package|features|bin) (\S+)", built):
        there = {
            "package": [package["package"]["name"]],
            "features": [f"{package['package']['name']}/{feature}" for feature in package["features"]],
            "bin": [program["name"] for program in package.get("bin", [])],
        }[flag]
        if value not in there:
            wrong.append(f"cargo build --{flag} {value}: there is none, only {', '.join(there)}")
    return wrong


def unknown(packages: list[str]) -> list[str]:
    """Of Debian's packages, as this machine knows them, if it is the same Debian."""
    release = Path("/etc/os-release")
    if not shutil.which("apt-cache") or f"VERSION_CODENAME={DEBIAN}" not in release.read_text():
        print(f"deploy: docker: no Debian {DEBIAN} here, so its packages were not looked for")
        return []
    said = run("apt-cache", "policy", *packages).stdout
    found = dict(re.findall(r"^(\S+):\n(?:.*\n)?  Candidate: (\S+)", said, re.MULTILINE))
    return [f"apt-get install {name}: Debian has no such package" for name in packages if found.get(name, "(none)") == "(none)"]
