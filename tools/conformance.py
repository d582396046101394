#!/usr/bin/env python3
"""Counts which cases of the conformance suites ran on which backend, from nextest's JUnit report, and fails if one is missing.

A case is a function of a suite, as it is or under a fault: what `queue_conformance!` and `store_conformance!` make. Every
backend has all of them, but for the exceptions below. To be run after tests that had to find their servers
(MUSTER_REQUIRE_SERVERS): then none of them returned early.
"""

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = {
    "queue": ["embedded", "memory", "redis", "sqs"],
    "store": ["embedded", "memory", "redis", "dynamodb"],
}
# What a backend does without: it, the faults, and the start of the cases' names.
EXCEPTIONS = {
    "queue": [
        # SQS does not deduplicate, so adding is not done twice there, nor is receiving anywhere (`conformance::faults`): cases
        # that do nothing else would meet no fault.
        ("sqs", ["duplicate", "lost_answer"], ["s02", "s03", "s08"]),
        # SQS counts in seconds. Under these faults it gets the calls that it gets without, so the cases that wait for leases,
        # delays and dead letters would show little for their time.
        ("sqs", ["delay", "throttle", "refuse"], ["s03", "s04", "s05", "s07", "s09", "work"]),
    ],
    "store": [],
}


def suite(contract: str) -> tuple[list[str], list[str]]:
    """The faults under which a suite is run, none first, and its functions."""
    source = ROOT / "crates" / contract / "src"
    files = [source / "conformance.rs", *sorted((source / "conformance").glob("*.rs"))]
    text = "".join(file.read_text() for file in files)
    faults = re.findall(r"@in (\w+) \$fixture", text)
    functions = re.findall(r"^pub async fn (\w+)\(\s*fixture: &dyn Fixture", text, re.MULTILINE)
    if not faults or not functions:
        sys.exit(f"the suite of {contract} is not found in {source}: its macro or its functions look otherwise")
    return ["", *faults], functions


def expected(contract: str, backend: str) -> set[tuple[str, str]]:
    """Every case, by fault and function."""
    faults, functions = suite(contract)
    exceptions = [(under, tuple(starts)) for of, under, starts in EXCEPTIONS[contract] if of == backend]
    return {
        (fault, name)
        for fault in faults
        for name in functions
        if not any(fault in under and name.startswith(starts) for under, starts in exceptions)
    }


def ran(report: ElementTree.Element, contract: str, backend: str) -> set[tuple[str, str]]:
    """Every test that ran, as if it were a case: by the module that it is in and its name."""
    tests = report.iterfind(f"testsuite[@name='muster-{contract}']/testcase")
    names = [test.get("name", "") for test in tests if test.find("skipped") is None]
    start = f"{backend}::tests::"
    inner = [name.removeprefix(start) for name in names if name.startswith(start)]
    return {(module, name) for module, _, name in (name.rpartition("::") for name in inner)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="the JUnit report of a run of all tests")
    report = ElementTree.parse(parser.parse_args().report).getroot()
    complaints = []
    for contract, backends in BACKENDS.items():
        counts = []
        for backend in backends:
            wanted = expected(contract, backend)
            found = wanted & ran(report, contract, backend)
            counts.append(f"{backend} {len(found)}")
            if missing := sorted(wanted - found):
                first = ", ".join(f"{fault}::{name}".removeprefix("::") for fault, name in missing[:3])
                complaints.append(f"{contract}, {backend}: {len(missing)} of {len(wanted)} cases did not run: {first}, ...")
        print(f"Conformance cases, {contract}: {', '.join(counts)}")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
