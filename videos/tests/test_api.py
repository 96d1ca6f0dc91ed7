"""What programs send that is wrong, and what each is told."""

import json
import threading
import time
import uuid

import pytest
from django.apps import apps
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, CreditEntry, IdempotentAnswer
from aivideo.tests.fixtures import entries, new_user, order, pump_until_done, signed_in
from videos import catalogue, generation, objects, steps
from videos.api import idempotency, orders, throttle
from videos.models import Video, VideoModel
from videos.objects import public_id

pytestmark = pytest.mark.django_db


class Program(Client):
    """A program with a key of `user`."""

    def __init__(self, user, **limits):
        self.key, self.text = api_keys.create(user, "tests", **limits)
        super().__init__(headers={"Authorization": f"Bearer {self.text}"}, raise_request_exception=False)

    def send(self, path, body, **options):
        return self.post(path, json.dumps(body), content_type="application/json", **options)


@pytest.fixture
def program(owner):
    return Program(owner)


@pytest.fixture(autouse=True)
def _full_buckets():
    cache.clear()


def error_of(answer):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["param"], error["code"]


# --- Creating -------------------------------------------------------------------------------------


def test_an_order_in_json_and_one_in_multipart_are_the_same_order(program):
    fields = {"prompt": "A kite", "model": "studio-pro", "seconds": "8", "size": "720x1280"}
    videos = [program.send("/v1/videos", fields).json(), program.post("/v1/videos", fields).json()]
    for video in videos:
        assert {name: video[name] for name in fields} == fields
        assert (video["status"], video["progress"], video["url"], video["error"]) == ("queued", 0, None, None)


def test_what_is_left_out_is_the_models_first(program):
    video = program.send("/v1/videos", {"prompt": "A kite"}).json()
    assert (video["model"], video["seconds"], video["size"]) == ("studio-fast", "4", "1280x720")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": " "}, "prompt", "invalid_value"),
        ({"prompt": 7}, "prompt", "invalid_value"),
        ({"prompt": "x" * 1_000_000}, "prompt", "invalid_value"),
        ({"prompt": "a\x00b"}, "prompt", "invalid_value"),
        ({"prompt": "\ud800"}, "prompt", "invalid_value"),
        ({"prompt": "A", "seconds": "5"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": 5}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "NaN"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": -1}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "٤"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": 4.5}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "9" * 5000}, "seconds", "invalid_value"),
        ({"prompt": "A", "size": "1x1"}, "size", "invalid_value"),
        ({"prompt": "A", "size": "1280x720", "aspect_ratio": "16:9"}, "size", "invalid_value"),
        ({"prompt": "A", "aspect_ratio": "0:0"}, "aspect_ratio", "invalid_value"),
        ({"prompt": "A", "aspect_ratio": "4:3"}, "aspect_ratio", "invalid_value"),
        ({"prompt": "A", "resolution": "8k"}, "resolution", "invalid_value"),
        ({"prompt": "A", "model": "sora-9"}, "model", "model_not_found"),
        ({"prompt": "A", "n": 5}, "n", "invalid_value"),
        ({"prompt": "A", "n": 0}, "n", "invalid_value"),
        ({"prompt": "A", "metadata": {"a": {"b": 1}}}, "metadata.a", "invalid_value"),
        ({"prompt": "A", "metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
        ({"prompt": "A", "metadata": {"a": "\ud800"}}, "metadata.a", "invalid_value"),
        ({"prompt": "A", "input_reference": {"file_id": "x"}}, "input_reference.image_url", None),
        (
            {"prompt": "A", "input_reference": {"image_url": "data:image/png;base64,%%%"}},
            "input_reference",
            None,
        ),
        (
            {"prompt": "A", "input_reference": {"image_url": "data:image/png;base64,AAAA"}},
            "input_reference",
            None,
        ),
        ({"prompt": "A", "input_reference": {"image_url": "file:///etc/passwd"}}, "input_reference", None),
        ({"prompt": "A", "webhook_url": "http://127.0.0.1/"}, "webhook_url", "invalid_value"),
        ({"prompt": "A", "webhook_url": "nonsense"}, "webhook_url", "invalid_value"),
    ],
)
def test_a_wrong_value_is_400_names_its_field_and_costs_nothing(program, owner, fields, param, code):
    answer = program.send("/v1/videos", fields)
    assert error_of(answer) == (400, param, code or error_of(answer)[2])
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (100, 0)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ("[" * 100_000, "application/json"),
        ('{"prompt": ' + "[" * 100 + "]" * 100 + "}", "application/json"),
        ("<order/>", "text/xml"),
        ("--b\r\nContent-Disposition: form-data; name=prompt\r\n\r\nA ki", "multipart/form-data; boundary=b"),
        ("prompt=A", "multipart/form-data"),
    ],
)
def test_a_body_that_cannot_be_read_is_400(program, owner, body, kind):
    assert program.post("/v1/videos", body, content_type=kind).status_code == 400
    assert not owner.videos.exists()


