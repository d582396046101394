"""What deploy/ is checked by, without a network, a container engine or a cluster.

    .tools/venv-deploy/bin/python tools/deploy [check [NAME...]]    all checks, or some: docker compose chart aws systemd settings
    .tools/venv-deploy/bin/python tools/deploy render               write deploy/kubernetes, of the chart

Says what is wrong, one line each, and ends with 1. `tools/setup.sh deploy` installs what it needs.
"""

import sys

import aws
import chart
import compose
import docker
import settings
import systemd

CHECKS = {
    "docker": docker.check,
    "compose": compose.check,
    "chart": chart.check,
    "aws": aws.check,
    "systemd": systemd.check,
    "settings": settings.check,
}


def main(command: str = "check", *names: str) -> int:
    if command == "render" and not names:
        chart.write()
        return 0
    if command != "check" or not set(names) <= set(CHECKS):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = 0
    for name in names or CHECKS:
        for complaint in CHECKS[name]():
            print(f"deploy: {name}: {complaint}", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
