"""The pictures that a request names by their address: fetched within narrow limits, checked and kept.

A server that never answers would otherwise keep one of the site's few threads for as long as it likes.
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

MAX_PICTURES = 8  # in one request
MAX_FETCHES = 2  # at a time, of the 8 threads of a web process; and one of each person
SECONDS = 15  # for all pictures of a request together
DATA_URL = re.compile(r"data:image/[a-z+]{2,10};base64,", re.IGNORECASE)

_fetching: set[int] = set()  # people, by their keys
_lock = threading.Lock()


class Pictures:
    """Of one request of a person: what it names twice is fetched once, and all before one deadline."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.kept: dict[str, Upload] = {}
        self.until: float | None = None  # monotonic seconds; begins with the first fetch

    def uploaded(self, file: Any, param: str) -> Upload:
        """A file that came along, checked and kept. Raises ApiError 400 that names the field."""
        try:
            return uploads.keep(self.user, file)
        except images.ImageRefused as refusal:
            raise bad_value(param, str(refusal)) from refusal

    def named(self, url: str | None, param: str) -> Upload | None:
        """The picture at this address, or in this data URL. Raises ApiError 400 that names the field, or 429."""
        if url is None:
            return None
        if url not in self.kept:
            if len(self.kept) >= MAX_PICTURES:
                raise bad_value(param, f"One request has at most {MAX_PICTURES} pictures.")
            try:
                self.kept[url] = self.uploaded(io.BytesIO(self._bytes_at(url)), param)
            except safe_http.AddressRefused as refusal:
                raise bad_value(param, str(refusal)) from refusal
            except binascii.Error:
                raise bad_value(param, "This data URL is not base64.") from None
        return self.kept[url]

    def _bytes_at(self, url: str) -> bytes:
        if match := DATA_URL.match(url):
            return base64.b64decode(url[match.end() :], validate=True)
        safe_http.check_url(url)
        if self.until is None:
            self.until = time.monotonic() + SECONDS
        with _turn_of(self.user):
            left = self.until - time.monotonic()
            return safe_http.fetch(url, images.LIMITS["megabytes"] * 1_000_000, left)


@contextmanager
def _turn_of(user: User) -> Iterator[None]:
    """One of the few fetches that may be under way. Raises ApiError 429 when they are."""
    with _lock:
        if user.pk in _fetching or len(_fetching) >= MAX_FETCHES:
            whose = "Another request of yours is" if user.pk in _fetching else "Others are"
            message = (
                f"{whose} fetching a picture at this moment. Send it again soon, or send the picture itself."
            )
            raise ApiError(429, message, code="too_many_fetches", after=2)
        _fetching.add(user.pk)
    try:
        yield
    finally:
        with _lock:
            _fetching.discard(user.pk)
