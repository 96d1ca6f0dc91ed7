"""Checks a channel's provider with a request that costs nothing, and says how to fix what is wrong."""

import asyncio

from videos.catalogue import connections
from videos.models import Channel
from videos.providers.base import Unavailable

VERIFY = (
    "the organization is not verified. Open https://platform.openai.com/settings/organization/general as its owner,"
    " choose Verify Organization and follow it to its end; wait 15 minutes; then make a new key, since old ones"
    " may keep what they were not allowed"
)


def ask(channel: Channel) -> tuple[bool, str]:
    """Whether the channel works as far as a free request shows, and a sentence for the operator."""
    address = connections.base_url(channel)
    try:
        status, body = asyncio.run(_ask(channel))
    except Unavailable as error:
        return False, f"{address} does not answer ({error}). Check the base URL, and that the server runs."
    if status == 200:
        return True, f"{address} answers and takes the key."
    if status in (404, 405):
        return (
            True,
            f"{address} answers, and has nothing to show that would cost nothing: the key is unproven.",
        )
    if status == 401:
        return (
            False,
            f"the key in {channel.key_variable or '(no variable)'} is refused. Make a new one there.",
        )
    if status == 402:
        return False, "the account is empty. Add money to it there."
    if status == 403:
        return False, VERIFY if "must be verified" in body else f"the key may not do this: {body[:200]}"
    if status == 429:
        return False, "too many requests, or nothing left of a quota. Wait, or raise the limit there."
    return False, f"{address} answers HTTP {status}: {body[:200]}"


async def _ask(channel: Channel) -> tuple[int, str]:
    async with connections.provider_for(channel) as provider:
        return await provider.probe()
