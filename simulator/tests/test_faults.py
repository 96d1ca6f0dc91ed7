"""What each fault does that may be asked for, seen over real HTTP."""

import http.client
import subprocess
import sys
import time

import openai
import pytest
from openai.types import Video

from simulator import jobs
from simulator.faults import FAULTS
from tests.support.fixtures import wait_until
from tests.support.simulator_process import PROJECT, PROMPT, Simulator, a_job
from tests.support.webhook_receiver import Arrival


def check_refused(
    simulator: Simulator, fault: str, status: int, param: str | None, code: str | None, times: int
) -> None:
    """A create with this fault is refused `times` times, and accepted after that if it is 2."""
    for number in range(3):
        answer = simulator.call("POST", "/videos", data={"prompt": f"{PROMPT} [sim:{fault}]"})
        if number >= times:
            assert answer.status == 200
            continue
        error = answer.json["error"]
        assert (answer.status, error["param"], error["code"]) == (status, param, code)
        assert answer.headers.get("Retry-After") == ("1" if status in (429, 503) else None)


def check_unverified(simulator: Simulator) -> None:
    with pytest.raises(
        openai.PermissionDeniedError, match="must be verified to use the model `sora-2`"
    ) as caught:
        simulator.create(key="sim-unverified")
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", None)


def jobs_called(simulator: Simulator, prompt: str) -> list[Video]:
    return [video for video in simulator.client().videos.list(limit=100) if video.prompt == prompt]


def check_lost(simulator: Simulator, fault: str, problem: type[Exception]) -> None:
    prompt, headers = f"{PROMPT} [sim:{fault}]", {"Idempotency-Key": fault}
    with pytest.raises(problem):
        simulator.client(timeout=1).videos.create(prompt=prompt, extra_headers=headers)
    wait_until(lambda: jobs_called(simulator, prompt))  # it may have hung up before it was heard
    (made,) = jobs_called(simulator, prompt)
    again = simulator.client().videos.create(prompt=prompt, extra_headers=headers)
    assert again.id == made.id


def check_end(simulator: Simulator, fault: str, status: str, code: str) -> None:
    video = simulator.finished(simulator.create(f"{PROMPT} [sim:{fault}]"))
    assert (video.status, video.error.code, video.completed_at) == (status, code, None)
    assert simulator.get(video, "/content").status == 404


def check_fail_http(simulator: Simulator) -> None:
    answer = simulator.get(simulator.create(f"{PROMPT} [sim:fail-http]"))
    assert (answer.status, answer.json["status"], answer.json["error"]["code"]) == (422, "failed", 500)


def check_fail_string(simulator: Simulator) -> None:
    answer = simulator.get(simulator.create(f"{PROMPT} [sim:fail-string]")).json
    assert (answer["status"], answer["error"]) == ("failed", "The video could not be generated.")


def check_stretched(simulator: Simulator, fault: str, times: int) -> None:
    job = a_job(fault, duration=10)
    just_before = jobs.state_of(job, job.faults, times * 10 - 1, painted=0, broken=False)
    after = jobs.state_of(job, job.faults, times * 10, painted=0, broken=False)
    assert (just_before.status, after.status) == ("in_progress", "completed")


def check_stuck(simulator: Simulator) -> None:
    video = simulator.create(f"{PROMPT} [sim:stuck]")
    time.sleep(0.1)
    video = simulator.client().videos.retrieve(video.id)
    assert (video.status, video.progress) == ("in_progress", 40)


def check_mark(simulator: Simulator) -> None:
    assert simulator.finished(simulator.create(f"{PROMPT} [sim:mark-12]")).status == "completed"


def polled(simulator: Simulator, fault: str) -> list[dict]:
    """All different answers to GET until the job is done."""
    video = simulator.create(f"{PROMPT} [sim:{fault}]")
    answers: list[dict] = []
    while not answers or answers[-1]["completed_at"] is None:
        answer = simulator.get(video).json
        if answer not in answers:
            answers.append(answer)
        time.sleep(0.01)
    return answers


def check_words(unhurried: Simulator, fault: str, expected: set[str]) -> None:
    assert {answer["status"] for answer in polled(unhurried, fault)} - {"queued"} == expected


def check_progress(unhurried: Simulator, fault: str, last: object, kind: type) -> None:
    answers = polled(unhurried, fault)
    assert answers[-1]["progress"] == last
    assert all(isinstance(answer["progress"], kind) for answer in answers)


