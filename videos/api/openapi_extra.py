"""What routes say in the OpenAPI document beyond what django-ninja reads from them: `openapi_extra` of their decorators."""

from typing import Any

from pydantic import BaseModel

REF = "#/components/schemas/{model}"

# Error responses, as the document and the API reference describe them.
ERRORS = {
    400: "A value is invalid or not allowed, or a field is unknown. `param` names it.",
    401: "The API key is missing, invalid, expired, or revoked.",
    402: "Insufficient credits. Nothing was charged.",
    404: "Not found, or owned by another account.",
    409: "The video is not in a state that allows this, or the original of a retry is still being processed.",
    413: "The request body is too large.",
    422: "The Idempotency-Key was already used with a different request.",
    429: "Too many requests, too many concurrent picture downloads, or a credit limit of the key is reached."
    " `Retry-After` says when to try again; it is absent if the key's total limit is reached (`key_limit_reached`).",
    500: "Internal server error. It was logged.",
    503: "Temporarily unavailable. `Retry-After` says when to try again.",
}
NOT_MODIFIED = {"description": "Not modified: If-None-Match names the current version."}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "A unique value of your choice. Requests with the same key are processed only once. Kept for 30 days.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


def error(description: str) -> dict[str, Any]:
    """An error response with this description."""
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}},
    }


def errors(*statuses: int) -> dict[str, Any]:
    """These error responses. Those that every route may give (400, 404, 500; with a key also 401, 429) need no mention."""
    return {"responses": {status: error(ERRORS[status]) for status in statuses}}


def body(schema: type[BaseModel], *more_errors: int, file: str = "") -> dict[str, Any]:
    """The body of a route that parses it itself, as JSON or, with a `file` field, as multipart, and the errors of bodies."""
    whole = schema.model_json_schema(ref_template=REF)
    content = {"application/json": {"schema": whole}}
    if file:
        properties = whole["properties"] | {file: {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {"schema": whole | {"properties": properties}}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": [IDEMPOTENCY_KEY],
        **errors(413, 422, *more_errors),
    }


def order(schema: type[BaseModel], *, file: str = "") -> dict[str, Any]:
    """The body of a route that charges credits, and its errors."""
    return body(schema, 402, 409, 503, file=file)


def download(*kinds: str) -> dict[str, Any]:
    """A file of one of these content types, and the errors of downloads."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    responses = {
        200: {"description": "The file.", "content": content},
        206: {"description": "The requested byte range.", "content": content},
        302: {"description": "Redirect to the file in the object store."},
        304: NOT_MODIFIED,
        412: {"description": "Precondition failed: If-Match does not name the current version."},
        416: {"description": "The requested byte range is not satisfiable."},
        **errors(409, 503)["responses"],
    }
    return {"responses": responses}
