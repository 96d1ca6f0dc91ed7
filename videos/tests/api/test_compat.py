"""Programs that were written for three older services, with their paths and their words."""

import base64
import threading
import time

import pytest
from django.db import connections
from django.test import Client

from accounts import api_keys
from tests.support.api_client import Program, error_of
from tests.support.fixtures import new_user, order, pump_until_done, scaled_timeout
from videos.api.compat import drills
from videos.generation import lifecycle
from videos.models import Video
from videos.serializers import public_id
from videos.thread_budget import SlowCalls

pytestmark = pytest.mark.django_db

GENERATE = "/api/v1/videos/generate"
DRILL = "/api/video-generation/generate"


def finish(video):
    """As the dispatcher would, without a provider."""
    for status, fields in (("submitting", {}), ("in_progress", {"ref": str(video.pk)}), ("saving", {})):
        assert video.move_to(status, **fields)
    result = {"file": "videos/x.mp4", "sha256": "0" * 64, "bytes": 1, "poster": ""}
    assert lifecycle.complete(video, result)


# --- The site API ---------------------------------------------------------------------------------


def test_the_site_api_orders_and_shows_a_video(program, owner):
    answer = program.send(
        GENERATE, {"prompt": "A kite", "model": "sora-2-pro", "duration": 8, "resolution": "1080p"}
    )
    video = owner.videos.get()
    assert (answer.status_code, video.size, video.seconds) == (201, "1920x1080", 8)
    waiting = {"id": public_id(video.pk), "progress": 0, "video_url": None, "error": None, "credits": 10}
    assert answer.json() == {**waiting, "status": "pending"}
    path = f"/api/v1/videos/{public_id(video.pk)}"
    video.move_to("submitting")
    video.move_to("in_progress", progress=40)
    assert program.get(path).json() == {**waiting, "status": "processing", "progress": 40}
    video.move_to("saving")
    lifecycle.complete(video, {"file": "videos/x.mp4", "sha256": "0" * 64})
    done = program.get(path).json()
    assert (done["status"], done["progress"], "/v1/links/" in done["video_url"]) == ("completed", 100, True)


def test_the_site_api_says_why_a_video_failed(program, owner):
    video = order(owner)
    lifecycle.fail(video, "timed_out")
    shown = program.get(f"/api/v1/videos/{public_id(video.pk)}").json()
    assert (shown["status"], shown["error"]) == (
        "failed",
        "The video service took too long. Your credits were refunded.",
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "A", "duration": 61}, "duration"),
        ({"prompt": "A", "resolution": "1x1"}, "resolution"),
        ({"prompt": "A", "resolution": "8k"}, "resolution"),
        ({"prompt": "A", "image_url": "http://127.0.0.1/x.png"}, "image_url"),
        ({"prompt": "A", "seconds": "4"}, "seconds"),
        ({"prompt": ""}, "prompt"),
    ],
)
def test_the_site_api_names_its_own_fields(program, owner, fields, param):
    assert error_of(program.send(GENERATE, fields))[:2] == (400, param)
    assert not owner.videos.exists()


