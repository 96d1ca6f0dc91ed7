"""The simulator, driven over real HTTP by the real SDK."""

import base64
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai.types import Video

from simulator import jobs
from tests.support.fixtures import TEST_TIMEOUT, scaled_timeout, wait_until
from tests.support.simulator_process import PROJECT, PROMPT, a_job, image_of, is_alive, running

KEYS = {
    *("id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt"),
    *("size", "seconds", "remixed_from_video_id", "error"),
}


# --- Starting and stopping -------------------------------------------------------------------------


def test_it_starts_quickly_and_stops_promptly_with_its_painters(tmp_path):
    before = time.monotonic()
    with running(tmp_path, seconds=60) as simulator:
        started = time.monotonic() - before
        simulator.create(seconds="20")
        wait_until(simulator.children)
        painters = simulator.children()

        before = time.monotonic()
        simulator.process.send_signal(signal.SIGTERM)
        status = simulator.process.wait(TEST_TIMEOUT)
        stopped = time.monotonic() - before

    assert started < scaled_timeout(5)
    assert stopped < scaled_timeout(3)
    assert status == 0
    assert not any(map(is_alive, painters))


def test_jobs_survive_a_kill_and_painters_do_not(tmp_path):
    with running(tmp_path, seconds=1) as simulator:
        gone = simulator.create("One that is deleted")
        simulator.client().videos.delete(gone.id)
        created = [simulator.create(f"Clip [sim:mark-{number}]", seconds="8") for number in range(5)]
        wait_until(simulator.children)
        painters = simulator.children()
        simulator.process.kill()
        simulator.process.wait()
        wait_until(lambda: not any(map(is_alive, painters)))

    with running(tmp_path, seconds=1) as simulator:
        listed = simulator.client().videos.list(order="asc").data
        assert [video.id for video in listed] == [video.id for video in created]
        assert simulator.finished(created[0]).status == "completed"
        assert simulator.get(created[0], "/content").status == 200


