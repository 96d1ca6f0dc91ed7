"""The simulator, driven over real HTTP by the real SDK."""

import base64
import http.client
import io
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import av
import openai
import pytest
from openai.types import Video
from PIL import Image

from simulator import jobs
from simulator.caption import caption_layers
from simulator.faults import FAULTS, without_tags
from simulator.pictures import Picture
from tests.support.fixtures import TEST_TIMEOUT, scaled_timeout, wait_until
from tests.support.simulator_process import PROJECT, PROMPT, Simulator, image_of, is_alive, running
from tests.support.webhook_receiver import Arrival, Receiver

KEYS = {
    *("id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt"),
    *("size", "seconds", "remixed_from_video_id", "error"),
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory) -> Iterator[Simulator]:
    """Its jobs are completed as soon as their picture is painted."""
    with running(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def unhurried(tmp_path_factory) -> Iterator[Simulator]:
    """Its jobs take so long that each state is seen, and webhooks tell when they have ended."""
    with (
        Receiver() as receiver,
        running(tmp_path_factory.mktemp("unhurried"), seconds=3, **receiver.environment) as simulator,
    ):
        simulator.receiver = receiver
        yield simulator


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
    assert "another one is using" in second.stderr


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


# --- Files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "seconds"), [("1280x720", "4"), ("720x1280", "8"), ("1024x1024", "4")])
def test_the_file_is_a_streamable_mp4_of_the_asked_size_and_length_with_sound(simulator, size, seconds):
    video = simulator.finished(simulator.create("A quiet harbour", size=size, seconds=seconds))

    content = simulator.client().videos.download_content(video.id)
    data = content.read()

    assert content.response.headers["content-type"] == "video/mp4"
    assert int(content.response.headers["content-length"]) == len(data)
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(data)) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert f"{picture.width}x{picture.height}" == size
        assert picture.average_rate == 24
        assert abs(file.duration / 1_000_000 - int(seconds)) < 0.1
        assert sum(1 for _ in file.decode(picture)) == int(seconds) * 24
    with av.open(io.BytesIO(data)) as file:
        loudest = max(
            max(abs(sample) for sample in memoryview(frame.planes[0]).cast("f"))
            for frame in file.decode(audio=0)
        )
        assert 0.005 < loudest < 0.5


def test_there_are_a_thumbnail_and_a_sprite_sheet(simulator):
    video = simulator.finished(simulator.create("A quiet harbour", size="1280x720"))

    for variant, kind, size in (("thumbnail", "WEBP", (960, 540)), ("spritesheet", "JPEG", (1200, 270))):
        content = simulator.client().videos.download_content(video.id, variant=variant)
        with Image.open(io.BytesIO(content.read())) as image:
            image.load()
            assert (image.format, image.size) == (kind, size)
        assert content.response.headers["content-type"] == f"image/{kind.lower()}"
    assert simulator.get(video, "/content?variant=poster").json["error"]["param"] == "variant"


def test_a_file_comes_by_byte_range(simulator):
    video = simulator.finished(simulator.create())
    whole = simulator.get(video, "/content").body

    part = simulator.get(video, "/content", Range="bytes=100-199")
    beyond = simulator.get(video, "/content", Range=f"bytes={len(whole)}-")

    assert (part.status, part.body) == (206, whole[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert beyond.status == 416


def test_the_input_image_is_the_moving_background(simulator):
    image = ("start.png", image_of("1280x720"), "image/png")
    video = simulator.finished(simulator.create("Two colours", size="1280x720", input_reference=image))

    with av.open(io.BytesIO(simulator.get(video, "/content").body)) as file:
        frames = [frame.to_image() for frame in file.decode(video=0)]

    def border(frame: Image.Image) -> int:
        return next(x for x in range(1280) if frame.getpixel((x, 300))[2] > 128)

    red, green, blue = frames[0].getpixel((300, 300))
    assert red > 220
    assert green < 40
    assert blue < 40
    assert abs(border(frames[0]) - 640) < 4
    assert abs(border(frames[-1]) - border(frames[0])) > 8


@pytest.mark.parametrize(
    "text", ["一只猫走过雨夜", "夜の路地を歩く猫。", "서울의 밤하늘 한강", "Ночной поезд", "Łódź — ngõ nhỏ"]
)
def test_text_of_many_scripts_is_drawn_with_letters_not_boxes(text):
    caption = caption_layers(text, (1280, 720))[0].image
    boxes = caption_layers(text[0] * len(text), (1280, 720))[0].image
    empty = caption_layers("\U000f1234", (1280, 720))

    assert len(empty) == 1  # only the mark: what no font can draw is left out
    assert caption.tobytes() != boxes.tobytes()
    assert sum(caption.getchannel("R").histogram()[200:]) > 1000


def test_tags_are_not_shown_in_the_picture():
    assert without_tags("A cat [sim:slow] on a [sim:mark-7] roof") == "A cat on a roof"


def test_identical_pictures_are_painted_once(tmp_path):
    with running(tmp_path) as simulator:
        with ThreadPoolExecutor(8) as pool:
            videos = list(
                pool.map(
                    lambda n: simulator.create(
                        f"{PROMPT} [sim:mark-{n}]", model=("sora-2", "sora-2-pro")[n % 2]
                    ),
                    range(40),
                )
            )
        assert {simulator.finished(video).status for video in videos} == {"completed"}
        assert len(list((tmp_path / "pictures").glob("*.mp4"))) == 1

        other = simulator.finished(simulator.create("Another"))
        simulator.client().videos.delete(other.id)
    with running(tmp_path) as simulator:  # a start clears away what no job needs
        assert len(list((tmp_path / "pictures").iterdir())) == 3
        assert simulator.get(videos[0], "/content").status == 200


@pytest.mark.parametrize(
    ("seconds", "size", "reference", "cpu_seconds"),
    [(4, (1280, 720), "", 3), (4, (1280, 720), "image", 3), (60, (1920, 1080), "image", 6)],
    ids=["scene", "photo", "a minute"],
)
def test_a_video_costs_at_most_a_few_seconds_of_cpu(tmp_path, seconds, size, reference, cpu_seconds):
    (tmp_path / "references").mkdir()
    (tmp_path / "references" / "image").write_bytes(image_of("{}x{}".format(*size)))

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = cpu()
    painter = subprocess.Popen(
        [sys.executable, "-m", "simulator.painter", str(tmp_path), str(tmp_path / "references")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    painter.stdin.write(Picture("A lighthouse in a storm", seconds, *size, reference).as_line)
    painter.stdin.flush()
    assert painter.stdout.readline() == b"painted\n"
    painter.communicate()
    assert cpu() - before < scaled_timeout(cpu_seconds)


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


# --- Faults ----------------------------------------------------------------------------------------


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


def a_job(fault: str, duration: float) -> jobs.Job:
    return jobs.Job(
        *(1, "video_1", "x", "sora-2", "4", "720x1280", frozenset([fault]), "abc", "", None, 0.0, duration),
        submit_key=None,
        body_hash="",
    )


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
