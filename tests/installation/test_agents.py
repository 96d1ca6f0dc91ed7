"""Agents that share a key, over connections that break, at a site that is killed: nothing is charged twice or beyond the key.

The official clients of the Model Context Protocol call create_video CALLS times, and often repeat a call of their own or of
another client. CALLS=1000 is the full run.
"""

import json
import os
import random
import signal
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from tests.support.fixtures import TEST_TIMEOUT
from tests.support.installation import Site, processes_of
from tests.support.lossy_proxy import LossyProxy
from tests.support.other_clients import MCP, OLD_MCP, javascript, python

CALLS = int(os.environ.get("CALLS", 42))
RESTARTS = max(2, CALLS // 100)
# Calls choose among these ids at random, so that about half of them are repeats.
IDS = CALLS * 3 // 5
# The key can pay for so many videos, which are fewer than the calls ask for.
PAID, PRICE = IDS // 2, 10
TIMEOUT = TEST_TIMEOUT + 3 * CALLS
SEED = 3

PYTHON = """
import asyncio, json, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main(url, key, *ids):
    answers, failures, pending = [], 0, list(ids)
    while pending:
        try:
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
                async with Client(streamable_http_client(url, http_client=http)) as client:
                    while pending:
                        asked = {"prompt": f"A red kite [sim:mark-{pending[0]}]", "max_credits": 10}
                        result = await client.call_tool("create_video", asked | {"idempotency_key": pending[0]})
                        answers.append([pending.pop(0), result.structured_content])
        except Exception:
            failures += 1
            await asyncio.sleep(0.2)
    print(json.dumps([answers, failures]))

asyncio.run(main(*sys.argv[1:]))
"""

JAVASCRIPT = """
const [url, key, ...ids] = process.argv.slice(2);
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const answers = [];
let failures = 0;
const pending = [...ids];
while (pending.length) {
  const client = new Client({ name: "tests", version: "1" }, options);
  try {
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    while (pending.length) {
      const asked = { prompt: `A red kite [sim:mark-${pending[0]}]`, max_credits: 10 };
      const result = await client.callTool({ name: "create_video", arguments: { ...asked, idempotency_key: pending[0] } });
      answers.push([pending.shift(), result.structuredContent]);
    }
  } catch (error) {
    failures += 1;
    await new Promise((done) => setTimeout(done, 200));
  }
  await client.close().catch(() => {});
}
console.log(JSON.stringify([answers, failures]));
"""


CLIENTS = [
    partial(python, PYTHON, packages="mcp"),
    partial(javascript, MCP + JAVASCRIPT),
    partial(javascript, OLD_MCP + JAVASCRIPT),
]


def test_A26_agents_that_share_a_key_are_charged_once_for_each_call_and_never_beyond_the_key(tmp_path):
    random.seed(SEED)
    calls = [str(random.randrange(IDS)) for _ in range(CALLS)]
    # No video has to be finished: orders are what counts.
    with Site(tmp_path, SIMULATOR_SECONDS="3600", API_REQUESTS_A_MINUTE="0") as site:
        key = site.new_key("agents@example.com", 2 * IDS * PRICE)
        site.change_keys("agents@example.com", max_credits=PAID * PRICE)
        with LossyProxy(site.url, SEED) as proxy, ThreadPoolExecutor(len(CLIENTS)) as pool:
            running = [
                pool.submit(client, f"{proxy.url}/mcp", key, *calls[number :: len(CLIENTS)], timeout=TIMEOUT)
                for number, client in enumerate(CLIENTS)
            ]
            restarts = 0
            while not all(program.done() for program in running):
                if restarts < RESTARTS and proxy.replies > (restarts + 1) * CALLS / (RESTARTS + 1):
                    restarts += kill_the_web(site)
                wait(running, timeout=0.1)
            said = [json.loads(program.result()) for program in running]
        answers = [answer for client, _failures in said for answer in client]
        videos, charges = site.orders_of("agents@example.com")
        ledger = site.manage("check_ledger")

    failures = [failed for _answers, failed in said]
    print(
        f"{CALLS} calls, {proxy.lost} replies lost, {restarts} restarts, failures: {failures}, {len(videos)} videos"
    )
    assert (len(answers), restarts) == (CALLS, RESTARTS)
    assert proxy.lost
    made, refused = defaultdict(set), set()
    for call, answer in answers:
        if answer.get("error"):
            assert answer["error"]["code"] == "key_limit_reached"
            refused.add(call)
        else:
            made[call].add(answer["id"])
    assert sorted(video for ids in made.values() for video in ids) == sorted(videos)
    assert {len(ids) for ids in made.values()} == {1}
    assert (len(made), made.keys() & refused) == (PAID, set())
    assert charges == [-PRICE] * PAID
    assert "The ledger is consistent." in ledger


def kill_the_web(site):
    """Whether there was a web server to kill. `manage.py serve` starts it again."""
    pids = processes_of(site, "gunicorn")
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)