def test_a_second_server_over_the_same_folder_says_why_it_does_not_start(simulator):
    second = subprocess.run(
        [sys.executable, "manage.py", "simulator", "--port", "0", "--data-dir", str(simulator.folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert "another simulator is using" in second.stderr


# --- A video's life --------------------------------------------------------------------------------


def test_a_video_is_queued_then_in_progress_then_completed(unhurried):
    video = unhurried.create()
    seen = []
    while not seen or seen[-1].status not in ("completed", "failed"):
        raw = unhurried.get(video).json
        assert set(raw) == KEYS
        seen.append(Video.model_validate(raw, strict=True))
        time.sleep(0.01)

    statuses = list(dict.fromkeys(one.status for one in seen))
    # Being durable may take longer than the moment in which the job is queued.
    assert video.status in ("queued", "in_progress")
    assert statuses in (["queued", "in_progress", "completed"], ["in_progress", "completed"])
    progress = [one.progress for one in seen]
    assert progress == sorted(progress)
    assert len(set(progress)) > 5
    assert progress[-1] == 100
    assert seen[-1].expires_at == seen[-1].completed_at + 3600
    assert seen[-1].completed_at >= seen[-1].created_at + 1


def test_progress_is_told_in_more_than_ten_steps_to_who_asks_every_second():
    job = a_job("mark-1", duration=12)
    told = [jobs.state_of(job, job.faults, at, painted=0, broken=False).progress for at in range(13)]
    assert told == sorted(set(told))
    assert len(told) > 10
    assert (told[0], told[-1]) == (0, 100)


def test_a_created_video_says_what_was_asked(simulator):
    video = simulator.create("A kite [sim:stuck]", model="sora-2-pro", seconds="8", size="1280x720")

    assert Video.model_validate(video.model_dump(), strict=True) == video
    assert (video.prompt, video.model, video.seconds, video.size, video.error) == (
        *("A kite [sim:stuck]", "sora-2-pro", "8", "1280x720", None),
    )


def test_nothing_needs_to_be_said_but_the_prompt(simulator):
    answer = simulator.call("POST", "/videos", data={"prompt": PROMPT})

    assert (answer.json["model"], answer.json["seconds"], answer.json["size"]) == ("sora-2", "4", "720x1280")


def test_the_list_comes_in_pages_newest_first(tmp_path):
    with running(tmp_path) as simulator:
        assert simulator.call("GET", "/videos").json == {
            **{"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False},
        }
        ids = [simulator.create(f"[sim:stuck] {number}").id for number in range(5)]
        client = simulator.client()

        first = client.videos.list(limit=2)
        assert [video.id for video in first.data] == [ids[4], ids[3]]
        assert first.has_more
        second = simulator.call("GET", f"/videos?limit=2&after={first.data[-1].id}").json
        assert (second["first_id"], second["last_id"], second["has_more"]) == (ids[2], ids[1], True)
        assert [video.id for video in client.videos.list(limit=2)] == ids[::-1]
        assert [video.id for video in client.videos.list(order="asc", after=ids[2])] == ids[3:]
        for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=video_none"):
            answer = simulator.call("GET", f"/videos?{query}")
            assert (answer.status, answer.json["error"]["param"]) == (400, query.split("=")[0])


def test_a_deleted_video_is_gone(simulator):
    video = simulator.create()

    deleted = simulator.client().videos.delete(video.id)

    assert deleted.model_dump() == {"id": video.id, "object": "video.deleted", "deleted": True}
    assert simulator.get(video).status == 404
    assert simulator.call("DELETE", f"/videos/{video.id}").status == 404


def test_a_remix_is_a_new_video_that_names_its_source(simulator):
    image = ("start.png", image_of("720x1280"), "image/png")
    source = simulator.finished(simulator.create(input_reference=image))

    remix = simulator.client().videos.remix(source.id, prompt="The same at night")

    assert remix.id != source.id
    assert (remix.remixed_from_video_id, remix.prompt) == (source.id, "The same at night")
    assert (remix.size, remix.seconds, remix.model) == (source.size, source.seconds, source.model)
    assert simulator.finished(remix).status == "completed"


def test_an_unfinished_video_has_no_remix_and_no_content(simulator):
    video = simulator.create("[sim:stuck]")

    assert simulator.call("POST", f"/videos/{video.id}/remix", data={"prompt": "x"}).status == 400
    assert simulator.get(video, "/content").status == 404


# --- What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": "x", "seconds": 4}, "seconds"),
        ({"prompt": "x", "seconds": "0"}, "seconds"),
        ({"prompt": "x", "seconds": "61"}, "seconds"),
        ({"prompt": "x", "size": "640x480"}, "size"),
        ({"prompt": "x", "size": ["720x1280"]}, "size"),
        ({"prompt": "x", "model": "dall-e-3"}, "model"),
        ({"prompt": "x", "colour": "red"}, "colour"),
        ({"prompt": "x", "colour[name]": "red"}, "colour[name]"),
        ({"prompt": "x", "seed": "seven"}, "seed"),
        ({"prompt": "x", "negative_prompt": 7}, "negative_prompt"),
        ({"prompt": "x", "audio": "loud"}, "audio"),
        ({"prompt": "x", "audio": 1}, "audio"),
        ({"prompt": "x", "fps": 25}, "fps"),
        ({"prompt": "x", "fps": "fast"}, "fps"),
        ({"prompt": "x", "quality": "8k"}, "quality"),
        ({"prompt": "x", "quality": ["hd"]}, "quality"),
        ({"prompt": "x", "last_frame": "end.png"}, "last_frame"),
        ({"prompt": "x", "last_frame": {"image_url": "https://example.com/a.png"}}, "last_frame"),
        ({"prompt": "x", "last_frame": {"image_url": "data:image/png;base64,AAAA"}}, "last_frame"),
        ({"prompt": "x [sim:earthquake]"}, "prompt"),
        ({"prompt": "x", "input_reference": "start.png"}, "input_reference"),
        ({"prompt": "x", "input_reference": {}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"file_id": "file-1"}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"image_url": "https://example.com/a.png"}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"image_url": "data:image/png;base64,?"}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"image_url": "data:image/png;base64,AAAA"}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"image_url": "data:image/gif;base64,AAAA"}}, "input_reference"),
    ],
)
def test_a_bad_value_is_400_and_names_its_parameter(simulator, fields, param):
    answer = simulator.call("POST", "/videos", data=fields)

    assert (answer.status, answer.type) == (400, "application/json")
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["error"]["param"] == param


