"""A program that uses the API, for tests."""

import json
from typing import Any

from django.core.cache import cache
from django.test import Client

from accounts import api_keys


class Program(Client):
    """A program with a key of `user`, which has not sent anything yet."""

    def __init__(self, user: Any, **limits: Any) -> None:
        self.key, self.text = api_keys.create(user, "tests", **limits)
        cache.delete(f"bucket:key:{self.key.pk}")  # of a key of another test, which had this number
        super().__init__(headers={"Authorization": f"Bearer {self.text}"}, raise_request_exception=False)

    def send(self, path: str, body: dict[str, Any], **options: Any) -> Any:
        return self.post(path, json.dumps(body), content_type="application/json", **options)


def error_of(answer: Any) -> tuple[int, str | None, str | None]:
    """Status, param and code of an answer, which has OpenAI's shape of an error."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["param"], error["code"]
