"""Requests as the tutorials of 2025 print them, word for word: each is taken, and answered as its program reads it.

The documentation shows them under "Other compatible APIs".
"""

import base64
import re
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from tests.support.api_client import error_of
from tests.support.fixtures import order
from videos import serializers
from videos.generation import lifecycle
from videos.models import Video
from videos.providers.base import JobState

pytestmark = pytest.mark.django_db


def posted(program, path, body, content_type="application/json"):
    return program.post(path, body, content_type=content_type)


def made(answer):
    """The video that an answer of /v1/videos names."""
    assert answer.status_code == 200, answer.content
    return Video.objects.get(pk=serializers.uuid_of(answer.json()["id"]))


FILE = b"an MP4"


def completed(video):
    name = default_storage.save(f"videos/{video.pk}.mp4", ContentFile(FILE))
    result = {"file": name, "poster": "", "bytes": len(FILE), "sha256": "0" * 64, "width": 1, "height": 1}
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(f"job-{video.pk}", "queued"))
    lifecycle.finish(video)
    assert lifecycle.complete(video, {**result, "duration": 5.0})
    return video


# --- The integration guide ------------------------------------------------------------------------


def test_the_guides_first_request(program):
    answer = posted(
        program,
        "/v1/videos",
        """{
            "model": "sora-2",
            "prompt": "A golden retriever playing in a sunny garden",
            "duration": 10,
            "resolution": "1080p",
            "aspect_ratio": "16:9"
        }""",
    )
    video = made(answer)
    assert (video.size, video.seconds, video.model.slug) == ("1920x1080", 10, "sora-2")
    said = answer.json()
    assert said["object"] == "video"
    assert said["status"] == "queued"
    assert said["prompt"] == "A golden retriever playing in a sunny garden"
    assert (said["duration"], said["resolution"], said["aspect_ratio"]) == (10, "1080p", "16:9")
    assert (said["url"], said["expires_at"]) == (None, None)
    # OpenAI's keys come first, ours after them.
    assert list(said)[:3] == ["id", "object", "model"]
    assert list(said)[-3:] == ["duration", "resolution", "aspect_ratio"]


def test_the_guides_request_with_every_option(program):
    answer = posted(
        program,
        "/v1/videos",
        """{
            "model": "sora-2",
            "prompt": "A futuristic city with flying cars at sunset",
            "duration": 20,
            "resolution": "1080p",
            "aspect_ratio": "16:9",
            "fps": 30,
            "seed": 12345,
            "n": 1,
            "quality": "hd",
            "webhook_url": "https://yourapi.com/webhook",
            "metadata": {"project": "Marketing Campaign Q1", "user_id": "user_123"}
        }""",
    )
    video = made(answer)
    assert (video.size, video.seconds) == ("1920x1080", 20)
    assert video.extras == {"seed": 12345, "fps": 30, "quality": "hd"}
    assert video.webhook_url == "https://yourapi.com/webhook"
    assert answer.json()["metadata"] == {"project": "Marketing Campaign Q1", "user_id": "user_123"}


SIZES = {
    ("480p", "16:9"): "854x480",
    ("480p", "9:16"): "480x854",
    ("480p", "1:1"): "480x480",
    ("480p", "21:9"): "1138x480",
    ("720p", "16:9"): "1280x720",
    ("720p", "9:16"): "720x1280",
    ("720p", "1:1"): "720x720",
    ("720p", "21:9"): "1706x720",
    ("1080p", "16:9"): "1920x1080",
    ("1080p", "9:16"): "1080x1920",
    ("1080p", "1:1"): "1080x1080",
    ("1080p", "21:9"): "2560x1080",
}


@pytest.mark.parametrize("model", ["sora-2", "sora-2-pro"])
@pytest.mark.parametrize(("resolution", "aspect_ratio"), SIZES)
def test_the_guides_resolutions_and_aspect_ratios(program, resolution, aspect_ratio, model):
    body = {"model": model, "prompt": "A kite", "resolution": resolution, "aspect_ratio": aspect_ratio}
    answer = program.send("/v1/videos", body)
    assert made(answer).size == SIZES[resolution, aspect_ratio]
    said = answer.json()
    assert (said["resolution"], said["aspect_ratio"]) == (resolution, aspect_ratio)


