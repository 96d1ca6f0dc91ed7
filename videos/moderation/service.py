"""OpenAI's moderation service, or another that speaks its protocol, through the official SDK.

The only place that knows its words. Asking costs nothing, so the SDK may try twice.
"""

import asyncio
import base64
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

log = logging.getLogger(__name__)

MODEL = "omni-moderation-latest"
OPENAI = "https://api.openai.com/v1"

# Seconds: of one try, of one request with its second try, and of all that one order asks. Somebody waits for them.
TRY, REQUEST, ALL = 4.5, 10, 60
MAX_TEXTS = 100  # in one request
AT_ONCE = 8  # requests of one order
# Of the 8 threads of a web process, those that may wait here, so that a slow service does not take the whole site along.
MAX_WAITING, TIMEOUT_SECONDS = 4, 2  # threads; seconds that another one waits for its turn
RETRY_AFTER = 30  # seconds, where the service does not say

_waiting = threading.BoundedSemaphore(MAX_WAITING)


class Unavailable(Exception):
    """The service gave no verdict. `after` is when to come again, in seconds; the text is for staff."""

    def __init__(self, why: str, after: float = RETRY_AFTER) -> None:
        super().__init__(why)
        self.after = after


@dataclass(frozen=True)
class Question:
    """What is judged together: a text, and a picture (JPEG) that may belong to it."""

    text: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """`kinds` says whether the text or the image was objected to; it may be empty, as `categories` may be."""

    is_flagged: bool
    categories: tuple[str, ...]
    kinds: frozenset[str]
    model: str


def is_configured() -> bool:
    return bool(settings.MODERATION_API_KEY)


def ask(questions: Iterable[Question]) -> dict[Question, Answer]:
    """What the service says of each. Raises Unavailable if it does not say so of all of them."""
    import openai  # here, because it would take a third of the start of every process, and few ever ask

    if not _waiting.acquire(timeout=TIMEOUT_SECONDS):
        raise Unavailable("too many orders wait for it already", after=5)
    try:
        return asyncio.run(_ask(set(questions)))
    except openai.APIStatusError as error:
        raise Unavailable(f"HTTP {error.status_code}: {error.message[:200]}") from error
    except TimeoutError as error:
        raise Unavailable("no answer in time") from error
    except (openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise Unavailable(f"no answer that can be read: {error!r:.200}") from error
    finally:
        _waiting.release()


async def _ask(questions: set[Question]) -> dict[Question, Answer]:
    import openai

    texts = [question for question in questions if question.picture is None]
    parts = [texts[start : start + MAX_TEXTS] for start in range(0, len(texts), MAX_TEXTS)]
    parts += [[question] for question in questions if question.picture is not None]
    room = asyncio.Semaphore(AT_ONCE)

    async def ask_one(part: list[Question]) -> dict[Question, Answer]:
        async with room, asyncio.timeout(REQUEST):
            said = await client.moderations.create(model=MODEL, input=_input(part))
        return dict(zip(part, _read(said, len(part)), strict=True))

    client = openai.AsyncOpenAI(
        # Said outright: the SDK would take OPENAI_BASE_URL from the environment, and bring the key to that server.
        base_url=settings.MODERATION_BASE_URL or OPENAI,
        api_key=settings.MODERATION_API_KEY,
        timeout=TRY,
        max_retries=1,
        http_client=openai.DefaultAioHttpClient(),
    )
    async with client, asyncio.timeout(ALL):
        answers = await asyncio.gather(*map(ask_one, parts))
    return {question: answer for part in answers for question, answer in part.items()}


def _input(part: list[Question]) -> Any:
    """Several texts get an answer each; a text and one picture get one together, and more pictures are refused."""
    [*_others, last] = part
    if last.picture is None:
        return [question.text for question in part]
    url = f"data:image/jpeg;base64,{base64.b64encode(last.picture).decode()}"
    return [{"type": "text", "text": last.text}, {"type": "image_url", "image_url": {"url": url}}]


def _read(said: Any, count: int) -> list[Answer]:
    """The answers to so many questions. Raises ValueError and the like for anything else: the SDK believes everything."""
    from openai.types import ModerationCreateResponse

    if not isinstance(said, ModerationCreateResponse):
        raise ValueError(f"not JSON: {str(said)[:80]!r}")
    results = said.to_dict(warnings=False)["results"]
    if not isinstance(results, list) or len(results) != count:
        raise ValueError(f"not {count} results")
    return [_answer(result, said.model) for result in results]


def _answer(result: dict[str, Any], model: Any) -> Answer:
    if not isinstance(result["flagged"], bool):
        raise ValueError("flagged is neither true nor false")
    categories = [name for name, is_so in (result.get("categories") or {}).items() if is_so is True]
    applied = result.get("category_applied_input_types") or {}
    kinds = frozenset(kind for name in categories for kind in applied.get(name) or ())
    return Answer(result["flagged"], tuple(categories), kinds, str(model)[:100])
