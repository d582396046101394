#!/usr/bin/env python3
"""Makes the known answers of `muster_hooks::inbound`: signatures by the senders' own libraries where there are any, and JSON as
Python writes it.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install -r requirements.txt && npm install --prefix /tmp/n @zoom/rivet@0.4.0
    NODE_PATH=/tmp/n/node_modules /tmp/v/bin/python make.py
"""

import base64
import datetime
import hashlib
import hmac
import importlib.metadata
import json
import pathlib
import random
import struct
import subprocess

import meetstream
import standardwebhooks
import svix.webhooks

HERE = pathlib.Path(__file__).parent
SECONDS = 1_790_000_000
AT = datetime.datetime.fromtimestamp(SECONDS, datetime.timezone.utc)
TEXT_SECRET = "correct horse battery staple"
WHSEC = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER_WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ATTENDEE_SECRET = base64.b64encode(bytes(range(32, 64))).decode()
BODIES = [
    '{"bot_id":"b","event":"bot.joining","timestamp":"2026-09-21T14:13:20Z","custom_attributes":{}}',
    '{ "event" : "bot.stopped",\n "message" : "Ω ≠ ω, \\u00e9 and \U0001f3a7" }',
    "",
]


def library(name):
    return f"{name} {importlib.metadata.version(name)}"


def by_hand(key, *parts):
    return hmac.new(key, b"".join(p.encode() for p in parts), hashlib.sha256)


def meetstream_vectors():
    for body in BODIES:
        signature = "sha256=" + by_hand(TEXT_SECRET.encode(), body).hexdigest()
        assert meetstream.verify_webhook_signature(body, signature, TEXT_SECRET)
        headers = {"X-MeetStream-Signature": signature, "X-MeetStream-Timestamp": AT.strftime("%Y-%m-%dT%H:%M:%SZ")}
        yield "meetstream", "accepted by " + library("meetstream-sdk"), TEXT_SECRET, headers, body, False


def standard_vectors():
    for body in BODIES:
        signature = standardwebhooks.Webhook(WHSEC).sign("msg_1", AT, body)
        for kind in ["standard", "recall", "svix"]:
            headers = {"webhook-id": "msg_1", "webhook-timestamp": str(SECONDS), "webhook-signature": signature}
            yield kind, library("standardwebhooks"), WHSEC, headers, body, True
        signature = "v1a,AAAA v1,AAAA " + svix.webhooks.Webhook(OTHER_WHSEC).sign("msg_2", AT, body)
        for kind in ["svix", "recall"]:
            headers = {"svix-id": "msg_2", "svix-timestamp": str(SECONDS), "svix-signature": signature}
            yield kind, library("svix"), OTHER_WHSEC, headers, body, True


def attendee_vectors():
    for payload in [
        {"trigger": "bot.state_change", "data": {"new_state": "joining"}, "bot_id": "bot_1", "bot_metadata": None},
        {"b": [1, 2.0, 1e22, -0.5, True, None], "a": {"é": "🎧", "z": "</\\\"\n\u007f\u2028", "Z": ""}},
    ]:
        canonical = json.dumps(payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        signature = base64.b64encode(by_hand(base64.b64decode(ATTENDEE_SECRET), canonical).digest()).decode()
        yield "attendee", "json and hmac of CPython", ATTENDEE_SECRET, {"X-Webhook-Signature": signature}, json.dumps(payload), False


def vexa_vectors():
    for body in BODIES:
        signature = "sha256=" + by_hand(TEXT_SECRET.encode(), f"{SECONDS}.", body).hexdigest()
        headers = {"X-Webhook-Signature": signature, "X-Webhook-Timestamp": str(SECONDS)}
        yield "vexa", "hmac of CPython", TEXT_SECRET, headers, body, True


def zoom_vectors():
    made = json.loads(subprocess.check_output(["node", HERE / "zoom.cjs", TEXT_SECRET, str(SECONDS)]))
    for one in made["vectors"]:
        headers = {"x-zm-signature": one["signature"], "x-zm-request-timestamp": str(SECONDS)}
        yield "zoom", f"accepted by @zoom/rivet {made['version']}", TEXT_SECRET, headers, one["body"], True, one.get("challenge")


def signatures():
    for make in [meetstream_vectors, zoom_vectors, standard_vectors, attendee_vectors, vexa_vectors]:
        for kind, by, secret, headers, body, time_signed, *challenge in make():
            vector = {"kind": kind, "by": by, "secret": secret, "at": SECONDS * 1000, "headers": headers, "body": body}
            vector["time_signed"] = time_signed
            if challenge and challenge[0]:
                vector["challenge"] = challenge[0]
            yield vector


def canonical():
    texts = [
        "0", "-0", "12", "-7", "123456789012345678901234567890", "1.0", "-0.0", "0.0", "1e3", "1E3", "1e+3", "1.50", "100e-2",
        "0.0001", "0.00001", "1e-5", "0.000123", "1e15", "1e16", "123456789012345678.0", "1e22", "1e23", "1e400", "-1e400",
        "1e-400", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1", "0.30000000000000004", "9007199254740993",
        "9007199254740993.0", "2.5e-7", "1.5e300", "true", "false", "null", '""', '"\\u00e9\\/\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f"',
        '"\\ud83c\\udfa7 \\"\\\\"', '" \u2028 \U0001f3a7"', "[]", "{}", " [ 1 , 2.0 , [ ] , { } ] ",
        '{"b":1,"a":2,"b":3,"":4,"aa":5,"A":6,"é":7,"z":8,"\\ud83c\\udfa7":9,"\uffff":10,"a\\u0000":11}',
        '{"outer":{"z":[{"b":1e2,"a":"x"}],"y":{"d":{},"c":[]}}}',
    ]
    seed = random.Random(1)
    for _ in range(400):
        number = struct.unpack("<d", struct.pack("<Q", seed.getrandbits(64)))[0]
        if number == number:
            texts.append(f"{number:.{seed.randrange(1, 20)}e}")
        texts.append(f"{seed.uniform(-1, 1) * 10 ** seed.randrange(-8, 20):.{seed.randrange(1, 12)}f}")
    for text in texts:
        yield [text, json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))]


def lines(values):
    return "[\n" + ",\n".join(json.dumps(value) for value in values) + "\n]\n"


(HERE / "signatures.json").write_text(lines(signatures()))
(HERE / "canonical.json").write_text(lines(canonical()))