@pytest.mark.parametrize("resolution", ["480p", "720p", "1080p"])
def test_a_resolution_alone_is_wide(program, resolution):
    answer = program.send("/v1/videos", {"prompt": "A kite", "resolution": resolution})
    assert answer.json()["aspect_ratio"] == "16:9"
    assert answer.json()["resolution"] == resolution


@pytest.mark.parametrize("duration", [1, 5, "5", 33, 60, "60", 10.0])
def test_a_duration_is_a_number_or_a_text(program, duration):
    answer = program.send("/v1/videos", {"prompt": "A kite", "duration": duration})
    assert made(answer).seconds == int(duration)
    assert (answer.json()["duration"], answer.json()["seconds"]) == (int(duration), str(int(duration)))


def test_a_duration_and_seconds_that_say_the_same_are_one_length(program):
    assert made(program.send("/v1/videos", {"prompt": "A", "duration": 8, "seconds": "8"})).seconds == 8


def test_a_duration_and_seconds_that_differ_are_refused(program):
    answer = program.send("/v1/videos", {"prompt": "A", "duration": 8, "seconds": "4"})
    assert error_of(answer) == (400, "duration", "invalid_value")
    assert not Video.objects.exists()


@pytest.mark.parametrize("duration", [0, 61, "x", 2.5, "1" * 5000])
def test_a_duration_that_nobody_makes_is_refused_by_its_own_name(program, duration):
    answer = program.send("/v1/videos", {"prompt": "A", "duration": duration})
    assert error_of(answer)[:2] == (400, "duration")


def test_an_items_seconds_replace_a_defaults_duration(program):
    body = {"items": [{"prompt": "A", "seconds": "8"}, {"prompt": "B"}], "defaults": {"duration": 5}}
    answer = program.send("/v1/batches/videos", body)
    assert answer.status_code == 200, answer.content
    assert sorted(Video.objects.values_list("seconds", flat=True)) == [5, 8]


@pytest.mark.parametrize("fps", [24, 30])
@pytest.mark.parametrize("quality", ["standard", "hd"])
def test_the_guides_frame_rates_and_qualities(program, fps, quality):
    video = made(program.send("/v1/videos", {"prompt": "A kite", "fps": fps, "quality": quality}))
    assert video.extras == {"fps": fps, "quality": quality}


def test_the_guides_four_at_once(program):
    program.send("/v1/videos", {"model": "sora-2", "prompt": "A kite", "n": 4})
    assert Video.objects.count() == 4


def test_the_guides_poll_and_download(program):
    first = posted(
        program, "/v1/videos", '{"model": "sora-2", "prompt": "A golden retriever", "duration": 10}'
    )
    completed(made(first))
    said = program.get(f"/v1/videos/{first.json()['id']}").json()
    assert said["status"] == "completed"
    downloaded = Client().get(re.sub(r"^https?://[^/]+", "", said["url"]))
    assert (downloaded.status_code, b"".join(downloaded.streaming_content)) == (200, FILE)


def test_the_guides_batch(program):
    prompts = ["A cat playing with yarn", "Sunset over mountains", "Busy city street at night"]
    answer = program.send(
        "/v1/batches/videos", {"items": [{"prompt": one} for one in prompts], "max_concurrency": 3}
    )
    assert answer.status_code == 200
    assert [video["prompt"] for video in answer.json()["data"]] == prompts
    assert answer.json()["progress"] == 0


@pytest.mark.parametrize("name", ["twitter", "x"])
def test_the_guides_campaign(program, name):
    platforms = ["youtube", "instagram", "tiktok", name]
    body = {"prompt": "Product launch teaser for new smartphone", "platforms": platforms}
    answer = program.send("/v1/campaigns", body)
    assert answer.status_code == 200, answer.content
    made_for = {video["metadata"]["platform"]: video for video in answer.json()["data"]}
    assert set(made_for) == set(platforms)
    shapes = {platform: video["aspect_ratio"] for platform, video in made_for.items()}
    assert shapes == {"youtube": "16:9", "instagram": "1:1", "tiktok": "9:16", name: "16:9"}
    longest = {"youtube": 60, "instagram": 30, "tiktok": 60, name: 30}
    assert all(video["duration"] <= longest[platform] for platform, video in made_for.items())


