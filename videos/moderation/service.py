"""Client of OpenAI's moderation service, or another with the same API, through the official SDK.

The only module that knows that API. Requests cost nothing, so the SDK may retry once.
"""

import asyncio
import base64
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from videos.thread_budget import Busy, SlowCalls

log = logging.getLogger(__name__)

MODEL = "omni-moderation-latest"
OPENAI = "https://api.openai.com/v1"

# Timeouts in seconds: of one attempt, of one request with its retry, and of all requests of one call. A user waits.
TRY, REQUEST, ALL = 4.5, 10, 60
MAX_TEXTS = 100  # in one request
AT_ONCE = 8  # concurrent requests of one call
RETRY_AFTER = 30  # seconds

_calls = SlowCalls(at_once=4, wait=2, for_orders=True)


class Unavailable(Exception):
    """The service gave no verdict. `after` is the number of seconds to wait before a retry; the text is for staff."""

    def __init__(self, reason: str, after: float = RETRY_AFTER) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class Question:
    """A text and optionally a picture (JPEG) that are judged together."""

    text: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """`kinds` says whether "text" or "image" was flagged. It and `categories` may be empty even if `is_flagged`."""

    is_flagged: bool
    categories: tuple[str, ...]
    kinds: frozenset[str]
    model: str


def is_configured() -> bool:
    return bool(settings.MODERATION_API_KEY)


def ask(questions: Iterable[Question]) -> dict[Question, Answer]:
    """The service's answer to each question. Raises Unavailable unless it answers all of them."""
    try:
        with _calls.turn():
            return _answers(set(questions))
    except Busy as error:
        raise Unavailable("too many requests are waiting for it already", after=5) from error


def _answers(questions: set[Question]) -> dict[Question, Answer]:
    import openai  # here, because it takes a third of the start of every process, and few ever need it

    try:
        return asyncio.run(_ask(questions))
    except openai.APIStatusError as error:
        raise Unavailable(f"HTTP {error.status_code}: {error.message[:200]}") from error
    except TimeoutError as error:
        raise Unavailable("no answer in time") from error
    except (openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise Unavailable(f"unreadable answer: {error!r:.200}") from error


async def _ask(questions: set[Question]) -> dict[Question, Answer]:
    import openai

    texts = [question for question in questions if question.picture is None]
    parts = [texts[start : start + MAX_TEXTS] for start in range(0, len(texts), MAX_TEXTS)]
    parts += [[question] for question in questions if question.picture is not None]
    semaphore = asyncio.Semaphore(AT_ONCE)

    async def ask_part(part: list[Question]) -> dict[Question, Answer]:
        async with semaphore, asyncio.timeout(REQUEST):
            response = await client.moderations.create(model=MODEL, input=_input(part))
        return dict(zip(part, _read(response, len(part)), strict=True))

    client = openai.AsyncOpenAI(
        # Explicit: otherwise the SDK would use OPENAI_BASE_URL and send this key to that server.
        base_url=settings.MODERATION_BASE_URL or OPENAI,
        api_key=settings.MODERATION_API_KEY,
        timeout=TRY,
        max_retries=1,
        http_client=openai.DefaultAioHttpClient(),
    )
    async with client, asyncio.timeout(ALL):
        answers = await asyncio.gather(*map(ask_part, parts))
    return {question: answer for part in answers for question, answer in part.items()}


def _input(part: list[Question]) -> Any:
    """The request's `input`: a list of texts, each with its own result, or one text and one picture with a joint result."""
    [*_others, last] = part
    if last.picture is None:
        return [question.text for question in part]
    url = f"data:image/jpeg;base64,{base64.b64encode(last.picture).decode()}"
    return [{"type": "text", "text": last.text}, {"type": "image_url", "image_url": {"url": url}}]


def _read(response: Any, count: int) -> list[Answer]:
    """The answers in a response to `count` questions. The SDK does not validate; raises ValueError and the like if malformed."""
    from openai.types import ModerationCreateResponse

    if not isinstance(response, ModerationCreateResponse):
        raise ValueError(f"not JSON: {str(response)[:80]!r}")
    results = response.to_dict(warnings=False)["results"]
    if not isinstance(results, list) or len(results) != count:
        raise ValueError(f"not {count} results")
    return [_answer(result, response.model) for result in results]


def _answer(result: dict[str, Any], model: Any) -> Answer:
    if not isinstance(result["flagged"], bool):
        raise ValueError("flagged is neither true nor false")
    categories = [name for name, is_so in (result.get("categories") or {}).items() if is_so is True]
    applied = result.get("category_applied_input_types") or {}
    kinds = frozenset(kind for name in categories for kind in applied.get(name) or ())
    return Answer(result["flagged"], tuple(categories), kinds, str(model)[:100])
