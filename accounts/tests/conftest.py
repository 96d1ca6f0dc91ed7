"""A shop with one pack, and a Stripe of the tests at which it is paid."""

import pytest

from accounts import stripe_gateway
from accounts.models import CreditPack
from tests.support.payments import buy
from tests.support.stripe_server import KEY, SECRET, FakeStripe


@pytest.fixture(scope="module")
def server():
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def stripe(server, settings):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    settings.STRIPE_API_BASE, settings.TOP_UPS, settings.TEST_CHECKOUT = server.url, True, False
    stripe_gateway._client.cache_clear()
    server.is_down = server.livemode = server.is_restricted = False
    server.account_currency, server.rate, server.page = "", 1.0, 100
    for kept in (server.sessions, server.intents, server.refunds, server.disputes, server.transactions):
        kept.clear()
    yield server
    stripe_gateway._client.cache_clear()


@pytest.fixture
def pack():
    return CreditPack.objects.create(name="Some", credits=1000, price=2500, currency="usd")


@pytest.fixture
def payment(stripe, owner, pack):
    """An order whose buyer is on Stripe's page."""
    return buy(owner, pack)