def test_one_platform_under_two_names_is_named_twice(program):
    answer = program.send("/v1/campaigns", {"prompt": "A kite", "platforms": ["x", "twitter"]})
    assert error_of(answer) == (400, "platforms", "invalid_value")


@pytest.mark.parametrize(("body", "status"), [('{"model": "sora-2"}', 400), ("{", 400)])
def test_the_guides_invalid_requests(program, body, status):
    assert posted(program, "/v1/videos", body).status_code == status


def test_the_guides_bad_key(db):
    stranger = Client(headers={"Authorization": "Bearer sk-none"}, raise_request_exception=False)
    assert error_of(stranger.get("/v1/videos/video_123")) == (401, None, "invalid_api_key")


# --- The drill service ----------------------------------------------------------------------------

DRILL = """{"run_id": 999, "drill_text": "プランク: 体幹を鍛える基本エクササイズ...", "size": "1280x720", "seconds": "4"}"""


def with_password(program):
    password = base64.b64encode(f"user:{program.text}".encode()).decode()
    return Client(headers={"Authorization": f"Basic {password}"}, raise_request_exception=False)


def test_the_drill_services_order(program):
    trainer = with_password(program)
    for _ in range(2):
        answer = posted(trainer, "/api/video-generation/generate", DRILL)
        assert answer.status_code == 202
        assert answer.json() == {
            "run_id": 999,
            "status": "processing",
            "message": "The video is being generated",
            "video_url": None,
            "error": None,
        }
    video = Video.objects.get()
    assert (video.size, video.seconds) == ("1280x720", 4)
    assert video.prompt == "プランク: 体幹を鍛える基本エクササイズ..."


def test_the_drill_services_success_and_its_status(program):
    trainer = with_password(program)
    posted(trainer, "/api/video-generation/generate", DRILL)
    completed(Video.objects.get())
    said = trainer.get("/api/video-generation/status/999", headers={"Accept-Language": "ja"}).json()
    assert said.pop("video_url").startswith("http")
    assert said == {"run_id": 999, "status": "success", "message": "動画生成が完了しました", "error": None}


def test_the_drill_services_failure(program):
    trainer = with_password(program)
    posted(trainer, "/api/video-generation/generate", DRILL)
    lifecycle.fail(Video.objects.get(), "provider_refused", "Error code: 403 - {'error': …}")
    said = trainer.get("/api/video-generation/status/999", headers={"Accept-Language": "ja,en;q=0.5"}).json()
    assert (said["status"], said["message"], said["video_url"]) == ("failed", "動画生成に失敗しました", None)
    assert said["error"]
    assert "403" not in said["error"]  # what the provider said is for staff


def test_a_run_id_as_text_is_answered_as_text_and_is_the_same_run(program):
    trainer = with_password(program)
    posted(trainer, "/api/video-generation/generate", DRILL)
    answer = posted(trainer, "/api/video-generation/generate", DRILL.replace("999", '"999"'))
    assert answer.json()["run_id"] == "999"
    assert Video.objects.count() == 1
    assert trainer.get("/api/video-generation/status/999").json()["run_id"] == 999


@pytest.mark.parametrize("run_id", ["true", "1.5", "null", '""', "-1", "[1]"])
def test_what_is_no_run_id_is_refused(program, run_id):
    answer = posted(with_password(program), "/api/video-generation/generate", DRILL.replace("999", run_id))
    assert error_of(answer)[:2] == (400, "run_id")


def test_the_drill_services_card(program):
    assert with_password(program).get("/api/video-generation/").json()["status"] == "ok"


# --- The site with a mock -------------------------------------------------------------------------


