"""Dialects of OpenAI's `/v1/videos` protocol: servers that deviate from it, by the name that a channel's profile has.

Only deviations that change our behavior are listed here, so that no request has to fail first. Different states, error
formats and file locations are accepted from any server: see `normalise`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Profile:
    """What a server supports: by default the whole protocol; an unknown server reports itself what it does not support."""

    title: str | Promise
    sends_model: bool = True  # False: it serves one model only and rejects other names for it
    has_list: bool = True  # whether GET /videos shows the account's jobs
    # Whether listed jobs have the prompt, size and length as requested, so that other orders' jobs can be ruled out.
    lists_what_was_asked: bool = True
    cancels: bool = True  # whether DELETE /videos/{id} cancels a running job
    # Whether it takes a last frame, which is not part of the protocol; our simulator does.
    takes_last_frame: bool = False
    create_headers: Mapping[str, str] = field(default_factory=dict)


PROFILES = {
    "": Profile(_("any server of the protocol"), takes_last_frame=True),
    # Its documentation restricts DELETE to "a completed or failed video".
    "openai": Profile("OpenAI", cancels=False),
    # 0.30: the model name must be the one it was started with, often a path; DELETE aborts running jobs.
    "vllm-omni": Profile("vLLM-Omni", sends_model=False),
    # 0.5.23: jobs have no prompt, and the size and length as rounded by the model; DELETE forgets a job without stopping
    # it.
    "sglang": Profile("SGLang Diffusion", lists_what_was_asked=False, cancels=False),
    # 1.106: the list requires a provider (400), DELETE is 405. By default it retries a failed create twice without an
    # idempotency key: a lost reply means three videos, all paid for.
    "litellm": Profile(
        "LiteLLM proxy",
        has_list=False,
        cancels=False,
        create_headers={"x-litellm-num-retries": "0"},
    ),
    # It has only create, retrieve, content and remix.
    "new-api": Profile("new-api", has_list=False, cancels=False),
}


def choices() -> Iterable[tuple[str, str | Promise]]:
    """The choices for a channel's profile, without the blank one."""
    return [(name, profile.title) for name, profile in PROFILES.items() if name]
