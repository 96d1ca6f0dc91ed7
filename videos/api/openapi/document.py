"""The API's OpenAPI 3.1 document: what django-ninja and the routes say, plus what holds for all of them.

It is committed as openapi.json, so that every change to the API shows up in a diff.
"""

import json
from pathlib import Path

from ninja import NinjaAPI

from videos.api.errors import kind_of
from videos.api.openapi import answers, examples, links, webhooks
from videos.api.openapi_extra import ERRORS, HEADERS, REF, Part, error, headers

FILE = Path(__file__).parent / "openapi.json"

ALL_ERRORS, KEY_ERRORS = (400, 404, 500), (401, 429)  # of every route, and of every route with a key

ALL_HEADERS = ("x-request-id", "openai-processing-ms")
KEY_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
# Further headers by status, by content type, and by operation.
STATUS_HEADERS = {
    "206": ("Content-Range",),
    "302": ("Location",),
    "304": ("ETag",),
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After", "x-should-retry"),
    "412": ("ETag", "Content-Disposition"),
    "416": ("Accept-Ranges", "Content-Range", "ETag", "Content-Disposition"),
    "429": ("Retry-After", "x-should-retry"),
    "503": ("Retry-After",),
}
FILE_HEADERS = ("Accept-Ranges", "ETag", "Content-Disposition")

ERROR_TYPES = sorted({kind_of(status) for status in ERRORS})

PARAMETERS = {
    "video_id": ("The id of a video of the account.", answers.ID),
    "file_id": ("The id of a file of the account.", answers.FILE["id"]),
    "batch_id": ("The id of a batch or campaign of the account.", answers.BATCH["id"]),
    "model_id": ("The id of a model.", answers.MODEL["id"]),
    "run_id": ("The id that the run was created with.", examples.RUN),
}


def build(api: NinjaAPI) -> Part:
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
    document["components"]["headers"] = {
        name: {"description": about, "schema": {"type": kind}} for name, (kind, about) in HEADERS.items()
    }
    return document


def text(api: NinjaAPI) -> str:
    """The document as committed in openapi.json."""
    return json.dumps(build(api), indent=1, ensure_ascii=False) + "\n"


def _complete(path: str, method: str, operation: Part, schemas: Part) -> None:
    # None at all is said explicitly.
    name, has_key = operation["operationId"], bool(operation.setdefault("security", []))
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            parameter["description"], parameter["example"] = PARAMETERS[parameter["name"]]
    if "requestBody" in operation:
        _move_schemas(operation["requestBody"]["content"], schemas)
        for content in operation["requestBody"]["content"].values():
            content["example"] = (examples.BODIES | examples.FORMS)[name]
    responses = operation["responses"]
    for status in (*ALL_ERRORS, *(KEY_ERRORS if has_key else ())):
        responses[str(status)] = error(status)
    for status, response in responses.items():
        response["headers"] = headers(_headers_of(operation, status))
        for kind, content in response.get("content", {}).items():
            if kind == "application/json":
                content["example"] = answers.of(name, status)
        if status[0] == "2" and (following := links.of(response)):
            response["links"] = following
    operation["responses"] = dict(sorted(responses.items()))
    if samples := examples.of(name, method, path):
        operation["x-codeSamples"] = samples


def _headers_of(operation: Part, status: str) -> list[str]:
    """The names of the headers that this response may have."""
    response = operation["responses"][status]
    names = [*ALL_HEADERS, *(KEY_HEADERS if operation["security"] else ())]
    names += STATUS_HEADERS.get(status, ())
    is_success = status[0] == "2"
    if is_success and "application/json" not in response["content"]:
        names += FILE_HEADERS
    parameters = [parameter["name"] for parameter in operation["parameters"]]
    if is_success and "Idempotency-Key" in parameters:
        names.append("Idempotent-Replayed")
    if status in ("200", "304") and operation["operationId"] == "retrieve_video":
        names += ["ETag", "openai-poll-after-ms"]
    if status == "304" and "206" in operation["responses"]:
        names.append("Content-Disposition")
    return list(dict.fromkeys(names))


def _move_schemas(content: Part, schemas: Part) -> None:
    """Move the schemas of a body to those that all routes share, where generators of clients look for them."""
    for kind in content.values():
        schemas.update(kind["schema"].pop("$defs", {}))
    first = next(iter(content.values()))
    whole = first["schema"]
    schemas[whole["title"]] = whole
    first["schema"] = {"$ref": REF.format(model=whole["title"])}


def _error_schema() -> Part:
    text: Part = {"type": "string"}
    maybe = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {
            "message": text,
            "type": {"type": "string", "enum": ERROR_TYPES},
            "param": {**maybe, "description": "The field or parameter that is meant."},
            "code": {**maybe, "description": "The reason, for programs."},
        },
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "title": "Error", "properties": {"error": error}, "required": ["error"]}
