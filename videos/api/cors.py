"""Cross-origin requests: pages of any site may use the API, since a key opens it and no cookie does."""

import re

from django.http import HttpRequest, HttpResponse

METHODS = "GET, HEAD, POST, DELETE"
SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Prefer",
    "Range",
    "X-Request-Id",
)
# What the SDKs of OpenAI and of MCP add; new versions add more.
SENT_BY_SDKS = re.compile(r"(?:mcp|openai|x-stainless)-[a-z0-9-]{1,60}", re.IGNORECASE)
READ = (
    "x-request-id, openai-processing-ms, openai-poll-after-ms, Retry-After, RateLimit-Limit,"
    " RateLimit-Remaining, RateLimit-Reset, Idempotent-Replayed, x-should-retry, ETag, Accept-Ranges, Content-Range,"
    " Content-Disposition"
)
MAX_AGE = 24 * 3600  # seconds that a browser may remember a preflight; each has a lower limit of its own


def applies_to(path: str) -> bool:
    """Whether pages of other sites may read the answers of this path."""
    return path.startswith(("/v1/", "/api/v1/")) or path == "/mcp"


def is_preflight(request: HttpRequest) -> bool:
    """Whether a browser asks what a page of another site may send."""
    return request.method == "OPTIONS" and "Origin" in request.headers


def preflight(request: HttpRequest) -> HttpResponse:
    """The answer to a preflight. It does not depend on the key, which a preflight does not carry."""
    wanted = [name.strip() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")]
    response = HttpResponse(status=204)
    del response["Content-Type"]
    response["Access-Control-Allow-Methods"] = METHODS
    response["Access-Control-Allow-Headers"] = ", ".join([*SENT, *filter(SENT_BY_SDKS.fullmatch, wanted)])
    response["Access-Control-Max-Age"] = str(MAX_AGE)
    response["Vary"] = "Access-Control-Request-Headers"
    return response


def allow(response: HttpResponse) -> None:
    """Let pages of any site read this answer. Never with Access-Control-Allow-Credentials."""
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Expose-Headers"] = READ
