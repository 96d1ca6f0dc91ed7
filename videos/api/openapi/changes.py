"""What has changed in the API, from the project's changelog."""

import re
from functools import cache

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from videos.api.openapi.reference import html

FILE = settings.BASE_DIR / "CHANGELOG.md"
MARK = "**API:** "  # begins each entry about the API


@cache
def of_the_api() -> list[tuple[str, list[SafeString]]]:
    """The entries about the API of each release, the newest first, with a title for each."""
    found: list[tuple[str, list[SafeString]]] = []
    for release in re.split(r"^## ", FILE.read_text(), flags=re.MULTILINE)[1:]:
        title, _newline, text = release.partition("\n")
        entries = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
        about_api = [_sentence(entry.removeprefix(MARK)) for entry in entries if entry.startswith(MARK)]
        version, _dash, day = title.removeprefix("[").partition("] - ")
        if about_api:
            found.append((f"{version} ({day})" if day else _("Since %s") % settings.VERSION, about_api))
    return found


def _sentence(entry: str) -> SafeString:
    """An entry as HTML, on one line and with a capital at its beginning."""
    text = " ".join(entry.split())
    return html(text[:1].upper() + text[1:])
