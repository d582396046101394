"""The Compose file: its grammar, and what Muster wants of it."""

import re

import compose_spec
import yaml

from programs import DEPLOY

FILE = DEPLOY / "compose/compose.yaml"
ROLES = ("api", "worker", "hooks", "control")
# docs/operations.md, on Redis.
REDIS = {"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction"}
UNITS = {"h": 3600, "m": 60, "s": 1}


class Missing(Exception):
    pass


def interpolate(text: str, variables: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?message}`, as Compose does it."""

    def value(found: re.Match) -> str:
        name, how, rest = found.groups()
        if variables.get(name):
            return variables[name]
        if how == ":?":
            raise Missing(name)
        return rest or ""

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def example() -> dict[str, str]:
    rows = (DEPLOY / "compose/.env.example").read_text().splitlines()
    return dict(row.split("=", 1) for row in rows if row and not row.startswith("#"))


def seconds(text: str) -> int:
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([hms])", text))


def check() -> list[str]:
    text = FILE.read_text()
    given = example()
    used = set(re.findall(r"\$\{(\w+)", re.sub(r"(?m)^\s*#.*$", "", text)))
    wrong = [f".env.example has {name}, which nothing uses" for name in given if name not in used]
    for secret in ("MUSTER_API_KEY", "REDIS_PASSWORD"):
        try:
            interpolate(text, {"MUSTER_API_KEY": "x", "REDIS_PASSWORD": "x"} | {secret: ""})
            wrong.append(f"it starts without {secret}")
        except Missing:
            pass
    variables = given | {"MUSTER_API_KEY": "secret-key", "REDIS_PASSWORD": "secret"}
    document = yaml.safe_load(interpolate(text, variables))
    plain = {key: value for key, value in document.items() if not key.startswith("x-")}
    try:
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(plain))
    except Exception as error:  # noqa: BLE001: whatever it calls its errors
        return [*wrong, str(error)]
    return wrong + asked(plain["services"], plain.get("volumes", {}))


def asked(services: dict, volumes: dict) -> list[str]:
    wrong = []
    if set(services) != {"redis", *ROLES}:
        wrong.append(f"services are {sorted(services)}")
    command = services["redis"]["command"]
    for flag, value in REDIS.items():
        if dict(zip(command, command[1:])).get(flag) != value:
            wrong.append(f"redis: {flag} has to be {value}")
    for name, service in services.items():
        if "healthcheck" not in service:
            wrong.append(f"{name}: no healthcheck")
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in volumes:
                wrong.append(f"{name}: there is no volume {volume}")
    for role in ROLES:
        service = services[role]
        if service["command"] != ["serve", role]:
            wrong.append(f"{role}: its command is {service['command']}")
        if service["ulimits"]["nofile"] != {"soft": 1000000, "hard": 1000000}:
            wrong.append(f"{role}: nofile has to be 1000000")
        for name, value in service["environment"].items():
            if isinstance(value, bool):
                wrong.append(f"{role}: {name} has to be in quotes")
        if "media:/media" not in service["volumes"]:
            wrong.append(f"{role}: no recordings")
    worker = services["worker"]
    if seconds(worker["stop_grace_period"]) <= seconds(worker["environment"]["MUSTER_WORKER__DRAIN_DEADLINE"]):
        wrong.append("worker: stop_grace_period has to be longer than worker.drain_deadline")
    if worker["shm_size"] != "1gb":
        wrong.append("worker: shm_size has to be 1gb")
    return wrong
