"""Serves a stored file over HTTP, with byte ranges.

Without ranges Safari refuses to play and Chromium cannot seek, and Django's FileResponse does not support them. The
rules are those of RFC 9110, sections 13 and 14, for single ranges: a request for several gets the whole file, which the
RFC allows.

If the files are in an object store or behind nginx, those send the bytes, and this only authorizes the request.
"""

import re
from collections.abc import Iterator

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.encoding import filepath_to_uri
from django.utils.http import content_disposition_header, quote_etag

BLOCK = 128 * 1024

# 18 digits are enough for any file; int() raises ValueError for numbers of several thousand digits.
ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


def serve(
    request: HttpRequest,
    storage: Storage,
    name: str,
    *,
    etag: str,
    content_type: str,
    download_as: str | None = None,
    redirect_seconds: int | None = None,
) -> HttpResponseBase:
    """Answer GET or HEAD with a stored file, or with the requested range of it.

    `etag` must change whenever the bytes do: a hash of them, without quotes. With `download_as`, the browser saves the
    file under that name instead of showing it. `redirect_seconds` is how long a redirect to the object store works, if
    not the usual time. The caller has checked that the user may have the file. Raises FileNotFoundError before anything
    is sent; if the object store or nginx sends the file, they answer 404 instead.
    """
    response: HttpResponseBase | None
    disposition = _disposition(download_as)

    if link := getattr(storage, "link", None):
        # A redirect: conditional and range requests go to the store.
        response = HttpResponse(status=302)
        response["Location"] = link(
            name,
            method=request.method,
            content_type=content_type,
            disposition=disposition,
            seconds=redirect_seconds,
        )
    else:
        etag = quote_etag(etag)
        response = get_conditional_response(request, etag)
        if response is None and settings.X_ACCEL_PREFIX and isinstance(storage, FileSystemStorage):
            response = _by_nginx(name, content_type)
        elif response is None:
            response = _answer(request, storage.open(name, "rb"), etag, content_type)
        response["ETag"] = etag
        response["Content-Disposition"] = disposition

    # Private to this user, and never run as a page of our origin, whatever a provider put into the file.
    response["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, ["Cookie", "Authorization"])
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"

    return response


def _by_nginx(name: str, content_type: str) -> HttpResponse:
    """Nginx replaces the empty body with the file, or with the requested range of it."""
    response = HttpResponse(content_type=content_type)
    response["X-Accel-Redirect"] = settings.X_ACCEL_PREFIX + filepath_to_uri(name)
    return response


def _answer(request: HttpRequest, file: File, etag: str, content_type: str) -> HttpResponseBase:
    size = file.size
    requested = _requested_range(request, etag, size)
    part = range(size) if requested is None else requested

    response: HttpResponseBase
    if request.method == "HEAD":
        file.close()
        response = HttpResponse(content_type=content_type)
    elif requested is not None and not requested:
        file.close()
        return HttpResponse(
            status=416, headers={"Accept-Ranges": "bytes", "Content-Range": f"bytes */{size}"}
        )
    else:
        response = StreamingHttpResponse(_Part(file, part), content_type=content_type)

    response["Accept-Ranges"] = "bytes"
    response["Content-Length"] = str(len(part))
    if requested is not None:
        response.status_code = 206
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"

    return response


def _requested_range(request: HttpRequest, etag: str, size: int) -> range | None:
    """The requested bytes: None means the whole file, an empty range means 416 Range Not Satisfiable."""
    # Only GET has ranges. If If-Range is not our ETag, the client has part of another version and needs the whole file;
    # we send no Last-Modified, so a date there does not match either.
    if request.method != "GET" or request.headers.get("If-Range", etag).strip() != etag:
        return None

    match = ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None:
        return None

    first, last = match.groups()
    if not first:
        return range(max(size - int(last), 0), size) if last else None
    if not last:
        return range(int(first), size)
    if int(last) < int(first):
        return None

    return range(int(first), min(int(last) + 1, size))


def _disposition(download_as: str | None) -> str:
    if download_as is None:
        return "inline"

    # No folders, no line breaks, and no bidirectional marks that make a name look different.
    characters = (character if character.isprintable() else "_" for character in download_as)
    safe = re.sub(r'[/\\:*?"<>|]', "_", "".join(characters))

    return content_disposition_header(True, safe) or "attachment"


class _Part:
    """A range of bytes of an open file, in blocks. Django calls `close` at the end or when the client disconnects.

    A generator would not do: closed before its first block, it never runs and leaves the file open.
    """

    def __init__(self, file: File, part: range) -> None:
        self.file = file
        self.part = part

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.part.start)
        left = len(self.part)

        while left and (block := self.file.read(min(BLOCK, left))):
            left -= len(block)
            yield block

    def close(self) -> None:
        self.file.close()