def test_a_body_that_is_too_large_is_413(program):
    answer = program.post("/v1/videos", b" " * (orders.MOST_BYTES + 1), content_type="application/json")
    assert error_of(answer) == (413, None, "body_too_large")
    answer = program.post(
        "/v1/videos", b"", content_type="application/json", headers={"Content-Length": "99999999"}
    )
    assert error_of(answer)[0] == 413


def test_A12_no_field_of_the_row_can_be_set(program, owner):
    names = {field.attname for field in Video._meta.concrete_fields} | {"cost", "user", "is_staff", "price"}
    for name in names - {"prompt", "model", "size", "seconds", "metadata", "webhook_url"}:
        answer = program.send("/v1/videos", {"prompt": "A", name: 1})
        assert error_of(answer) == (400, name, "unknown_parameter")
    assert not owner.videos.exists()


def test_n_videos_are_ordered_together_and_the_first_names_the_others(program, owner):
    video = program.send("/v1/videos", {"prompt": "A", "n": 3, "metadata": {"mine": "1"}}).json()
    siblings = video["metadata"]["siblings"].split(",")
    assert {video["id"], *siblings} == {public_id(one.pk) for one in owner.videos.all()}
    assert video["metadata"]["mine"] == "1"
    owner.refresh_from_db()
    assert owner.balance == 70


def test_when_credits_do_not_last_for_all_there_is_none(program, owner):
    for _ in range(8):
        order(owner)
    answer = program.send("/v1/videos", {"prompt": "A", "n": 3})
    assert error_of(answer) == (402, None, "insufficient_credits")
    message = answer.json()["error"]["message"]
    assert (
        message == "This costs 30 credits. Your account has 20 available and 80 reserved for running videos."
    )
    assert owner.videos.count() == 8


def test_shape_and_resolution_choose_the_size(program):
    asked = {"prompt": "A", "model": "studio-pro", "aspect_ratio": "9:16", "resolution": "1080p"}
    assert program.send("/v1/videos", asked).json()["size"] == "1080x1920"


@pytest.mark.django_db(transaction=True)
def test_a_seed_and_a_negative_prompt_travel_to_the_provider(owner, simulator):
    asked = {"prompt": "A kite", "seed": 7, "negative_prompt": "rain"}
    program = Program(owner)
    assert program.send("/v1/videos", asked).status_code == 200
    video = owner.videos.get()
    assert steps.order_of(video).extras == {"seed": 7, "negative_prompt": "rain"}
    pump_until_done(30)
    assert owner.videos.get().status == "completed"


def test_what_a_model_does_not_take_is_refused_and_not_left_out(program, owner):
    VideoModel.objects.update(takes=["seed"])
    answer = program.send("/v1/videos", {"prompt": "A", "negative_prompt": "rain"})
    assert error_of(answer) == (400, "negative_prompt", "invalid_value")
    assert program.send("/v1/videos", {"prompt": "A", "seed": 7}).status_code == 200
    assert error_of(program.send("/v1/videos", {"prompt": "A", "seed": -1}))[:2] == (400, "seed")


