"""What schemathesis needs to know beside the OpenAPI document; it loads this file itself (tests/installation/test_fuzz.py)."""

import io

import schemathesis
from hypothesis import strategies
from PIL import Image
from schemathesis.core.failures import Failure

# Of every HTTP server, of browsers' policies, and of CORS: no part of the contract of a call.
GENERAL_HEADERS = {
    "allow",
    "cache-control",
    "connection",
    "content-language",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "date",
    "permissions-policy",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "x-frame-options",
}


def picture(color: str | tuple[int, int, int] = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(file, "PNG")
    return file.getvalue()


# A document can only say that a file is binary; no random bytes are a picture. They differ, since the same picture is the same
# file, which another scenario may have deleted.
colors = strategies.tuples(*[strategies.integers(0, 31).map(lambda value: value * 8)] * 3)
schemathesis.openapi.format("binary", colors.map(picture))


@schemathesis.hook
def filter_case(context, case):
    """Forms have no null: an empty field counts as absent, whatever type the document gives it."""
    is_form = case.media_type in ("multipart/form-data", "application/x-www-form-urlencoded")
    return not (is_form and isinstance(case.body, dict) and "" in case.body.values())


@schemathesis.check
def only_documented_headers(context, response, case):
    """Every header of the response is in the document."""
    responses = case.operation.definition.raw["responses"]
    documented = responses.get(str(response.status_code), {}).get("headers", {})
    known = GENERAL_HEADERS | {name.lower() for name in documented}
    unknown = [
        name
        for name in response.headers
        if name.lower() not in known and not name.lower().startswith("access-control-")
    ]
    if unknown and str(response.status_code) in responses:
        raise Failure(
            operation=case.operation.label,
            title="Undocumented headers",
            message=f"{response.status_code} has headers that are not documented: {', '.join(sorted(unknown))}",
        )