def test_the_longest_prompt_is_accepted(simulator):
    assert simulator.call("POST", "/videos", data={"prompt": "[sim:stuck]" + "x" * 31_989}).status == 200


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"x", "text/plain"),
        (b"x", "multipart/form-data"),
        (b"--b\r\nbroken", "multipart/form-data; boundary=b"),
    ],
)
def test_an_unreadable_body_is_400(simulator, data, kind):
    answer = simulator.call("POST", "/videos", data=data, Content_Type=kind)

    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_input_image_may_be_a_file_or_a_data_url(simulator, kind):
    mime, data = f"image/{kind.lower()}", image_of("720x1280", kind)
    video = simulator.create("[sim:stuck]", input_reference=(f"start.{kind}", data, mime))
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    fields = {"prompt": "[sim:stuck]", "input_reference": {"image_url": url}}
    answer = simulator.call("POST", "/videos", data=fields)

    assert video.status in ("queued", "in_progress")
    assert answer.status == 200


def test_an_input_image_of_another_size_or_type_is_refused(simulator):
    data = image_of("720x720")
    with pytest.raises(
        openai.BadRequestError, match="Inpaint image must match the requested width and height"
    ):
        simulator.create(input_reference=("start.png", data, "image/png"))
    with pytest.raises(openai.BadRequestError, match="unsupported mimetype") as caught:
        simulator.create(input_reference=data)  # without a name it travels as application/octet-stream
    assert caught.value.param == "input_reference"


@pytest.mark.parametrize("key", [None, "", "invalid"])
@pytest.mark.parametrize(
    "call",
    [("POST", "/videos"), ("GET", "/videos"), ("GET", "/videos/video_1"), ("GET", "/videos/video_1/content")],
)
def test_without_a_good_key_everything_is_401(simulator, key, call):
    answer = simulator.call(*call, key=key)

    assert (answer.status, answer.json["error"]["type"]) == (401, "invalid_request_error")


def test_what_is_unknown_is_404_in_json(simulator):
    with pytest.raises(openai.NotFoundError):
        simulator.client().videos.retrieve("video_none")
    answer = simulator.call("GET", "/nothing")
    assert (answer.status, answer.type) == (404, "application/json")
    assert simulator.call("PUT", "/videos", data={}).status == 405


# --- Switches --------------------------------------------------------------------------------------


def test_the_same_idempotency_key_gives_the_same_job(simulator):
    headers = {"Idempotency-Key": "key-1"}
    image = ("start.png", image_of("720x1280"), "image/png")
    with ThreadPoolExecutor(8) as pool:
        videos = list(
            pool.map(lambda _: simulator.create(extra_headers=headers, input_reference=image), range(8))
        )

    assert len({video.id for video in videos}) == 1
    with pytest.raises(openai.BadRequestError) as caught:
        simulator.create("Something else", extra_headers=headers)
    assert caught.value.code == "idempotency_key_reused"


def test_idempotency_and_the_list_can_be_switched_off(tmp_path):
    with running(tmp_path, SIMULATOR_IDEMPOTENCY="false", SIMULATOR_LIST="false") as simulator:
        headers = {"Idempotency-Key": "key-1"}
        assert simulator.create(extra_headers=headers).id != simulator.create(extra_headers=headers).id
        assert simulator.call("GET", "/videos").status == 404
