"""Signatures of webhooks: signs what we send and verifies what providers send us.

Both follow Standard Webhooks (https://www.standardwebhooks.com), except for what we send in the plain format.
"""

import base64
import hmac
import re
import time
from collections.abc import Mapping, Sequence

TOLERANCE = 300  # seconds that a webhook's timestamp may differ from our clock

WEBHOOK_ID = re.compile(r"[!-~]{1,255}")
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class Refused(Exception):
    """A webhook that its sender did not sign, or not just now. The text is for the log."""


def signed_headers(secrets: Sequence[str], webhook_id: str, body: bytes) -> dict[str, str]:
    """The headers that sign a webhook sent now, with each of the secrets: while one is rotated there are two."""
    sent_at = str(int(time.time()))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": " ".join(_signature(secret, webhook_id, sent_at, body) for secret in secrets),
    }


def plain_headers(secret: str, webhook_id: str, body: bytes) -> dict[str, str]:
    """The headers that sign a webhook in the plain format: HMAC-SHA256 of the body alone, in hex.

    The HMAC key is the whole text of the secret in UTF-8, with its whsec_, because that is what programs of 2025 do
    with the secret that they are given. There is room for one signature only.
    """
    signature = hmac.digest(secret.encode(), body, "sha256").hex()
    return {"webhook-id": webhook_id, "x-openai-signature": signature}


def verified_id(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """The webhook-id of a request that was signed with this secret within TOLERANCE. Raises Refused otherwise.

    The OpenAI SDK's `verify_signature` takes four times as long and crashes on a body that is not UTF-8.
    """
    webhook_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not WEBHOOK_ID.fullmatch(webhook_id) or not UNIX_SECONDS.fullmatch(sent_at):
        raise Refused("it has no id or no time")
    if abs(int(time.time()) - int(sent_at)) > TOLERANCE:
        raise Refused("it is too old, or ahead of our clock")
    # Compared in base64: several base64 texts decode to the same bytes, but only one was sent.
    expected = _signature(secret, webhook_id, sent_at, body).encode()
    # While a secret is being rotated there are several signatures.
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise Refused("its signature is not right")
    return webhook_id


def _signature(secret: str, webhook_id: str, sent_at: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{sent_at}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()
