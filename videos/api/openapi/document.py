"""The API's OpenAPI 3.1 document: what django-ninja knows of it, and what our own reading of bodies adds.

It is committed as openapi.json, so that a change of the API is seen in a change of that file.
"""

import json
from pathlib import Path
from typing import Any

from ninja import NinjaAPI
from pydantic import BaseModel

from videos.api.openapi import examples

FILE = Path(__file__).parent / "openapi.json"
REF = "#/components/schemas/{model}"

# What may go wrong, and with which operations: all, those with a key, with a body, those that order, or those in STATE.
ERRORS = {
    400: ("A value is wrong, not allowed, or a field unknown; `param` names it.", "all"),
    401: ("There is no key, or it works no more.", "key"),
    402: ("The account's credits do not do. Nothing was charged.", "order"),
    404: ("It is not there, or it is somebody else's.", "all"),
    409: (
        "Not now: it has not ended, or not as it should; or the request that this one repeats is still being worked on.",
        "state order",
    ),
    413: ("The body is too large.", "body"),
    422: ("The Idempotency-Key came before with another request.", "body"),
    429: (
        "Too many requests, too many pictures being fetched, or the key's credits of the day are spent."
        " `Retry-After` says when to come again.",
        "key",
    ),
    500: ("Our fault. It was logged.", "all"),
    503: ("Not possible now. `Retry-After` says when to come again.", "state order"),
}
# Beside what its kind says.
STATE = ("delete_video", "remix_video", "video_content", "file_by_link")

HEADERS = {
    "RateLimit-Limit": "Requests that this key may send in a minute.",
    "RateLimit-Remaining": "Those that are left.",
    "RateLimit-Reset": "Seconds until all are back.",
}


def build(api: NinjaAPI) -> dict[str, Any]:
    """The whole document of this API."""
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
    """The document as it is committed."""
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
        responses["304"] = {"description": "Nothing changed since the answer that If-None-Match names."}
    if name == "file_by_link":
        responses["403"] = _error("The link is over.")
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
    """What comes of content: all of it, or a part, or nothing new."""
    kinds = ["video/mp4"] if name == "file_by_link" else ["video/mp4", "image/webp", "image/jpeg"]
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        "200": {"description": "The file.", "content": content},
        "206": {"description": "The part that Range asked for.", "content": content},
        "302": {"description": "Where the file is, if it lies in an object store."},
        "304": {"description": "It is the one that If-None-Match names."},
        "412": {"description": "It is not the one that If-Match names."},
        "416": {"description": "The file has no such part."},
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
        "description": "Of your choice: the same request with the same key is done once. Kept for 30 days.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    }