# --- Reading --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_A01_A02_A07_a_stranger_finds_nothing(owner, stranger, simulator):
    mine = order(owner)
    pump_until_done(30)
    other = Program(stranger)
    path = f"/v1/videos/{public_id(mine.pk)}"
    for answer in (
        other.get(path),
        other.delete(path),
        other.get(f"{path}/content"),
        other.send(f"{path}/remix", {"prompt": "Mine now"}),
        other.get(f"/v1/videos?after={public_id(mine.pk)}"),
    ):
        assert error_of(answer)[0] == 404
    assert other.get("/v1/videos").json()["data"] == []
    assert Program(owner).get(path).status_code == 200
    assert Program(owner).get(f"{path}/content").status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing", "video_", "video_" + "g" * 32, "VIDEO_" + "0" * 32, str(uuid.UUID(int=1)), "%00"]
)
def test_what_is_no_id_is_404(program, name):
    assert error_of(program.get(f"/v1/videos/{name}")) == (404, None, "not_found")


@pytest.mark.parametrize("query", ["user=1", "limit=0", "limit=101", "limit=x", "order=up", "after=%00"])
def test_the_list_takes_no_other_parameters_and_values(program, query):
    status, param, _code = error_of(program.get(f"/v1/videos?{query}"))
    assert (status, param) == (404 if "after" in query else 400, query.partition("=")[0])


def test_the_list_neither_skips_nor_repeats_while_videos_come_and_go(program, owner):
    owner_videos = [order(owner) for _ in range(6)]
    generation.cancel(owner_videos[4])
    seen, after = [], ""
    while True:
        page = program.get(f"/v1/videos?limit=2{after}").json()
        seen += [video["id"] for video in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
        if len(seen) == 2:
            order(owner)
            generation.delete(Video.objects.get(pk=owner_videos[4].pk))
    assert seen == [public_id(video.pk) for video in reversed(owner_videos)]


def test_an_unchanged_video_is_304(program, owner):
    path = f"/v1/videos/{public_id(order(owner).pk)}"
    first = program.get(path)
    assert int(first["openai-poll-after-ms"]) > 0
    again = program.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    generation.cancel(owner.videos.get())
    changed = program.get(path, headers={"If-None-Match": first["ETag"]}).json()
    assert (changed["status"], changed["error"]["code"]) == ("failed", "canceled")


def test_there_is_no_content_before_the_end(program, owner):
    path = f"/v1/videos/{public_id(order(owner).pk)}/content"
    assert error_of(program.get(path)) == (404, None, "video_not_completed")
    assert error_of(program.get(f"{path}?variant=1")) == (404, None, "video_not_completed")


@pytest.mark.django_db(transaction=True)
def test_A04_a_link_ends_after_five_minutes_and_with_its_video(program, owner, simulator, monkeypatch):
    video = order(owner)
    pump_until_done(30)
    link = (
        program.get(f"/v1/videos/{public_id(video.pk)}").json()["url"].removeprefix("http://127.0.0.1:8000")
    )
    anybody = Client()
    assert anybody.get(link).status_code == 200
    assert error_of(anybody.get(link[:-1] + ("a" if link[-1] != "a" else "b")))[0] == 404
    now = time.time()
    monkeypatch.setattr(objects.time, "time", lambda: now + 301)
    assert error_of(anybody.get(link))[0] == 403
    monkeypatch.undo()
    generation.delete(Video.objects.get())
    assert error_of(anybody.get(link))[0] == 404


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/api/v1/nothing", "/v1/videos/x/y/z"])
def test_an_unknown_path_is_404_in_json(program, path):
    assert error_of(program.get(path)) == (404, None, "not_found")


def test_a_wrong_method_is_405_in_json(program):
    answer = program.put("/v1/videos")
    assert error_of(answer)[0] == 405
    assert answer["Allow"]


def test_our_own_fault_is_500_in_json(program, monkeypatch):
    monkeypatch.setattr(catalogue, "models", lambda: 1 / 0)
    assert error_of(program.get("/v1/models"))[0] == 500


# --- Keys -----------------------------------------------------------------------------------------


def test_A10_a_key_ends_when_it_is_revoked_or_expires_or_its_user_is_suspended(owner):
    revoked, expired, suspended = Program(owner), Program(owner), Program(owner)
    assert revoked.get("/v1/credits").status_code == 200
    assert (api_keys.revoke(revoked.key), api_keys.revoke(revoked.key)) == (True, False)
    assert error_of(revoked.get("/v1/credits")) == (401, None, "invalid_api_key")
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now())
    assert error_of(expired.get("/v1/credits")) == (401, None, "invalid_api_key")
    type(owner).objects.update(is_active=False)
    assert error_of(suspended.get("/v1/credits")) == (401, None, "invalid_api_key")


