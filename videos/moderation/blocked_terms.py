"""The words that staff block, looked for in what people ask. No service is needed for it, and none is asked."""

import re
import time
import unicodedata

from videos.models import BlockedTerm

FRESH = 15  # seconds until a change by staff counts in every process

_loaded_at = -float("inf")
_pattern: re.Pattern[str] | None = None


def found_in(text: str) -> str | None:
    """The first blocked term in a text, as it is matched there; None if there is none."""
    global _loaded_at, _pattern
    if time.monotonic() - _loaded_at >= FRESH:
        _pattern = _compiled(list(BlockedTerm.objects.values_list("term", flat=True)))
        _loaded_at = time.monotonic()
    match = _pattern.search(_plain(text)) if _pattern else None
    return " ".join(match[0].split()) if match else None


def _compiled(terms: list[str]) -> re.Pattern[str] | None:
    """One pattern for all terms, as whole words."""
    phrases = [r"[\s_-]+".join(map(re.escape, words)) for term in terms if (words := _plain(term).split())]
    # Not \b: an underscore is no letter of a word here.
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(phrases)})(?![^\W_])") if phrases else None


def _plain(text: str) -> str:
    """Without what only looks different: wide letters and ligatures, capitals, and marks that nobody sees."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")
