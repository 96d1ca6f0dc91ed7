"""The API's OpenAPI 3.1 document: django-ninja's schema plus the request bodies and errors that ninja does not know.

It is committed as openapi.json, so that every change to the API shows up in a diff.
"""

import json
from pathlib import Path
from typing import Any

from ninja import NinjaAPI
from pydantic import BaseModel

from videos.api.openapi import examples

FILE = Path(__file__).parent / "openapi.json"
REF = "#/components/schemas/{model}"

# Error responses and the kinds of operations that have them: all, with a key, with a body, orders, or those in STATE.
ERRORS = {
    400: ("A value is invalid or not allowed, or a field is unknown. `param` names it.", "all"),
    401: ("The API key is missing, invalid, expired, or revoked.", "key"),
    402: ("Insufficient credits. Nothing was charged.", "order"),
    404: ("Not found, or owned by another account.", "all"),
    409: (
        "The video is not in a state that allows this, or the original of a retry is still being processed.",
        "state order",
    ),
    413: ("The request body is too large.", "body"),
    422: ("The Idempotency-Key was already used with a different request.", "body"),
    429: (
        "Too many requests, too many concurrent picture downloads, or the daily credit limit of the key is reached."
        " `Retry-After` says when to try again.",
        "key",
    ),
    500: ("Internal server error. It was logged.", "all"),
    503: ("Temporarily unavailable. `Retry-After` says when to try again.", "state order"),
}
# Operations that depend on the state of a video.
STATE = ("delete_video", "remix_video", "video_content", "file_by_link")

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
    views = {
        operation.view_func.__name__: operation.view_func
        for router in api._get_bound_routers()
        for path_view in router.path_operations.values()
        for operation in path_view.operations
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operations[method] = _whole(path, method, dict(operation), views, schemas)
    document["servers"] = [{"url": "/"}]
    return document


def text(api: NinjaAPI) -> str:
    """The document as committed in openapi.json."""
    return json.dumps(build(api), indent=1, ensure_ascii=False) + "\n"


def _whole(
    path: str, method: str, operation: dict[str, Any], views: dict[str, Any], schemas: dict[str, Any]
) -> dict[str, Any]:
    name = operation["operationId"]
    view = views[name]
    if method == "head":
        operation["operationId"] = f"{name}_head"
    if schema := getattr(view, "request_body", None):
        operation["requestBody"] = _body(schema, view.request_file, schemas)
        operation["parameters"] = [*operation["parameters"], _idempotency_key()]
    responses = operation["responses"] = dict(operation["responses"])
    if name in ("video_content", "file_by_link"):
        responses.update(_files(name))
    if name == "retrieve_video":
        responses["304"] = {"description": "Not modified: If-None-Match names the current version."}
    if name == "file_by_link":
        responses["403"] = _error("The link has expired.")
    kinds = (
        {"all"}
        | ({"key"} if operation.get("security") else set())
        | ({"body"} if hasattr(view, "request_body") else set())
    )
    if hasattr(view, "request_body") and name != "query":
        kinds.add("order")
    if name in STATE:
        kinds.add("state")
    for status, (description, kind) in ERRORS.items():
        if kinds & set(kind.split()):
            responses[str(status)] = _error(description)
    if operation.get("security"):
        for status, response in responses.items():
            if status not in ("401", "500"):
                response["headers"] = {
                    header: {"description": about, "schema": {"type": "integer"}}
                    for header, about in HEADERS.items()
                }
    operation["responses"] = dict(sorted(responses.items()))
    if samples := examples.of(name, method, path):
        operation["x-codeSamples"] = samples
    return operation


def _body(schema: type[BaseModel], file: str, schemas: dict[str, Any]) -> dict[str, Any]:
    whole = schema.model_json_schema(ref_template=REF)
    schemas.update(whole.pop("$defs", {}))
    schemas[whole["title"]] = whole
    content = {"application/json": {"schema": {"$ref": REF.format(model=whole["title"])}}}
    if file:
        properties = whole["properties"] | {file: {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {"schema": whole | {"properties": properties}}
    return {"required": True, "content": content}


def _files(name: str) -> dict[str, Any]:
    """The responses of a file download."""
    kinds = ["video/mp4"] if name == "file_by_link" else ["video/mp4", "image/webp", "image/jpeg"]
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        "200": {"description": "The file.", "content": content},
        "206": {"description": "The requested byte range.", "content": content},
        "302": {"description": "Redirect to the file in the object store."},
        "304": {"description": "Not modified: If-None-Match names the current version."},
        "412": {"description": "Precondition failed: If-Match does not name the current version."},
        "416": {"description": "The requested byte range is not satisfiable."},
    }


def _error(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}},
    }


def _error_schema() -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    maybe = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {"message": text, "type": text, "param": maybe, "code": maybe},
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "title": "Error", "properties": {"error": error}, "required": ["error"]}


def _idempotency_key() -> dict[str, Any]:
    return {
        "in": "header",
        "name": "Idempotency-Key",
        "required": False,
        "description": "A unique value of your choice. Requests with the same key are processed only once. Kept for 30 days.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    }