def test_A11_a_session_opens_nothing_here_and_a_key_nothing_there(as_owner, owner):
    assert error_of(as_owner.get("/v1/credits"))[0] == 401
    assert error_of(as_owner.post("/v1/videos", {"prompt": "A"}))[0] == 401
    assert Program(owner).get("/credits/").status_code == 302
    assert not owner.videos.exists()


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer av_live_", "Bearer \x00", "av_live_x"]
)
def test_without_a_key_it_is_401(value):
    assert error_of(Client().get("/v1/credits", headers={"Authorization": value})) == (
        401,
        None,
        "invalid_api_key",
    )


def test_A08_of_a_key_only_its_digest_is_kept(owner):
    key, text = api_keys.create(owner, "tests")
    assert api_keys.is_well_formed(text)
    assert len(text) == 57
    stored = [str(value) for value in ApiKey.objects.values_list().get()]
    assert not any(text[14:] in value for value in stored)
    assert api_keys.find(text) == key


def test_A08_a_mistyped_key_is_refused_without_the_database(owner, django_assert_num_queries):
    _key, text = api_keys.create(owner, "tests")
    with django_assert_num_queries(0), pytest.raises(api_keys.KeyRefused):
        api_keys.find(text[:20] + ("a" if text[20] != "a" else "b") + text[21:])


def test_A08_a_hundred_thousand_random_keys_open_nothing(owner):
    api_keys.create(owner, "tests")
    letters = api_keys.ALPHABET
    for number in range(100_000):
        random = "".join(letters[(number * 7919 + place * place) % 62] for place in range(43))
        with pytest.raises(api_keys.KeyRefused):
            api_keys.find(api_keys.PREFIX + random + "000000")


def test_A09_a_key_stands_in_no_log_no_answer_and_no_row(as_owner, owner, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    program = Program(owner)
    secret = program.text[len(program.key.prefix) :]
    answers = [
        program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "1"}),
        program.send("/v1/videos", {"prompt": "A", "seconds": "5"}),
        program.get("/v1/nothing"),
        Client().get("/v1/credits", headers={"Authorization": f"Bearer {program.text}x"}),
        as_owner.get("/account/"),
        as_owner.get(f"/account/keys/{program.key.pk}/"),
    ]
    monkeypatch.setattr(catalogue, "models", lambda: 1 / 0)
    answers.append(program.get("/v1/models"))
    assert answers[-1].status_code == 500
    for answer in answers:
        assert secret not in answer.content.decode()
        assert secret not in str(answer.headers)
    assert secret not in caplog.text
    for model in apps.get_models():
        for row in model._default_manager.values_list():
            assert secret not in str(row), model


def test_a_key_may_be_bound_to_models(owner):
    program = Program(owner, allowed_models=["studio-pro"])
    assert program.send("/v1/videos", {"prompt": "A"}).json()["model"] == "studio-pro"
    answer = program.send("/v1/videos", {"prompt": "A", "model": "studio-fast"})
    assert error_of(answer) == (400, "model", "model_not_found")


def test_a_key_may_be_bound_to_credits_a_day(owner):
    program = Program(owner, credits_a_day=20)
    first = program.send("/v1/videos", {"prompt": "A"}).json()
    answer = program.send("/v1/videos", {"prompt": "A", "n": 2})
    assert error_of(answer) == (429, None, "daily_limit_reached")
    assert 0 < int(answer["Retry-After"]) <= 24 * 3600
    generation.cancel(owner.videos.get(pk=objects.uuid_of(first["id"])))  # what came back may be spent again
    assert program.send("/v1/videos", {"prompt": "A", "n": 2}).status_code == 200


def test_when_a_key_was_used_last_is_known_to_the_minute(owner, django_assert_num_queries):
    program = Program(owner)
    program.get("/v1/credits")
    program.key.refresh_from_db()
    assert timezone.now() - program.key.last_used_at < api_keys.LAST_USED_EXACT_TO
    with django_assert_num_queries(1):
        api_keys.find(program.text)


# --- Limits ---------------------------------------------------------------------------------------