def test_the_sites_order_and_poll(program):
    picture = base64.b64encode((Path(__file__).parents[3] / "static/presets/cat.jpg").read_bytes()).decode()
    body = {"prompt": "A cat", "model": "sora-2", "image_url": f"data:image/jpeg;base64,{picture}"}
    answer = program.send("/api/v1/videos/generate", body)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    said = program.get(f"/api/v1/videos/{answer.json()['id']}").json()
    assert (said["status"], said["video_url"]) == ("pending", None)
    assert Video.objects.get().upload is not None


# --- The gateway's query --------------------------------------------------------------------------

# `curl -d` without a content type says that it sends a form.
AS_CURL_SENDS_IT = "application/x-www-form-urlencoded"


def test_the_gateways_query_while_it_is_processing(program, owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState("job-1", "in_progress", 50))
    name = serializers.public_id(video.pk)
    answer = posted(program, "/v1/videos/query", f'{{"video_id": "{name}"}}', AS_CURL_SENDS_IT)
    assert answer.status_code == 200, answer.content
    said = answer.json()
    assert said.pop("video_results") == []
    assert said == {
        "task_id": name,
        "video_id": "",
        "task_status": "processing",
        "message": "Video is still processing (progress: 50%)",
        "duration": "4",
        "video_result": "",
    }


def test_the_gateways_query_when_it_is_done(program, owner):
    video = completed(order(owner))
    name = serializers.public_id(video.pk)
    said = posted(program, "/v1/videos/query", f'{{"video_id": "{name}"}}', AS_CURL_SENDS_IT).json()
    assert (said["task_id"], said["video_id"], said["task_status"]) == (name, name, "success")
    assert said["message"] == f"Video completed and uploaded to {said['video_result']}"
    assert said["video_result"].startswith("http")
    assert said["duration"] == "4"


@pytest.mark.parametrize("kind", [AS_CURL_SENDS_IT, "text/plain", "application/json", ""])
def test_an_object_is_read_as_json_whatever_its_content_type_says(program, owner, kind):
    name = serializers.public_id(order(owner).pk)
    assert posted(program, "/v1/videos/query", f' \n{{"task_id": "{name}"}}', kind).status_code == 200


def test_a_real_form_is_still_a_form(program):
    answer = posted(program, "/v1/videos", "prompt=%7BA+kite%7D&duration=5", AS_CURL_SENDS_IT)
    assert (made(answer).prompt, made(answer).seconds) == ("{A kite}", 5)


def test_a_broken_object_is_told_so_and_is_no_form(program):
    answer = posted(program, "/v1/videos/query", '{"video_id": ', AS_CURL_SENDS_IT)
    assert error_of(answer) == (400, None, "invalid_json")


def test_the_gateways_query_by_path_and_of_nobodys(program, owner):
    video = order(owner)
    assert program.get(f"/v1/videos/query/{serializers.public_id(video.pk)}").status_code == 200
    assert program.get("/v1/videos/query/video_123").status_code == 404
    assert posted(program, "/v1/videos/query", '{"video_id": "video_processing"}').status_code == 404


def test_the_gateways_two_names_of_one_id(program, owner):
    name = serializers.public_id(order(owner).pk)
    both = {"video_id": name, "task_id": name}
    assert program.send("/v1/videos/query", both).status_code == 200
    assert error_of(program.send("/v1/videos/query", both | {"task_id": "video_1"}))[:2] == (400, "task_id")
    assert error_of(program.send("/v1/videos/query", {}))[:2] == (400, "video_id")
    assert program.send("/v1/videos/query", {"video_id": ""}).status_code == 404


def test_content_is_not_there_before_it_is_finished(program, owner):
    assert program.get(f"/v1/videos/{serializers.public_id(order(owner).pk)}/content").status_code == 404


def test_the_documentation_shows_each_of_them(client):
    page = client.get("/api/docs").content.decode()
    section = page[page.index("Other compatible APIs") :]
    for part in (
        "A golden retriever playing in a sunny garden",
        "&quot;duration&quot;: 10",
        "yourapi.com/webhook",
        "Product launch teaser for new smartphone",
        "&quot;run_id&quot;: 999",
        "/api/v1/videos/generate",
        "/v1/videos/query",
    ):
        assert part in section, part
