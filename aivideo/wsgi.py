import os
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aivideo.settings")

django = get_wsgi_application()


class WholeBody:
    """The body of a request, which ends with an error if it is cut off: half of a prompt would be ordered as if it were all of it."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self.stream, self.left = stream, length

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        return self._counted(self.stream.read(wanted), wanted)

    def readline(self, size: int = -1) -> bytes:
        line = self.stream.readline(self.left if size < 0 else min(size, self.left))
        return self._counted(line, 1 if size else 0)

    def _counted(self, data: bytes, wanted: int) -> bytes:
        if len(data) < min(wanted, self.left):
            raise ConnectionResetError("The body of the request is incomplete.")
        self.left -= len(data)
        return data


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django with whole requests, decoded as UTF-8: any other charset in Content-Type would fail before a view runs."""
    content_type = environ.get("CONTENT_TYPE", "")
    environ["CONTENT_TYPE"] = re.sub(r";\s*charset\s*=[^;]*", "", content_type, flags=re.IGNORECASE)
    if (length := environ.get("CONTENT_LENGTH") or "").isdecimal():
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"], int(length))
    return django(environ, start_response)
