"""Verifies webhooks as their receivers do: with standardwebhooks, svix, and MeetStream's own SDK.

Standard input: a JSON list of {"headers": {...}, "body": "<base64>", "secrets": [...]}. Each has to be good for each library with
each secret, and for none with another secret or a changed body. MeetStream's header has one signature, by the first secret.
"""

import base64
import json
import sys

import standardwebhooks
import svix.webhooks
from meetstream import verify_webhook_signature

OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def is_good(webhook, secret, body, headers):
    try:
        webhook(secret).verify(body, headers)
        return True
    except (standardwebhooks.webhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError):
        return False


count = 0
for message in json.load(sys.stdin):
    headers, secrets = message["headers"], message["secrets"]
    body = base64.b64decode(message["body"])
    changed = body.replace(b"bot", b"tob", 1)
    assert changed != body
    for library in (standardwebhooks.Webhook, svix.webhooks.Webhook):
        for secret in secrets:
            assert is_good(library, secret, body, headers), (library, headers)
            assert not is_good(library, secret, changed, headers), library
        assert not is_good(library, OTHER, body, headers), library
    signature = headers["x-meetstream-signature"]
    assert verify_webhook_signature(body, signature, secrets[0]), headers
    assert not verify_webhook_signature(changed, signature, secrets[0])
    assert not verify_webhook_signature(body, signature, OTHER)
    count += 1
assert count, "there was nothing to verify"
print(count)
