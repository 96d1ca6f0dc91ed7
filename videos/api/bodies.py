"""Request bodies: JSON, multipart or urlencoded, parsed into fields and a file."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from gunicorn.http.errors import ParseException

from videos.api.errors import ApiError, bad_value

MAX_BYTES = 20 * 1024 * 1024  # of a body: a picture of 10 MB, as base64
OBJECTS = ("metadata", "input_reference", "last_frame")  # fields that are objects


@dataclass
class Body:
    """A parsed body: its fields, its file if there is one, and a digest of its content."""

    fields: dict[str, object]
    file: Any = None
    digest: str = field(default="")


def read(request: HttpRequest, files: tuple[str, ...] = ()) -> Body:
    """The body of a POST. Raises ApiError 400 if it cannot be parsed, 413 if it is too large."""
    kind = request.content_type or ""
    raw = raw_body(request)
    # `curl -d` declares a form whatever the content is, but no form begins with a brace.
    if kind == "application/json" or not kind or raw.lstrip().startswith(b"{"):
        body = Body(_json(raw))
    elif kind == "multipart/form-data":
        body = _form(request, raw, files)
    elif kind == "application/x-www-form-urlencoded":
        body = _urlencoded(raw)
    else:
        raise ApiError(
            400,
            "The content type must be application/json or multipart/form-data.",
            code="unsupported_content_type",
        )
    said = json.dumps([request.path, body.fields], sort_keys=True).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(said)
    if body.file:
        digest.update(hashlib.file_digest(body.file.file, "sha256").digest())
        body.file.seek(0)
    body.digest = digest.hexdigest()
    return body


def raw_body(request: HttpRequest) -> bytes:
    """The body, unparsed. Raises ApiError 413 if it is too large, and UnreadablePostError if it is cut off."""
    try:
        raw = _stream_of(request).read(MAX_BYTES + 1)
    except (OSError, ParseException) as error:  # of gunicorn, for a body in chunks
        raise UnreadablePostError(*error.args) from error
    if len(raw) > MAX_BYTES:
        raise ApiError(
            413, f"The request body can be at most {MAX_BYTES // 1024**2} MB.", code="body_too_large"
        )
    return raw


def _stream_of(request: HttpRequest) -> BinaryIO:
    """The body as a stream.

    OpenAI's SDK for JavaScript sends files in chunks, without a Content-Length, and Django takes such a body as empty. Where
    the server says that its own stream ends with the body, as gunicorn does, that can be read instead.
    """
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if is_chunked and request.META.get("wsgi.input_terminated"):
        return cast(BinaryIO, request.META["wsgi.input"])
    return cast(BinaryIO, request)


def _json(raw: bytes) -> dict[str, object]:
    try:
        fields = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise ApiError(
            400, "We could not parse the JSON body of your request.", code="invalid_json"
        ) from None
    if not isinstance(fields, dict):
        raise ApiError(400, "The JSON body of your request must be an object.", code="invalid_json")
    return fields


def _urlencoded(raw: bytes) -> Body:
    return Body(_unfolded(QueryDict(raw, encoding="utf-8")))


def _form(request: HttpRequest, raw: bytes, files: tuple[str, ...]) -> Body:
    """Django's parser accepts a truncated body as complete, so check its end first."""
    boundary = (request.content_params or {}).get("boundary", "")
    if not raw.rstrip().endswith(f"--{boundary}--".encode("ascii", "replace")) or not boundary:
        raise ApiError(400, "The multipart body is truncated or has no boundary.", code="invalid_multipart")
    handlers = [MemoryFileUploadHandler(request), TemporaryFileUploadHandler(request)]
    try:
        meta = request.META | {"CONTENT_LENGTH": len(raw)}  # missing, if the body came in chunks
        form, found = MultiPartParser(meta, io.BytesIO(raw), handlers, "utf-8").parse()
    except MultiPartParserError:
        raise ApiError(
            400, "We could not parse the multipart body of your request.", code="invalid_multipart"
        ) from None
    for name in found:
        if name not in files:
            param = name[:100]
            raise ApiError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    fields = _unfolded(form)
    for name in found:
        if name in fields or len(found.getlist(name)) > 1:
            raise bad_value(name, f"Invalid '{name}': send only one picture.")
    return Body(fields, next(iter(found.values()), None))


def _unfolded(form: Any) -> dict[str, object]:
    """The fields of a form; `metadata[name]` and the like become objects, as the SDKs encode them, and so does JSON, as
    generated clients send it.

    An empty field is one that was not filled in, so it counts as absent; a value of `metadata` may be empty.
    """
    fields: dict[str, object] = {}
    for name, values in form.lists():
        match = re.fullmatch(r"(\w+)\[(\w[\w.-]*)\]", name)
        is_metadata = match is not None and match[1] == "metadata"
        sent = values if is_metadata else [value for value in values if value != ""]
        if len(sent) > 1:
            raise bad_value(name[:100], f"Invalid '{name[:100]}': send it only once.")
        if not sent:
            continue
        if match and isinstance(inner := fields.setdefault(match[1], {}), dict):
            inner[match[2]] = sent[0]
        else:
            fields[name] = _json(sent[0].encode()) if name in OBJECTS and sent[0][0] == "{" else sent[0]
    return fields
