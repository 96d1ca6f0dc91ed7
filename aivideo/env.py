"""Reads settings from the environment and explains what is wrong with them, all at once.

A wrong or missing value must stop the start with a sentence that says what to do. So each read
notes its problem and goes on, and `stop_if_wrong` ends the process with the whole list.
"""

import base64
import os
import re
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}

problems: list[str] = []
names: set[str] = set()  # of all variables that settings were read from


def text(name: str, default: str = "") -> str:
    """The value without surrounding blanks; an empty value counts as unset."""
    names.add(name)
    return os.environ.get(name, "").strip() or default


def matching(name: str, pattern: str, expected: str) -> str:
    """A text that the regular expression `pattern` covers from end to end; `expected` says so in words."""
    value = text(name)
    if not value or re.fullmatch(pattern, value):
        return value
    _wrong(name, value, expected)
    return ""


def boolean(name: str, default: bool) -> bool:
    """true, 1, yes, on or their opposites, in any case."""
    value = text(name).lower()
    if value in TRUE | FALSE:
        return value in TRUE
    if value:
        _wrong(name, value, "true or false")
    return default


def integer(name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = text(name)
    try:
        number = int(value or default)
    except ValueError:
        number = least - 1
    if least <= number <= most:
        return number
    _wrong(name, value, f"a whole number from {least} to {most}")
    return default


def words(name: str) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """A comma-separated list of addresses and networks, such as 10.1.0.0/16."""
    found = []
    for word in words(name):
        try:
            found.append(ip_network(word))
        except ValueError:
            _wrong(name, word, "IP addresses or networks such as 10.1.0.0/16, separated by commas")
    return found


def url(name: str, default: str = "", *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """An absolute URL without a trailing slash. Its value may hold a password, so it is never shown."""
    value = text(name, default)
    if value and (
        urlsplit(value).scheme not in schemes or (schemes[0] == "http" and not urlsplit(value).hostname)
    ):
        problems.append(
            f"{name} cannot be read: expected a URL that starts with {' or '.join(f'{s}://' for s in schemes)}."
        )
        return default
    return value.rstrip("/")


def webhook_secret(name: str) -> str:
    """`whsec_` and base64, as Standard Webhooks writes a secret. It is never shown."""
    value = text(name)
    prefix, _, key = value.partition("_")
    try:
        is_readable = prefix == "whsec" and bool(base64.b64decode(key, validate=True))
    except ValueError:
        is_readable = False
    if value and not is_readable:
        problems.append(
            f"{name} cannot be read: expected whsec_ and base64 after it, as the provider shows it."
        )
    return value if is_readable else ""


def require(name: str, why: str) -> None:
    """Note `name` as missing unless the environment gives it a value."""
    if not text(name):
        problems.append(f"{name} is not set: {why}")


def stop_if_wrong() -> None:
    """End the process with one sentence a problem (exit status 1). Does nothing when all is well."""
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        sys.exit(
            f"aivideo cannot start:\n{lines}\nSet these in the environment or in .env; .env.example explains each one."
        )


def _wrong(name: str, value: str, expected: str) -> None:
    problems.append(f"{name} is {value!r}: expected {expected}.")
