"""LiteLLM in front of our API, its replies lost on the way: what it orders is made once and charged once.

ORDERS=50 is the full run.
"""

import json
import sys

import pytest

from bench import api
from tests.peers import HOW
from tests.support.installation import Site
from tests.support.lossy_proxy import ORDERS, SEED, LossyProxy
from tests.support.other_clients import run

PRICE = 10

# The SDK repeats nothing by itself, so the program orders again, with the same Idempotency-Key.
SDK = """
import json, sys
import litellm
url, key, count = sys.argv[1:]
litellm.suppress_debug_info = True
ids, failures = [], 0
while len(ids) < int(count):
    number = len(ids)
    try:
        video = litellm.video_generation(
            model="openai/sora-2",
            prompt=f"A red kite [sim:mark-{number}]",
            api_base=url + "/v1",
            api_key=key,
            extra_headers={"Idempotency-Key": f"order-{number}"},
        )
    except litellm.InternalServerError:
        failures += 1
    else:
        ids.append(video.id)
print(json.dumps([ids, failures]))
"""

# The proxy passes no Idempotency-Key on. It repeats lost requests, and so does the SDK in front of it.
BEHIND_THE_PROXY = """
import json, sys, warnings
import openai
warnings.simplefilter("ignore")
url, key, count = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key)
ids, failures = [], 0
while len(ids) < int(count):
    try:
        video = client.videos.create(model="sora-2", prompt=f"A red kite [sim:mark-{len(ids)}]")
    except openai.InternalServerError:
        failures += 1
    else:
        ids.append(video.id)
print(json.dumps([ids, failures]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not api.LITELLM.exists():
        pytest.fail(f"LiteLLM {HOW}.")
    with Site(tmp_path_factory.mktemp("lost"), SIMULATOR_SECONDS="3600", API_REQUESTS_A_MINUTE="0") as site:
        yield site


@pytest.fixture
def lossy(site):
    with LossyProxy(site.url, SEED) as lossy:
        yield lossy
    assert lossy.lost


def check(site, email, said):
    """There are as many videos and charges as orders, and each order was answered with a video of its own."""
    ids, failures = json.loads(said.splitlines()[-1])
    print(f"{len(ids)} orders, {failures} failures")
    videos, charges = site.orders_of(email)
    assert (len(set(ids)), len(videos), charges) == (ORDERS, ORDERS, [-PRICE] * ORDERS)
    assert "The ledger is consistent." in site.manage("check_ledger")


def test_orders_of_the_sdk_are_made_and_charged_once(site, lossy):
    email = "sdk@example.com"
    key = site.new_key(email, 2 * PRICE * ORDERS)
    command = [str(api.LITELLM.with_name("python")), "-", lossy.url, key, str(ORDERS)]
    check(site, email, run(command, SDK, LITELLM_LOCAL_MODEL_COST_MAP="True"))


def test_orders_of_the_proxy_are_made_and_charged_once_if_its_key_has_a_repeat_window(site, lossy):
    email = "proxy@example.com"
    key = site.new_key(email, 2 * PRICE * ORDERS)
    site.change_keys(email, repeat_window=3600)
    with api.litellm(f"{lossy.url}/v1", 1, key) as port:
        command = [sys.executable, "-", f"http://127.0.0.1:{port}", api.MASTER_KEY, str(ORDERS)]
        check(site, email, run(command, BEHIND_THE_PROXY))
