"""The API's OpenAPI 3.1 document: what django-ninja and the routes say, plus what holds for all of them.

It is committed as openapi.json, so that every change to the API shows up in a diff.
"""

import json
from pathlib import Path
from typing import Any

from ninja import NinjaAPI

from videos.api.openapi import examples, webhooks
from videos.api.openapi_extra import ERRORS, REF, error

FILE = Path(__file__).parent / "openapi.json"

ALL_ERRORS, KEY_ERRORS = (400, 404, 500), (401, 429)  # of every route, and of every route with a key

HEADERS = {
    "RateLimit-Limit": "Requests allowed per minute for this key.",
    "RateLimit-Remaining": "Requests remaining.",
    "RateLimit-Reset": "Seconds until the limit is fully reset.",
}


def build(api: NinjaAPI) -> dict[str, Any]:
    """The complete document of this API."""
    document = json.loads(json.dumps(api.get_openapi_schema(path_prefix="/")))
    schemas = document["components"]["schemas"]
    schemas["Error"] = _error_schema()
    for path, operations in document["paths"].items():
        operations.pop("head", None)  # wherever GET is, and the same
        for method, operation in operations.items():
            _complete(path, method, operation, schemas)
    document["webhooks"] = webhooks.webhooks()
    schemas.update(webhooks.schemas())
    document["servers"] = [{"url": "/"}]
    return document


def text(api: NinjaAPI) -> str:
    """The document as committed in openapi.json."""
    return json.dumps(build(api), indent=1, ensure_ascii=False) + "\n"


def _complete(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    name, has_key = operation["operationId"], bool(operation.get("security"))
    if "requestBody" in operation:
        _move_schemas(operation["requestBody"]["content"], schemas)
    responses = operation["responses"]
    for status in (*ALL_ERRORS, *(KEY_ERRORS if has_key else ())):
        responses[str(status)] = error(ERRORS[status])
    if has_key:
        for status, response in responses.items():
            if status not in ("401", "500"):
                response["headers"] = {
                    header: {"description": about, "schema": {"type": "integer"}}
                    for header, about in HEADERS.items()
                }
    operation["responses"] = dict(sorted(responses.items()))
    if samples := examples.of(name, method, path):
        operation["x-codeSamples"] = samples


def _move_schemas(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the schemas of a body to those that all routes share, where generators of clients look for them."""
    for kind in content.values():
        schemas.update(kind["schema"].pop("$defs", {}))
    whole = content["application/json"]["schema"]
    schemas[whole["title"]] = whole
    content["application/json"]["schema"] = {"$ref": REF.format(model=whole["title"])}


def _error_schema() -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    maybe = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {"message": text, "type": text, "param": maybe, "code": maybe},
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "title": "Error", "properties": {"error": error}, "required": ["error"]}
