"""Compares a provider's list of models with the catalog, so that staff can review and apply the differences.

A new model is added as disabled: staff set its price and enable it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

from django.db import transaction
from django.utils.text import slugify

from videos.catalogue import connections
from videos.models import LONGEST, Channel, Offer, VideoModel
from videos.providers.base import Capability

CENT = Decimal("0.0001")  # precision of costs in the catalog, in US dollars


class Facts(TypedDict):
    """What a provider's list says about a model, by the names of our fields: of the model, and of its offer (the cost)."""

    sizes: list[str]
    lengths: list[int]
    takes: list[str]
    has_sound: bool
    cost_a_second: NotRequired[Decimal]


@dataclass(frozen=True)
class Difference:
    """A model that differs between provider and catalog. `changes` is (ours, theirs) by field; empty for a new model."""

    name: str
    provider_model: str
    offer: Offer | None
    fields: Facts
    changes: dict[str, tuple[Any, Any]]


def differences(channel: Channel) -> list[Difference]:
    """What differs between the provider's list of models and the catalog. Raises Unavailable if there is no list."""
    ours = {
        offer.provider_model: offer for offer in Offer.objects.filter(channel=channel).select_related("model")
    }
    compared = [_compare(theirs, ours.get(theirs.model)) for theirs in asyncio.run(_ask(channel))]
    return [
        difference
        for difference in compared
        if difference.changes
        or (difference.offer is None and difference.fields["sizes"] and difference.fields["lengths"])
    ]


def take_over(channel: Channel, chosen: Sequence[Difference]) -> bool:
    """Apply these differences to the catalog. False if there are none."""
    with transaction.atomic():
        for difference in chosen:
            _apply(channel, difference)
    return bool(chosen)


async def _ask(channel: Channel) -> list[Capability]:
    async with connections.provider_for(channel) as provider:
        return await provider.capabilities()


def _compare(capability: Capability, offer: Offer | None) -> Difference:
    fields: Facts = {
        "sizes": capability.sizes,
        "lengths": [length for length in capability.lengths if length <= LONGEST],
        "takes": capability.takes,
        "has_sound": capability.has_sound,
    }
    if capability.cost_a_second is not None:
        fields["cost_a_second"] = capability.cost_a_second.quantize(CENT)
    if offer is None:
        return Difference(capability.name, capability.model, None, fields, {})
    # The list does not say which models take a negative prompt.
    fields["takes"] = capability.takes + [name for name in offer.model.takes if name == "negative_prompt"]
    changes = {}
    for name, theirs in fields.items():
        ours = getattr(offer if name == "cost_a_second" else offer.model, name)
        if theirs == [] and name != "takes":
            continue
        if set(ours) != set(theirs) if isinstance(theirs, list) else ours != theirs:
            changes[name] = (ours, _in_our_order(ours, theirs))
    return Difference(offer.model.name, capability.model, offer, fields, changes)


def _in_our_order(ours: Any, theirs: Any) -> Any:
    """Their value; for lists, with the items that we have first and in our order, because the first is the default."""
    if not isinstance(theirs, list):
        return theirs
    return [item for item in ours if item in theirs] + [item for item in theirs if item not in ours]


def _apply(channel: Channel, difference: Difference) -> None:
    if difference.offer is None:
        fields = {name: value for name, value in difference.fields.items() if name != "cost_a_second"}
        model, _is_new = VideoModel.objects.get_or_create(
            slug=_free_slug(difference.provider_model),
            defaults={**fields, "name": difference.name[:60], "enabled": False, "position": 100},
        )
        model.offers.get_or_create(
            channel=channel,
            defaults={
                "provider_model": difference.provider_model,
                "cost_a_second": difference.fields.get("cost_a_second"),
                "priority": model.offers.count(),
            },
        )
        return
    for name, (_ours, theirs) in difference.changes.items():
        row = difference.offer if name == "cost_a_second" else difference.offer.model
        setattr(row, name, theirs)
        row.save(update_fields=[name])


def _free_slug(provider_model: str) -> str:
    """The model's name or, if that slug is taken (the other model may be on sale), its maker's and its own name."""
    own = slugify(provider_model.rpartition("/")[2])[:50]
    if own and not VideoModel.objects.filter(slug=own).exists():
        return own
    return slugify(provider_model.replace("/", "-"))[:50]
