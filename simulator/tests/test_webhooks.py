"""The simulator's webhooks: what is told, to whom, how often, and what no restart may lose."""

import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.support.fixtures import scaled_timeout, wait_until
from tests.support.installation import free_port
from tests.support.simulator_process import PROJECT, PROMPT, running
from tests.support.webhook_receiver import SECRET, Receiver


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def test_a_job_that_has_completed_is_announced_once_its_file_is_there(receiver, tmp_path):
    with running(tmp_path, **receiver.environment) as simulator:
        video = simulator.create(PROMPT)
        wait_until(lambda: receiver.arrivals)
        done = simulator.client().videos.retrieve(video.id)
        assert simulator.get(video, "/content").status == 200

    (arrival,) = receiver.arrivals
    assert arrival.is_genuine
    assert arrival.event == {
        "id": video.id.replace("video_", "evt_"),
        "object": "event",
        "type": "video.completed",
        "created_at": done.completed_at,
        "data": {"id": video.id},
    }


def test_a_job_that_has_failed_is_announced_as_such_and_a_deleted_one_not_at_all(receiver, tmp_path):
    with running(tmp_path, seconds=1, **receiver.environment) as simulator:
        # Slow, so that it is deleted before it ends; the others would be announced after it.
        simulator.client().videos.delete(simulator.create("x [sim:fail] [sim:slow]").id)
        endings = ("fail", "moderation", "cancelled")
        ended = [simulator.create(f"x [sim:{ending}] [sim:slow]") for ending in endings]
        wait_until(lambda: len(receiver.arrivals) >= 3)

    told = [(arrival.event["data"]["id"], arrival.event["type"]) for arrival in receiver.arrivals]
    assert sorted(told) == sorted((video.id, "video.failed") for video in ended)


def test_a_webhook_that_is_refused_comes_again_with_the_same_id(receiver, tmp_path):
    receiver.refusals = [500, 302]
    with running(tmp_path, **receiver.environment) as simulator:
        simulator.create("x [sim:fail]")
        wait_until(lambda: len(receiver.arrivals) == 3)

    assert all(arrival.is_genuine for arrival in receiver.arrivals)
    assert len({(arrival.id, arrival.body) for arrival in receiver.arrivals}) == 1


def test_what_nobody_took_is_announced_after_a_restart_and_nothing_twice(tmp_path):
    port = free_port()
    environment = {
        "SIMULATOR_WEBHOOK_URL": f"http://127.0.0.1:{port}/hook",
        "SIMULATOR_WEBHOOK_SECRET": SECRET,
    }
    with running(tmp_path, **environment) as simulator:
        videos = [simulator.create(f"x [sim:fail] {number}") for number in range(3)]
        simulator.create("x [sim:stuck]")
        simulator.process.send_signal(signal.SIGKILL)
        simulator.process.wait()

    with Receiver(port) as receiver:
        with running(tmp_path, **environment):
            wait_until(lambda: announced(tmp_path) == 3)
        with running(tmp_path, **environment) as simulator:
            last = simulator.create("x [sim:fail]")
            wait_until(lambda: receiver.about(last.id))
        told = [arrival.event["data"]["id"] for arrival in receiver.arrivals]
    assert sorted(told) == sorted(video.id for video in [*videos, last])


def announced(folder):
    """How many jobs the simulator's journal has as announced."""
    with closing(sqlite3.connect(folder / "jobs.sqlite3")) as journal:
        return journal.execute("SELECT count(*) FROM announced").fetchone()[0]


def test_a_receiver_that_never_answers_holds_nobody_up(tmp_path):
    """A server that accepts connections and says nothing, and more jobs than may wait for it at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        environment = {"SIMULATOR_WEBHOOK_URL": url, "SIMULATOR_WEBHOOK_SECRET": SECRET}
        with running(tmp_path, **environment) as simulator:
            for number in range(50):
                simulator.create(f"x [sim:fail] {number}")
            assert len(simulator.client().videos.list(limit=100).data) == 50
            simulator.process.terminate()
            assert simulator.process.wait(scaled_timeout(5)) == 0


def test_five_hundred_jobs_that_end_together_are_all_announced(receiver, tmp_path):
    with running(tmp_path, seconds=2, **receiver.environment) as simulator:
        for number in range(500):
            simulator.call("POST", "/videos", data={"prompt": f"x [sim:fail] {number}"})
        wait_until(lambda: len(receiver.arrivals) >= 500)
    assert len({arrival.id for arrival in receiver.arrivals}) == len(receiver.arrivals) == 500


@pytest.mark.parametrize("secret", ["", "sesame", "whsec_", "whsec_not base64"])
def test_webhooks_need_a_secret_to_sign_with(secret, tmp_path):
    arguments = [
        "--data-dir",
        str(tmp_path),
        "--webhook-url",
        "http://127.0.0.1:9/",
        "--webhook-secret",
        secret,
    ]
    done = subprocess.run(
        [sys.executable, "manage.py", "simulator", "--port", "0", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "--webhook-url needs a signing secret" in done.stderr) == (1, True)
