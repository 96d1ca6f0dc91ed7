"""Pictures that a request gives by URL, fetched within strict limits, checked, and stored, or by the id of a file.

Without the limits, a server that never responds could occupy one of the site's few threads indefinitely.
"""

import base64
import binascii
import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.models import User
from videos import safe_http
from videos.api.errors import ApiError, bad_value
from videos.media import images, uploads
from videos.models import Upload
from videos.serializers import uuid_of
from videos.thread_budget import Busy, SlowCalls

MAX_PICTURES = 8  # in one request
SECONDS = 15  # for all pictures of a request together
DATA_URL = re.compile(r"data:image/[a-z+]{2,10};base64,", re.IGNORECASE)

_fetches = SlowCalls(at_once=2)  # and one per user
_fetching: set[int] = set()  # ids of users
_lock = threading.Lock()


class Pictures:
    """The pictures of one request. Each URL is fetched once, and all share one deadline."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.kept: dict[str, Upload] = {}
        self.until: float | None = None  # monotonic deadline, set by the first fetch

    def uploaded(self, file: Any, param: str) -> Upload:
        """An uploaded file, checked and stored. Raises ApiError 400 that names the field."""
        try:
            return uploads.keep(self.user, file)
        except images.ImageRefused as refusal:
            raise bad_value(param, str(refusal)) from refusal

    def named(self, url: str | None, param: str) -> Upload | None:
        """The picture at this URL, or in this data URL. Raises ApiError 400 that names the field, or 429."""
        if url is None:
            return None
        if url not in self.kept:
            self._make_room(param)
            try:
                self.kept[url] = self.uploaded(io.BytesIO(self._bytes_at(url)), param)
            except safe_http.AddressRefused as refusal:
                raise bad_value(param, str(refusal)) from refusal
            except binascii.Error:
                raise bad_value(param, "This data URL is not valid base64.") from None
        return self.kept[url]

    def stored(self, upload: Upload | None, param: str) -> Upload | None:
        """A file of the account, which counts as one of the request's pictures. Raises ApiError 400."""
        if upload is not None and (name := f"file:{upload.pk}") not in self.kept:
            self._make_room(param)
            self.kept[name] = upload
        return upload

    def _make_room(self, param: str) -> None:
        if len(self.kept) >= MAX_PICTURES:
            raise bad_value(param, f"A request can have at most {MAX_PICTURES} pictures.")

    def _bytes_at(self, url: str) -> bytes:
        if match := DATA_URL.match(url):
            return base64.b64decode(url[match.end() :], validate=True)
        safe_http.check_url(url)
        if self.until is None:
            self.until = time.monotonic() + SECONDS
        with _turn_of(self.user):
            left = self.until - time.monotonic()
            return safe_http.fetch(url, images.LIMITS["megabytes"] * 1_000_000, left)


def check_picture_url(url: str, param: str) -> None:
    """Raise ApiError 400 for a URL that would not be fetched, as far as that shows without DNS."""
    try:
        if not DATA_URL.match(url):
            safe_http.check_url(url)
    except safe_http.AddressRefused as refusal:
        raise bad_value(param, str(refusal)) from refusal


def file_of(user: User, file_id: str, param: str) -> Upload:
    """The user's file with this id. Raises ApiError 400 that names the field, also for a file of somebody else."""
    pk = uuid_of(file_id, "file")
    upload = uploads.files(user).filter(pk=pk).first() if pk else None
    if upload is None:
        raise bad_value(param, f"No such file: '{file_id[:100]}'. Upload it with POST /v1/files.")
    return upload


@contextmanager
def _turn_of(user: User) -> Iterator[None]:
    """Reserve one of the few concurrent fetches. Raises ApiError 429 if none is free."""
    with _lock:
        if user.pk in _fetching:
            raise _too_many("Another request of yours is")
        _fetching.add(user.pk)
    try:
        with _fetches.turn():
            yield
    except Busy as error:
        raise _too_many("Other requests are") from error
    finally:
        with _lock:
            _fetching.discard(user.pk)


def _too_many(whose: str) -> ApiError:
    message = f"{whose} downloading a picture. Try again shortly, or send the picture itself."
    return ApiError(429, message, code="too_many_fetches", after=2)
