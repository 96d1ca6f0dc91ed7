"""What may not be ordered, whoever asks and however."""

import pytest

from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import becomes, without
from tests.support.studio_page import form, nothing_happened

pytestmark = pytest.mark.django_db

PROMPT = "A red kite [sim:stuck]"


def ask(user):
    return signed_in(user).post("/", form(prompt=PROMPT))


@without(
    "the rule of who may ask for faults",
    "videos.catalogue.capabilities._may_ask_for_faults",
    becomes("settings.SIMULATOR_TAGS", "True"),
)
def test_A86_only_staff_ask_the_simulator_for_faults_on_a_public_site(settings):
    settings.SIMULATOR_TAGS = False
    customer = new_user()
    answer = ask(customer)
    assert answer.status_code == 422
    assert "only staff can ask the simulator for a fault" in answer.text
    assert PROMPT in answer.text
    assert nothing_happened(customer)
    assert ask(new_user(is_staff=True)).status_code == 302


def test_where_things_are_tried_out_everybody_may(settings):
    assert settings.SIMULATOR_TAGS
    assert ask(new_user()).status_code == 302
