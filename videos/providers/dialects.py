"""Servers of OpenAI's `/v1/videos` that deviate from it, by name: a channel says which of them it is.

Only what changes what is done stands here, so that nobody has to learn it from a request that fails. Other words,
other shapes of an error and other places of a file are read generously from whoever says them: see `words`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Profile:
    """What there is at a server. By default all that the protocol has: an unknown server says itself what it lacks."""

    title: Any
    sends_model: bool = True  # False: it makes one model only, and refuses any other name for it
    has_list: bool = True  # whether GET /videos shows the account's jobs
    # Whether a listed job tells prompt, size and length as they were asked for, so that another's can be ruled out.
    lists_what_was_asked: bool = True
    cancels: bool = True  # whether DELETE /videos/{id} ends a job that is still running
    # Whether it takes a picture that the video ends on, which the protocol has no word for: as our own simulator does.
    takes_last_frame: bool = False
    create_headers: Mapping[str, str] = field(default_factory=dict)


PROFILES = {
    "": Profile(_("any server of the protocol"), takes_last_frame=True),
    # Its document has DELETE for "a completed or failed video".
    "openai": Profile("OpenAI", cancels=False),
    # 0.30: the name must be the one that it was started with, often a path; DELETE aborts what is under way.
    "vllm-omni": Profile("vLLM-Omni", sends_model=False),
    # 0.5.23: a job has no prompt, and the size and length that its model rounded them to; DELETE forgets a job and
    # goes on making it.
    "sglang": Profile("SGLang Diffusion", lists_what_was_asked=False, cancels=False),
    # 1.106: the list wants to know whose (400), DELETE is 405. By itself it sends a create that got no good answer
    # twice more, without a key that would make it one job: a lost reply is three videos, all paid.
    "litellm": Profile(
        "LiteLLM proxy",
        has_list=False,
        cancels=False,
        create_headers={"x-litellm-num-retries": "0"},
    ),
    # Its routes are create, retrieve, content and remix.
    "new-api": Profile("new-api", has_list=False, cancels=False),
}


def choices() -> Iterable[tuple[str, Any]]:
    """The choices of a channel's profile, without the blank one."""
    return [(name, profile.title) for name, profile in PROFILES.items() if name]
