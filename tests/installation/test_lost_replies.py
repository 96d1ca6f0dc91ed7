"""Clients whose replies are lost on the way: what they ordered is made once and charged once.

Each client runs with its defaults, in a program that does what docs/api.md says about repeats. ORDERS=50 is the full run.
"""

import json
from functools import partial

import pytest

from tests.support.installation import Site
from tests.support.lossy_proxy import ORDERS, SEED, LossyProxy
from tests.support.other_clients import javascript, python

PRICE = 10


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    # No video has to be finished: orders are what counts.
    with Site(tmp_path_factory.mktemp("lost"), SIMULATOR_SECONDS="3600", API_REQUESTS_A_MINUTE="0") as site:
        yield site


# --- Programs: each orders `count` videos at `url` and prints their ids, and how often the client gave up ----------

# The same order again, with the same Idempotency-Key, until there is an answer.
WITH_A_KEY = """
import json, sys, warnings
import openai
warnings.simplefilter("ignore")
url, key, count = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key)
ids, given_up = [], 0
while len(ids) < int(count):
    number = len(ids)
    try:
        video = client.videos.create(
            prompt=f"A red kite [sim:mark-{number}]", extra_headers={"Idempotency-Key": f"order-{number}"}
        )
    except openai.APIConnectionError:
        given_up += 1
    else:
        ids.append(video.id)
print(json.dumps([openai.__version__, ids, given_up]))
"""

# Equal orders, which the SDK repeats without a key. What was given up is looked for in the list.
WITHOUT_A_KEY = """
import json, sys, warnings
import openai
warnings.simplefilter("ignore")
url, key, count = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key)
ids, given_up = [], 0
while len(ids) < int(count):
    try:
        video = client.videos.create(prompt="A red kite")
    except openai.APIConnectionError:
        given_up += 1
        while True:
            try:
                video = client.videos.list(limit=1).data[0]
                break
            except openai.APIConnectionError:
                pass
    ids.append(video.id)
print(json.dumps([openai.__version__, ids, given_up]))
"""

JAVASCRIPT = """
import OpenAI from "PACKAGE";
import { VERSION } from "PACKAGE/version";
const [url, key, count] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: key });
const ids = [];
let givenUp = 0;
while (ids.length < Number(count)) {
  const number = ids.length;
  try {
    const headers = { "Idempotency-Key": `order-${number}` };
    ids.push((await client.videos.create({ prompt: `A red kite [sim:mark-${number}]` }, { headers })).id);
  } catch (error) {
    if (error instanceof OpenAI.APIError && error.status) throw error;
    givenUp += 1;
  }
}
console.log(JSON.stringify([VERSION, ids, givenUp]));
"""


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(partial(python, WITH_A_KEY), id="python"),
        pytest.param(partial(python, WITH_A_KEY, packages="openai-2"), id="old-python"),
        pytest.param(partial(python, WITHOUT_A_KEY), id="python-without-a-key"),
        pytest.param(partial(python, WITHOUT_A_KEY, packages="openai-2"), id="old-python-without-a-key"),
        pytest.param(partial(javascript, JAVASCRIPT.replace("PACKAGE", "openai")), id="javascript"),
        pytest.param(partial(javascript, JAVASCRIPT.replace("PACKAGE", "openai-6")), id="old-javascript"),
    ],
)
def test_A26_each_order_is_one_video_and_one_charge(site, order, request):
    email = f"{request.node.callspec.id}@example.com"
    key = site.new_key(email, 2 * PRICE * ORDERS)
    with LossyProxy(site.url, SEED) as proxy:
        version, ids, given_up = json.loads(order(proxy.url, key, str(ORDERS)))
    print(f"openai {version}: {ORDERS} orders, {proxy.lost} replies lost, given up {given_up} times")
    assert proxy.lost
    videos, charges = site.orders_of(email)
    assert sorted(videos) == sorted(ids)
    assert charges == [-PRICE] * ORDERS
    assert "The ledger is consistent." in site.manage("check_ledger")