def test_the_site_api_takes_an_idempotency_key(program, owner):
    answers = [program.send(GENERATE, {"prompt": "A"}, headers={"Idempotency-Key": "1"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert owner.videos.count() == 1


# --- The gateway's query --------------------------------------------------------------------------


def test_the_gateways_query_answers_by_path_and_by_body(program, owner):
    video = order(owner)
    name = public_id(video.pk)

    def asked():
        by_path = program.get(f"/v1/videos/query/{name}")
        by_body = program.send("/v1/videos/query", {"video_id": name})
        assert by_path.json() == by_body.json()
        return by_path.json()

    assert asked() == {
        "task_id": name,
        "video_id": "",
        "task_status": "processing",
        "message": "Video is still processing (progress: 0%)",
        "duration": "4",
        "video_result": "",
        "video_results": [],
    }
    finish(video)
    done = asked()
    assert (done["task_status"], done["video_id"]) == ("success", name)
    assert done["video_results"] == [{"url": done["video_result"]}]
    assert "/v1/links/" in done["video_result"]


def test_the_gateways_query_says_why_a_video_failed(program, owner):
    video = order(owner)
    lifecycle.cancel(video)
    shown = program.get(f"/v1/videos/query/{public_id(video.pk)}").json()
    assert (shown["task_status"], shown["message"]) == (
        "failed",
        "The video was canceled. Your credits were refunded.",
    )
    assert (shown["video_id"], shown["video_result"], shown["video_results"]) == ("", "", [])


def test_the_gateways_query_knows_no_strangers_video(program, stranger):
    name = public_id(order(stranger).pk)
    assert error_of(program.get(f"/v1/videos/query/{name}"))[0] == 404
    assert error_of(program.send("/v1/videos/query", {"video_id": name}))[0] == 404
    assert error_of(program.send("/v1/videos/query", {}))[:2] == (400, "video_id")


# --- Training drills ------------------------------------------------------------------------------


def test_the_drill_service_tells_about_itself_without_a_key():
    answer = Client().get("/api/video-generation/")
    assert (answer.status_code, answer.json()["longest_wait"]) == (200, 180)


def test_a_run_is_one_video_however_often_it_is_sent(program, owner):
    drill = {"run_id": "run 7", "drill_text": "Evacuate the hall", "size": "720x1280", "seconds": "8"}
    answers = [program.send(DRILL, drill) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == {
        "run_id": "run 7",
        "status": "processing",
        "message": "The video is being generated",
        "video_url": None,
        "error": None,
    }
    video = owner.videos.get()
    assert (video.prompt, video.size, video.seconds) == ("Evacuate the hall", "720x1280", 8)
    finish(video)
    again = program.send(DRILL, drill)
    assert (again.status_code, again.json()["status"]) == (200, "success")
    assert program.get("/api/video-generation/status/run 7").json() == again.json()


def test_a_run_that_failed_says_why(program, owner):
    program.send(DRILL, {"run_id": "r", "drill_text": "A"})
    lifecycle.fail(owner.videos.get(), "generation_failed")
    answer = program.get("/api/video-generation/status/r")
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"].startswith("The model could not generate this video.")


def test_a_strangers_run_is_404(program, stranger):
    Program(stranger).send(DRILL, {"run_id": "r", "drill_text": "A"})
    assert error_of(program.get("/api/video-generation/status/r"))[:2] == (404, "run_id")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"drill_text": "A"}, "run_id"),
        ({"run_id": "", "drill_text": "A"}, "run_id"),
        ({"run_id": "x" * 91, "drill_text": "A"}, "run_id"),
        ({"run_id": "r"}, "drill_text"),
        ({"run_id": "r", "drill_text": " "}, "drill_text"),
        ({"run_id": "r", "drill_text": "A", "seconds": 61}, "seconds"),
        ({"run_id": "r", "drill_text": "A", "wait": 5}, "wait"),
    ],
)
def test_drills_name_the_field_that_is_wrong(program, fields, param):
    assert error_of(program.send(DRILL, fields))[:2] == (400, param)


def test_a_run_id_is_a_whole_number_however_json_writes_it(program, owner):
    for text in ("7", "7.0"):
        body = f'{{"run_id": {text}, "drill_text": "A"}}'
        assert program.post(DRILL, body, content_type="application/json").json()["run_id"] == 7
    assert owner.videos.count() == 1


def test_the_key_may_be_a_password(owner):
    _key, text = api_keys.create(owner, "tests")

    def asked(password):
        basic = base64.b64encode(f"anybody:{password}".encode()).decode()
        return Client().get("/api/video-generation/status/r", headers={"Authorization": f"Basic {basic}"})

    assert error_of(asked(text))[0] == 404
    assert error_of(asked(text[:-1]))[0] == 401
    assert (
        error_of(Client().get("/api/video-generation/status/r", headers={"Authorization": "Basic %"}))[0]
        == 401
    )
    only_here = base64.b64encode(f":{text}".encode()).decode()
    assert Client().get("/v1/credits", headers={"Authorization": f"Basic {only_here}"}).status_code == 401


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [("wait=5", 5), ("respond-async, wait=10", 10), ("wait=999", 180), ("waits=5", 0), ("", 0)],
)
def test_how_long_a_caller_wants_to_wait(rf, wish, seconds):
    assert drills._wanted_wait(rf.post("/", headers={"Prefer": wish})) == seconds


@pytest.mark.django_db(transaction=True)
def test_who_wants_to_wait_gets_the_end(simulator):
    program = Program(new_user())
    answers = []

    def send():
        answers.append(
            program.send(DRILL, {"run_id": "r", "drill_text": "A"}, headers={"Prefer": "wait=180"})
        )
        connections.close_all()

    waiting = threading.Thread(target=send)
    waiting.start()
    while not Video.objects.exists():
        time.sleep(0.05)
    pump_until_done(30)
    waiting.join()
    assert (answers[0].status_code, answers[0].json()["status"]) == (200, "success")


def test_when_as_many_wait_as_may_the_next_is_answered_at_once(program, monkeypatch):
    monkeypatch.setattr(drills, "waiting", SlowCalls(at_once=0))
    began = time.monotonic()
    answer = program.send(DRILL, {"run_id": "r", "drill_text": "A"}, headers={"Prefer": "wait=180"})
    assert (answer.status_code, time.monotonic() - began < scaled_timeout(5)) == (202, True)
