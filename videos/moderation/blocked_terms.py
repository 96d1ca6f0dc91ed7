"""Finds the terms that staff have blocked in prompts. Needs no external service."""

import re
import time
import unicodedata

from videos.models import BlockedTerm

FRESH = 15  # seconds for which each process caches the terms

_loaded_at = -float("inf")
_pattern: re.Pattern[str] | None = None


def found_in(text: str) -> str | None:
    """The first blocked term in a text, as matched there; None if there is none."""
    global _loaded_at, _pattern
    if time.monotonic() - _loaded_at >= FRESH:
        _pattern = _compile(list(BlockedTerm.objects.values_list("term", flat=True)))
        _loaded_at = time.monotonic()
    match = _pattern.search(_normalize(text)) if _pattern else None
    return " ".join(match[0].split()) if match else None


def _compile(terms: list[str]) -> re.Pattern[str] | None:
    """One pattern for all terms, as whole words."""
    phrases = [
        r"[\s_-]+".join(map(re.escape, words)) for term in terms if (words := _normalize(term).split())
    ]
    # Not \b, which counts an underscore as part of a word.
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(phrases)})(?![^\W_])") if phrases else None


def _normalize(text: str) -> str:
    """Normalized: no full-width letters or ligatures, no capitals, and no invisible characters."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")