def check_no_progress(unhurried: Simulator) -> None:
    *running, done = polled(unhurried, "no-progress")
    assert running
    assert not any("progress" in answer for answer in running)
    assert done["progress"] is None


def check_id_changes(simulator: Simulator) -> None:
    video = simulator.create(f"{PROMPT} [sim:id-changes]")
    first, second = simulator.get(video).json["id"], simulator.get(video).json["id"]
    assert len({video.id, first, second}) == 3
    assert len(first) > 160


def check_poll(simulator: Simulator, fault: str, first: tuple[int, str], third: tuple[int, str]) -> None:
    video = simulator.create(f"{PROMPT} [sim:{fault}]")
    answers = [simulator.get(video) for _ in range(4)]
    assert [(answer.status, answer.type) for answer in answers] == [first, GOOD, third, GOOD]
    assert answers[1].json["id"] == video.id


GOOD = (200, "application/json")


def check_poll_empty(simulator: Simulator) -> None:
    video = simulator.create(f"{PROMPT} [sim:poll-empty]")
    assert [simulator.get(video).body == b"" for _ in range(4)] == [True, False, True, False]


def check_content(simulator: Simulator, fault: str, *expected: tuple[int, str, bytes]) -> None:
    """Each (status, type, start of the body) is one download after another."""
    video = simulator.finished(simulator.create(f"{PROMPT} [sim:{fault}]"))
    assert video.status == "completed"
    for status, kind, start in expected:
        answer = simulator.get(video, "/content")
        assert (answer.status, answer.type) == (status, kind)
        assert answer.body.startswith(start)
        assert bool(answer.body) == bool(start)


MP4 = (200, "video/mp4", b"\0\0\0")


def check_truncated(simulator: Simulator, fault: str, times: int) -> None:
    video = simulator.finished(simulator.create(f"{PROMPT} [sim:{fault}]"))
    for _ in range(times):
        with pytest.raises(http.client.IncompleteRead) as caught:
            simulator.get(video, "/content")
        assert abs(caught.value.expected - len(caught.value.partial)) <= 1
    if times == 1:
        assert simulator.get(video, "/content").body.startswith(b"\0\0\0")


def check_expired(simulator: Simulator) -> None:
    video = simulator.finished(simulator.create(f"{PROMPT} [sim:expired]"))
    assert video.expires_at == video.completed_at
    answer = simulator.get(video, "/content")
    assert (answer.status, answer.json["error"]["code"]) == (404, "expired")


def check_url_result(simulator: Simulator) -> None:
    video = simulator.finished(simulator.create(f"{PROMPT} [sim:url-result]"))
    assert simulator.get(video, "/content").status == 400
    answer = simulator.call("GET", simulator.get(video).json["url"], key=None)
    assert (answer.status, answer.type, answer.body[4:8]) == (200, "video/mp4", b"ftyp")


def check_webhook(unhurried: Simulator, fault: str, genuine: list[bool]) -> None:
    assert [arrival.is_genuine for arrival in arrivals_about(unhurried, fault, len(genuine))] == genuine


def arrivals_about(unhurried: Simulator, fault: str, expected: int) -> list[Arrival]:
    """What came about a job with this fault, once all is there and a later job was announced as well."""
    about = unhurried.receiver.about
    video, later = unhurried.create(f"x [sim:fail] [sim:{fault}]"), unhurried.create("x [sim:fail]")
    wait_until(lambda: about(later.id) and len(about(video.id)) >= expected)
    assert len({arrival.id for arrival in about(video.id)}) <= 1
    return about(video.id)


def check_webhook_late(unhurried: Simulator) -> None:
    (arrival,) = arrivals_about(unhurried, "webhook-late", 1)
    video = unhurried.client().videos.retrieve(arrival.event["data"]["id"])
    assert arrival.at >= video.created_at + 1 + 5


def check_webhook_early(unhurried: Simulator) -> None:
    video = unhurried.create("x [sim:stuck] [sim:webhook-early]")
    wait_until(lambda: unhurried.receiver.about(video.id))
    assert unhurried.receiver.about(video.id)[0].event["type"] == "video.completed"
    assert unhurried.get(video).json["status"] == "in_progress"


