"""The packs on sale, with what helps to choose one."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from accounts.models import CreditPack


@dataclass(frozen=True)
class PackOffer:
    """A pack beside the others.

    `videos`: how many it pays at the usual price; 0 if that is unknown. `each`: what such a video costs then, in the smallest unit
    of the currency. `saving`: how much less a credit costs than in the dearest pack of the currency, in percent. `is_enough`: it
    pays what is missing now.
    """

    pack: CreditPack
    videos: int
    each: int
    saving: int
    is_enough: bool


def offers(currency: str, missing: int = 0) -> list[PackOffer]:
    """The packs on sale in a currency, in the order of staff, for somebody who needs `missing` more credits for what they want to make."""
    packs = list(CreditPack.objects.filter(is_sold=True, currency=currency))
    return [_offer(pack, packs, missing) for pack in packs]


def _offer(pack: CreditPack, packs: Iterable[CreditPack], missing: int) -> PackOffer:
    videos = pack.credits // settings.VIDEO_CREDITS if settings.VIDEO_CREDITS else 0
    each = round(pack.price / videos) if videos else 0
    dearest = max(one.price / one.credits for one in packs)
    saving = int(100 * (1 - pack.price / pack.credits / dearest) + 1e-9)
    return PackOffer(pack, videos, each, saving, 0 < missing <= pack.credits)
