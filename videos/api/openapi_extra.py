"""What routes say in the OpenAPI document beyond what django-ninja reads from them: `openapi_extra` of their decorators."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel

# A part of the document: whatever JSON the OpenAPI Specification allows there.
Part: TypeAlias = dict[str, Any]


REF = "#/components/schemas/{model}"

# Error responses, as the document and the API reference describe them.
ERRORS = {
    400: "A value is invalid or not allowed, or a field is unknown. `param` names it.",
    401: "The API key is missing, invalid, expired, or revoked.",
    402: "Insufficient credits. Nothing was charged.",
    404: "Not found, or owned by another account.",
    409: "The video is not in a state that allows this, or the original of a retry is still being processed.",
    412: "Precondition failed: If-Match does not name the current version.",
    413: "The request body is too large.",
    416: "The requested byte range is not satisfiable.",
    422: "The Idempotency-Key was already used with a different request.",
    429: "Too many requests, too many concurrent picture downloads, or a credit limit of the key is reached."
    " `Retry-After` says when to try again; it is absent if the key's total limit is reached (`key_limit_reached`).",
    500: "Internal server error. It was logged.",
    503: "Temporarily unavailable. `Retry-After` says when to try again.",
}

# The headers of responses, as `components.headers` describes them.
HEADERS: dict[str, tuple[str, str]] = {
    "x-request-id": ("string", "Names the request in the site's log: yours, if you sent one, or a new one."),
    "openai-processing-ms": ("integer", "How long the response took, in milliseconds."),
    "RateLimit-Limit": ("integer", "Requests allowed per minute for this key. Absent if there is no limit."),
    "RateLimit-Remaining": ("integer", "Requests remaining."),
    "RateLimit-Reset": ("integer", "Seconds until the limit is fully reset."),
    "Retry-After": ("integer", "Seconds until a retry makes sense. Absent if waiting does not help."),
    "x-should-retry": (
        "string",
        "false, if a retry within a minute would fail again. OpenAI's SDKs obey it.",
    ),
    "WWW-Authenticate": ("string", "Bearer."),
    "Idempotent-Replayed": (
        "string",
        "true, if this is the stored response to an earlier, identical request.",
    ),
    "ETag": ("string", "Changes whenever the content does. For `If-None-Match`."),
    "openai-poll-after-ms": ("integer", "When to ask again, in milliseconds. Absent if the video has ended."),
    "Accept-Ranges": ("string", "bytes."),
    "Content-Range": ("string", "Which bytes these are, and of how many."),
    "Content-Disposition": ("string", "inline."),
    "Location": ("string", "Where the file is. The link works for a minute."),
}
IDEMPOTENCY_KEY: Part = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "A unique value of your choice. Requests with the same key are processed only once. Kept for 30 days.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    "example": "order-1042",
}


def header(name: str, description: str, **schema: object) -> Part:
    """A request header of type string; `schema` narrows it."""
    return {
        "in": "header",
        "name": name,
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def headers(names: Sequence[str]) -> Part:
    """The headers of a response, by their names in HEADERS."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def error(status: int) -> Part:
    """The error response of this status."""
    return {
        "description": ERRORS[status],
        "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}},
    }


def errors(*statuses: int) -> Part:
    """These error responses. Those that every route may give (400, 404, 500; with a key also 401, 429) need no mention."""
    return {"responses": {status: error(status) for status in statuses}}


def once(*more_errors: int) -> Part:
    """The Idempotency-Key of a route and the errors that come with it and with bodies."""
    return {"parameters": [IDEMPOTENCY_KEY], **errors(409, 413, 422, *more_errors)}


def body(schema: type[BaseModel], *, file: str = "") -> Part:
    """The body of a route that parses it itself, as JSON or, with a `file` field, as multipart, and the errors of bodies."""
    whole = schema.model_json_schema(ref_template=REF)
    content = {"application/json": {"schema": whole}}
    if file:
        content["multipart/form-data"] = {"schema": _form(whole, file)}
    return {"requestBody": {"required": True, "content": content}, **errors(413)}


def upload(schema: type[BaseModel]) -> Part:
    """The body of a route that takes a file, and therefore only multipart."""
    content = {"multipart/form-data": {"schema": schema.model_json_schema(ref_template=REF)}}
    return {"requestBody": {"required": True, "content": content}, **once()}


def order(schema: type[BaseModel], *parameters: Part, file: str = "") -> Part:
    """The body of a route that charges credits, its Idempotency-Key and further parameters, and its errors."""
    return {**body(schema, file=file), **once(402, 503), "parameters": [IDEMPOTENCY_KEY, *parameters]}


def unless_unchanged() -> Part:
    """The response to a request with `If-None-Match`, and the header that it needs."""
    return {
        "parameters": [header("If-None-Match", "The `ETag` of the version that you have.")],
        "responses": {304: {"description": "Not modified: If-None-Match names the current version."}},
    }


def download(*kinds: str) -> Part:
    """A file of one of these content types, and the errors of downloads."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    unchanged = unless_unchanged()
    return {
        "parameters": [
            *unchanged["parameters"],
            header("If-Match", "The `ETag` of the version that you want."),
            header("Range", "Which bytes to send, such as bytes=0-1023.", examples=["bytes=0-1023"]),
            header("If-Range", "The `ETag` of the version that `Range` is about."),
        ],
        "responses": {
            200: {"description": "The file.", "content": content},
            206: {"description": "The requested byte range.", "content": content},
            302: {"description": "Redirect to the file in the object store."},
            **unchanged["responses"],
            **errors(412, 416, 503)["responses"],
        },
    }


def _form(schema: Mapping[str, Any], file: str) -> Part:
    """The same fields as a form has them: the file itself, and nothing is null, because an empty field counts as absent."""
    properties = {name: _without_null(about) for name, about in schema["properties"].items()}
    properties[file] = {"type": "string", "format": "binary", "description": properties[file]["description"]}
    return {**schema, "properties": properties}


def _without_null(schema: Part) -> Part:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    if len(kinds) > 1:
        return {**rest, "anyOf": kinds}
    only = {**rest, **kinds[0]}
    return {**only, "pattern": f"^$|{only['pattern']}"} if "pattern" in only else only