CHECKS: dict[str, tuple] = {
    "rejected": (check_refused, "rejected", 400, "prompt", "moderation_blocked", 3),
    "unverified": (check_unverified,),
    "bad-key": (check_refused, "bad-key", 401, None, "invalid_api_key", 3),
    "busy": (check_refused, "busy", 429, None, "rate_limit_exceeded", 2),
    "busy-forever": (check_refused, "busy-forever", 429, None, "rate_limit_exceeded", 3),
    "down": (check_refused, "down", 503, None, None, 2),
    "error-500": (check_refused, "error-500", 500, None, None, 2),
    "lost-reply": (check_lost, "lost-reply", openai.APIConnectionError),
    "lost-reply-500": (check_lost, "lost-reply-500", openai.InternalServerError),
    "hang": (check_lost, "hang", openai.APITimeoutError),
    "fail": (check_end, "fail", "failed", "internal_error"),
    "moderation": (check_end, "moderation", "failed", "moderation_blocked"),
    "cancelled": (check_end, "cancelled", "cancelled", "cancelled"),
    "slow": (check_stretched, "slow", 3),
    "late": (check_stretched, "late", 10),
    "stuck": (check_stuck,),
    "mark-*": (check_mark,),
    "unknown-word": (check_words, "unknown-word", {"in_progress", "rendering", "completed"}),
    "words": (check_words, "words", {"processing", "succeeded"}),
    "progress-fraction": (check_progress, "progress-fraction", 1.0, float),
    "progress-text": (check_progress, "progress-text", "100%", str),
    "no-progress": (check_no_progress,),
    "id-changes": (check_id_changes,),
    "fail-http": (check_fail_http,),
    "fail-string": (check_fail_string,),
    "poll-500": (check_poll, "poll-500", (500, "application/json"), (500, "application/json")),
    "poll-401": (check_poll, "poll-401", (401, "application/json"), (401, "application/json")),
    "poll-404-once": (check_poll, "poll-404-once", (404, "application/json"), GOOD),
    "poll-html": (check_poll, "poll-html", (200, "text/html"), (200, "text/html")),
    "poll-empty": (check_poll_empty,),
    "expired": (check_expired,),
    "truncated": (check_truncated, "truncated", 1),
    "truncated-forever": (check_truncated, "truncated-forever", 3),
    "html-file": (
        check_content,
        "html-file",
        (200, "text/html", b"<!doctype"),
        (200, "text/html", b"<!doctype"),
    ),
    "html-as-mp4": (check_content, "html-as-mp4", (200, "video/mp4", b"<!doctype")),
    "empty-file": (check_content, "empty-file", (200, "video/mp4", b"")),
    "content-500-once": (check_content, "content-500-once", (500, "application/json", b"{"), MP4),
    "url-result": (check_url_result,),
    "webhook-twice": (check_webhook, "webhook-twice", [True, True]),
    "webhook-late": (check_webhook_late,),
    "webhook-lost": (check_webhook, "webhook-lost", []),
    "webhook-forged": (check_webhook, "webhook-forged", [False, True]),
    "webhook-early": (check_webhook_early,),
}
# These take the unhurried server: they show only while a job runs, or by its webhook.
SEEN_WHILE_RUNNING = {
    *("unknown-word", "words", "progress-fraction", "progress-text", "no-progress"),
    *("webhook-twice", "webhook-late", "webhook-lost", "webhook-forged", "webhook-early"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_does_what_its_table_says(simulator, unhurried, fault):
    check, *arguments = CHECKS[fault]

    check(unhurried if fault in SEEN_WHILE_RUNNING else simulator, *arguments)


def test_a_fault_may_come_with_the_key_or_with_the_prompt(simulator):
    by_key = simulator.finished(simulator.create("x", key="sim-moderation"))
    by_tag = simulator.finished(simulator.create("x [sim:moderation]"))

    assert by_key.error == by_tag.error
    assert by_key.error.code == "moderation_blocked"


def test_an_unknown_fault_is_400_and_names_the_known_ones(simulator):
    for answer in (
        simulator.call("POST", "/videos", data={"prompt": "x [sim:earthquake]"}),
        simulator.call("GET", "/videos", key="sim-earthquake"),
    ):
        assert answer.status == 400
        assert all(name in answer.json["error"]["message"] for name in FAULTS)


def test_the_command_lists_all_faults():
    listed = subprocess.run(
        [sys.executable, "manage.py", "simulator", "--faults"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert all(name in listed and meaning in listed for name, meaning in FAULTS.items())
