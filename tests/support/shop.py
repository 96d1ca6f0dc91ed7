"""A shop with one pack, and a Stripe of the tests at which it is paid."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fixtures import signed_in
from tests.support.low_balances import ask, state
from tests.support.payments import buy
from tests.support.stripe_server import KEY, SECRET, FakeStripe


@pytest.fixture(scope="module")
def stripe_server() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def stripe(stripe_server: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    from accounts import stripe_gateway

    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    settings.STRIPE_API_BASE, settings.TOP_UPS, settings.TEST_CHECKOUT = stripe_server.url, True, False
    stripe_gateway._client.cache_clear()
    stripe_server.reset()
    yield stripe_server
    stripe_gateway._client.cache_clear()


@pytest.fixture
def pack(db: None) -> Any:
    from accounts.models import CreditPack

    return CreditPack.objects.create(name="Some", credits=1000, price=2500, currency="usd")


@pytest.fixture
def payment(stripe: FakeStripe, owner: Any, pack: Any) -> Any:
    """An order whose buyer is on Stripe's page."""
    return buy(owner, pack)


@pytest.fixture
def saved(stripe: FakeStripe, owner: Any, pack: Any) -> Any:
    """Its owner has 100 credits, and wants 1,000 for 25 USD when they are fewer than 50, twice a month; the card is saved."""
    answer = ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="2")
    assert (answer.status_code, answer.url[:28]) == (302, "https://checkout.stripe.com/")
    [session] = stripe.sessions.values()
    stripe.cards.save(session)
    page = signed_in(owner).get("/credits/card/", follow=True).content.decode()
    assert "Credits are bought with your saved card when they run low." in page
    assert state(owner) == ("buy", "")
    return owner
