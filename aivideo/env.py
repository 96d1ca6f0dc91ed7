"""Read settings from the environment and report everything that is wrong with them at once.

A missing or invalid value must stop the start with a message that says what to do. Each read therefore
records its problem and carries on; `exit_if_invalid` then ends the process with the whole list.
"""

import base64
import os
import re
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}

problems: list[str] = []
names: set[str] = set()  # every variable that a setting was read from


def text(name: str, default: str = "") -> str:
    """The value without surrounding whitespace; an empty value counts as unset."""
    names.add(name)
    return os.environ.get(name, "").strip() or default


def matching(name: str, pattern: str, expected: str) -> str:
    """A value that has to match the whole regular expression `pattern`; `expected` describes it in words."""
    value = text(name)
    if not value or re.fullmatch(pattern, value):
        return value
    _add_problem(name, value, expected)
    return ""


def boolean(name: str, default: bool) -> bool:
    """true, 1, yes, on or false, 0, no, off; case does not matter."""
    value = text(name).lower()
    if value in TRUE | FALSE:
        return value in TRUE
    if value:
        _add_problem(name, value, "true or false")
    return default


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """A whole number from `minimum` to `maximum`."""
    value = text(name)
    try:
        number = int(value or default)
    except ValueError:
        number = minimum - 1
    if minimum <= number <= maximum:
        return number
    _add_problem(name, value, f"a whole number from {minimum} to {maximum}")
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
            _add_problem(name, word, "IP addresses or networks such as 10.1.0.0/16, separated by commas")
    return found


def url(name: str, default: str = "", *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """An absolute URL without a trailing slash. The value may contain a password, so it is never shown."""
    value = text(name, default)
    if value and (
        urlsplit(value).scheme not in schemes or (schemes[0] == "http" and not urlsplit(value).hostname)
    ):
        problems.append(
            f"{name} is not valid: expected a URL that starts with {' or '.join(f'{s}://' for s in schemes)}."
        )
        return default
    return value.rstrip("/")


def webhook_secret(name: str) -> str:
    """A Standard Webhooks secret: `whsec_` followed by base64. The value is never shown."""
    value = text(name)
    prefix, _, key = value.partition("_")
    try:
        is_valid = prefix == "whsec" and bool(base64.b64decode(key, validate=True))
    except ValueError:
        is_valid = False
    if value and not is_valid:
        problems.append(
            f"{name} is not valid: expected whsec_ followed by base64, exactly as the provider shows it."
        )
    return value if is_valid else ""


def can_be_guessed(key: str) -> bool:
    """Whether a secret key is shorter, or made of fewer characters, than Django's deployment check allows, or is an example of its."""
    return len(key) < 50 or len(set(key)) < 10 or key.startswith("django-insecure-")


def require(name: str, description: str) -> None:
    """Record a problem if `name` is unset. `description` says what the value is for."""
    if not text(name):
        problems.append(f"{name} is not set: {description}")


def exit_if_invalid() -> None:
    """Exit with status 1 and a line for each problem, if there are any."""
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        sys.exit(
            f"aivideo cannot start:\n{lines}\nSet these in the environment or in .env; .env.example explains each one."
        )


def _add_problem(name: str, value: str, expected: str) -> None:
    problems.append(f"{name} is {value!r}: expected {expected}.")