def test_who_sends_too_much_is_told_when_to_come_again(program, owner, settings, monkeypatch):
    settings.API_REQUESTS_A_MINUTE = 3
    left = [program.get("/v1/credits")["RateLimit-Remaining"] for _ in range(3)]
    refused = program.get("/v1/credits")
    assert left == ["2", "1", "0"]
    assert error_of(refused) == (429, None, "rate_limit_exceeded")
    assert (refused["Retry-After"], refused["RateLimit-Limit"]) == ("20", "3")
    assert Program(owner).get("/v1/credits").status_code == 200, "another key has its own bucket"
    now = time.time()
    monkeypatch.setattr(throttle.time, "time", lambda: now + 21)
    assert program.get("/v1/credits").status_code == 200
    assert program.get("/v1/credits").status_code == 429


def test_guessing_keys_is_slow(settings):
    statuses = [Client().get("/v1/credits").status_code for _ in range(61)]
    assert statuses == [401] * 60 + [429]


# --- The same once more ---------------------------------------------------------------------------


def test_the_same_key_and_body_is_one_video_and_one_answer(program, owner):
    fields = {"prompt": "A kite", "seconds": "8"}
    key = {"Idempotency-Key": "order-1"}
    first = program.send("/v1/videos", fields, headers=key)
    again = program.send("/v1/videos", dict(reversed(fields.items())), headers=key)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert owner.videos.count() == 1
    assert entries(owner.videos.get()) == [("charge", -10)]


def test_a_file_is_part_of_what_is_repeated(program, owner):
    key = {"Idempotency-Key": "order-1"}

    def send(content):
        file = SimpleUploadedFile("a.jpg", content, "image/jpeg")
        return program.post("/v1/videos", {"prompt": "A", "input_reference": file}, headers=key)

    picture = jpeg()
    first = send(picture)
    assert first.status_code == 200
    assert send(picture).json() == first.json()
    assert error_of(send(picture + b"more"))[0] == 422


def test_A26_another_body_with_the_same_key_is_422(program, owner):
    key = {"Idempotency-Key": "order-1"}
    program.send("/v1/videos", {"prompt": "A"}, headers=key)
    answer = program.send("/v1/videos", {"prompt": "B"}, headers=key)
    assert error_of(answer) == (422, "Idempotency-Key", "idempotency_key_reused")
    other = program.send(f"/v1/videos/{public_id(owner.videos.get().pk)}/remix", {"prompt": "A"}, headers=key)
    assert other.status_code == 422
    assert owner.videos.count() == 1


def test_what_was_refused_may_be_sent_again_with_its_key(program, owner):
    key = {"Idempotency-Key": "order-1"}
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "5"}, headers=key).status_code == 400
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "4"}, headers=key).status_code == 200


def test_two_people_may_use_the_same_idempotency_key(owner, stranger):
    key = {"Idempotency-Key": "order-1"}
    answers = [Program(user).send("/v1/videos", {"prompt": "A"}, headers=key) for user in (owner, stranger)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["id"] != answers[1].json()["id"]


def test_a_strange_idempotency_key_is_400(program):
    for key in ("x" * 256, "käse"):
        answer = program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": key})
        assert error_of(answer) == (400, "Idempotency-Key", "invalid_value")


def test_answers_are_kept_for_thirty_days(program, owner):
    program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "order-1"})
    idempotency.forget_old()
    assert IdempotentAnswer.objects.count() == 1
    IdempotentAnswer.objects.update(created_at=timezone.now() - idempotency.KEPT)
    idempotency.forget_old()
    assert not IdempotentAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_A26_fifty_at_once_with_one_key_are_one_video_and_fifty_equal_answers():
    program = Program(new_user())
    answers, start = [], threading.Barrier(50)

    def send():
        start.wait()
        try:
            answers.append(program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "one"}))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.content for answer in answers}) == 1
    assert Video.objects.count() == 1
    assert CreditEntry.objects.filter(kind="charge").count() == 1


def jpeg():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 200), "teal").save(out, "JPEG")
    return out.getvalue()


def test_the_pages_of_a_person_show_what_a_program_ordered(owner):
    Program(owner).send("/v1/videos", {"prompt": "By a program"})
    assert "By a program" in signed_in(owner).get("/videos/").content.decode()
