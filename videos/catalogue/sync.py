"""What a provider says of its models, beside what the catalogue says: shown first, then taken over by staff.

A model that is new comes in paused: staff give it a price and put it on sale.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from videos.catalogue import connections
from videos.models import LONGEST, Channel, Offer, VideoModel
from videos.providers.base import Capability

CENT = Decimal("0.0001")  # the least that the catalogue tells apart, in US dollars


@dataclass(frozen=True)
class Difference:
    """A model that a provider has otherwise than the catalogue. `changes` are (ours, theirs) by field; new has none."""

    name: str
    provider_model: str
    offer: Offer | None
    fields: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]


def differences(channel: Channel) -> list[Difference]:
    """What the channel's provider says today that the catalogue does not. Raises Unavailable without its list."""
    ours = {
        offer.provider_model: offer for offer in Offer.objects.filter(channel=channel).select_related("model")
    }
    found = [_difference(said, ours.get(said.model)) for said in asyncio.run(_ask(channel))]
    return [
        one
        for one in found
        if one.changes or (one.offer is None and one.fields["sizes"] and one.fields["lengths"])
    ]


def take_over(channel: Channel, chosen: Sequence[Difference]) -> bool:
    """Make the catalogue say what the provider says in these differences. False if there is none of them."""
    with transaction.atomic():
        for one in chosen:
            _take(channel, one)
    return bool(chosen)


async def _ask(channel: Channel) -> list[Capability]:
    provider = connections.provider_for(channel)
    try:
        return await provider.capabilities()
    finally:
        await provider.close()


def _difference(said: Capability, offer: Offer | None) -> Difference:
    fields: dict[str, Any] = {
        "sizes": said.sizes,
        "lengths": [length for length in said.lengths if length <= LONGEST],
        "takes": said.takes,
        "has_sound": said.has_sound,
    }
    if said.cost_a_second is not None:
        fields["cost_a_second"] = said.cost_a_second.quantize(CENT)
    if offer is None:
        return Difference(said.name, said.model, None, fields, {})
    # The list does not tell who takes a negative prompt.
    fields["takes"] = said.takes + [name for name in offer.model.takes if name == "negative_prompt"]
    changes = {}
    for name, theirs in fields.items():
        have = getattr(offer if name == "cost_a_second" else offer.model, name)
        if theirs == [] and name != "takes":
            continue
        if set(have) != set(theirs) if isinstance(theirs, list) else have != theirs:
            changes[name] = (have, _in_our_order(have, theirs))
    return Difference(offer.model.name, said.model, offer, fields, changes)


def _in_our_order(have: Any, theirs: Any) -> Any:
    """Of lists, what stays comes first and as it stood: the first of a list is its default."""
    if not isinstance(theirs, list):
        return theirs
    return [one for one in have if one in theirs] + [one for one in theirs if one not in have]


def _take(channel: Channel, one: Difference) -> None:
    if one.offer is None:
        fields = {name: value for name, value in one.fields.items() if name != "cost_a_second"}
        model, _is_new = VideoModel.objects.get_or_create(
            slug=_free_slug(one.provider_model),
            defaults={**fields, "name": one.name[:60], "enabled": False, "position": 100},
        )
        about = {"provider_model": one.provider_model, "cost_a_second": one.fields.get("cost_a_second")}
        model.offers.get_or_create(channel=channel, defaults={**about, "priority": model.offers.count()})
        return
    for name, (_ours, theirs) in one.changes.items():
        row = one.offer if name == "cost_a_second" else one.offer.model
        setattr(row, name, theirs)
        row.save(update_fields=[name])


def _free_slug(provider_model: str) -> str:
    """The model's own name or, where one of ours has it, its maker's and its own: that one may be on sale."""
    own = slugify(provider_model.rpartition("/")[2])[:50]
    if own and not VideoModel.objects.filter(slug=own).exists():
        return own
    return slugify(provider_model.replace("/", "-"))[:50]
