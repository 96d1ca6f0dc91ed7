"""What must hold when many things happen at once, or when the machine pulls the plug: on a real installation."""

import os
import re
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.fixtures import scaled_timeout, wait_until
from tests.support.installation import Site, processes_of
from tests.support.sabotage import insert_first, without

ORDER = {"image": "", "model": "sora-2", "seconds": "4", "aspect_ratio": "16:9", "resolution": "720p"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), SIMULATOR_SECONDS="6") as site:
        yield site


@pytest.fixture
def in_database(site):
    """Run code in the installation's own Django and return what it prints."""

    def run(code):
        return site.manage("shell", "--no-imports", "-c", f"from videos.models import *\n{code}").strip()

    return run


def mark(number):
    """Tells prompts apart whose videos look the same, so that one picture is painted for all."""
    return f"[sim:mark-{number}]"


def click(visitor, prompt, nonce):
    return visitor.submit("/", {**ORDER, "prompt": prompt, "nonce": nonce}).status_code


def at_once(count, function):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, range(count)))


def wait_until_done(in_database):
    wait_until(lambda: in_database("print(Video.objects.live().count())") == "0")


def test_fifty_parallel_clicks_with_100_credits_make_ten_videos(site, in_database):
    visitor = site.visitor().sign_in()
    answers = at_once(50, lambda n: click(visitor, f"Kite {mark(n)}", str(uuid.uuid4())))
    assert sorted(set(answers)) == [302, 402]
    assert (answers.count(302), visitor.balance) == (10, 0)
    assert in_database("print(Video.objects.count())") == "10"
    wait_until_done(in_database)
    assert "The ledger is consistent." in site.manage("check_ledger")


@without(
    "the client key of an order",
    "videos.generation.ordering.place",
    insert_first("order = replace(order, client_key=None)"),
)
def test_A26_a_double_click_makes_one_video(site, in_database):
    site.manage("grant_credits", "demo@example.com", "100", "--reason", "for the next test", "--create")
    visitor = site.visitor().sign_in()
    before = visitor.balance
    nonce = str(uuid.uuid4())
    answers = at_once(20, lambda _: click(visitor, "One kite", nonce))
    assert (set(answers), before - visitor.balance) == ({302}, 10)
    assert in_database("print(Video.objects.filter(prompt='One kite').count())") == "1"


def test_twenty_running_videos_survive_a_kill_of_the_worker(site, in_database):
    site.manage("grant_credits", "demo@example.com", "500", "--reason", "for the next test", "--create")
    visitor = site.visitor().sign_in()
    prompts = [f"Survivor {mark(n)}" + ("[sim:fail]" if n % 5 == 0 else "") for n in range(20)]
    assert set(at_once(20, lambda n: click(visitor, prompts[n], str(uuid.uuid4())))) == {302}
    # Some requests are then on their way, some videos are being rendered.
    time.sleep(1.2)

    victims = processes_of(site, "videoworker")
    assert len(victims) >= 3
    for victim in victims:
        os.kill(victim, signal.SIGKILL)

    wait_until_done(in_database)
    survivors = in_database(
        "print(sorted(Video.objects.filter(prompt__startswith='Survivor').values_list('status', flat=True)))"
    )
    assert survivors == str(["completed"] * 16 + ["failed"] * 4)
    assert "The ledger is consistent." in site.manage("check_ledger")
    assert {n: n_jobs for n, n_jobs in jobs_at_the_simulator(site).items() if n_jobs != 1} == {}


def jobs_at_the_simulator(site):
    """How many jobs the provider has for each of the survivors' prompts."""
    url = (site.log.parent / "simulator.url").read_text()
    counts, after = {}, None
    while True:
        answer = requests.get(
            f"{url}/videos", params={"limit": 100, "after": after}, headers={"Authorization": "Bearer x"}
        ).json()
        for job in answer["data"]:
            if "Survivor" in job["prompt"]:
                counts[job["prompt"]] = counts.get(job["prompt"], 0) + 1
        if not answer["has_more"]:
            return counts if len(counts) == 20 else {"prompts seen": len(counts)}
        after = answer["last_id"]


def test_the_site_stops_within_ten_seconds_and_leaves_no_process(site):
    assert site.stop() < scaled_timeout(10)
    wait_until(lambda: processes_of(site, "python") == [])
    site.start()


def test_it_serves_the_demo_and_says_so(site):
    assert re.search(r"simulator", site.visitor().page("/"), re.IGNORECASE)
