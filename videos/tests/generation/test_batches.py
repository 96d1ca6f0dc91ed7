"""Many videos by one order: all or none, some at a time, one word at the end."""

from collections import Counter
from ipaddress import ip_network

import pytest

from accounts import api_keys
from accounts.credits import InsufficientCredits
from aivideo.ledger_check import violations
from tests.support.api_client import Program, error_of
from tests.support.batches import some
from tests.support.fixtures import give, new_user, order, pump_until_done, video_order
from tests.support.webhook_receiver import Receiver
from videos.generation import batches, lifecycle, ordering
from videos.models import Batch, Channel, Delivery, Status, Video
from videos.serializers import public_id
from videos.webhooks import outbox
from videos.worker import admission

pytestmark = pytest.mark.django_db

PATH = "/v1/batches/videos"


def items(count, **fields):
    return [{"prompt": f"Kite {number}", **fields} for number in range(count)]


def held(batch):
    return batch.videos.filter(queued_at=None).count()


# --- Admission ------------------------------------------------------------------------------------


def test_a_batch_that_credits_do_for_is_ordered_whole(program, owner):
    answer = program.send(PATH, {"items": items(3), "defaults": {"seconds": "8", "model": "sora-2-pro"}})
    batch = answer.json()
    assert answer.status_code == 200
    counted = {
        name: batch[name]
        for name in ("object", "status", "total", "completed", "failed", "progress", "credits")
    }
    assert counted == {
        "object": "video_batch",
        "status": "in_progress",
        "total": 3,
        "completed": 0,
        "failed": 0,
        "progress": 0,
        "credits": 30,
    }
    assert [video["prompt"] for video in batch["data"]] == ["Kite 0", "Kite 1", "Kite 2"]
    assert {(video["seconds"], video["model"]) for video in batch["data"]} == {("8", "sora-2-pro")}
    assert program.get(f"{PATH}/{batch['id']}").json() == batch
    owner.refresh_from_db()
    assert owner.balance == 70


def test_a_batch_of_200_that_credits_do_not_do_for_is_refused_whole(program, owner):
    order(owner)
    answer = program.send(PATH, {"items": items(200)})
    assert error_of(answer) == (402, None, "insufficient_credits")
    assert (
        "costs 2000 credits. Your account has 90 available and 10 reserved"
        in answer.json()["error"]["message"]
    )
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count(), Batch.objects.count()) == (90, 1, 0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": []}, "items"),
        ({}, "items"),
        ({"items": [{"prompt": "A"}] * 501}, "items"),
        ({"items": [{"prompt": "A"}, {"prompt": "B", "seconds": "61"}]}, "items.1.seconds"),
        ({"items": [{"prompt": "A"}, {"size": "1280x720"}]}, "items.1.prompt"),
        ({"items": [{"prompt": "A"}, {"prompt": ""}]}, "items.1.prompt"),
        ({"items": [{"prompt": "A", "n": 2}]}, "items.0.n"),
        ({"items": [{"prompt": "A", "cost": 0}]}, "items.0.cost"),
        ({"items": [{"prompt": "A"}], "defaults": {"model": "sora-9"}}, "items.0.model"),
        ({"items": [{"prompt": "A"}], "max_concurrency": 0}, "max_concurrency"),
        ({"items": [{"prompt": "A"}], "webhook_url": "http://127.0.0.1/"}, "webhook_url"),
    ],
)
def test_one_item_that_is_wrong_refuses_all_and_is_named(program, owner, body, param):
    assert error_of(program.send(PATH, body))[:2] == (400, param)
    assert not owner.videos.exists()
    assert not Batch.objects.exists()


def test_a_batch_counts_against_its_keys_credits_a_day(owner):
    assert (
        error_of(Program(owner, credits_a_day=20).send(PATH, {"items": items(3)}))[2] == "daily_limit_reached"
    )


def test_the_same_batch_once_more_is_the_same_batch(program):
    answers = [program.send(PATH, {"items": items(2)}, headers={"Idempotency-Key": "b"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert Batch.objects.count() == 1


def test_a_strangers_batch_is_404(program, stranger):
    batch = some(stranger, 1)
    assert error_of(program.get(f"{PATH}/{public_id(batch.pk, 'batch')}"))[0] == 404
    assert error_of(program.get(f"{PATH}/nonsense"))[0] == 404


# --- Some at a time -------------------------------------------------------------------------------


def test_only_so_many_are_in_the_queue_and_the_next_follow_when_one_ends(owner):
    batch = some(owner, 5, concurrency=2)
    assert (held(batch), len(admission.admit(10))) == (3, 2)
    batches.advance()
    assert held(batch) == 3
    for video in batch.videos.filter(status=Status.SUBMITTING):
        lifecycle.fail(video, "generation_failed")
    batches.advance()
    batches.advance()
    assert (held(batch), len(admission.admit(10))) == (1, 2)


def test_a_batch_has_never_more_at_once_than_one_person_may(owner, settings):
    settings.USER_RUNNING_VIDEOS = 3
    assert held(some(owner, 5, concurrency=1000)) == 2


def test_what_is_held_back_does_not_time_out(owner, settings):
    batch = some(owner, 3, concurrency=1)
    settings.QUEUE_PATIENCE_SECONDS = 0
    lifecycle.time_out_overdue()
    assert sorted(batch.videos.values_list("status", flat=True)) == ["failed", "queued", "queued"]


def test_what_is_held_back_has_no_place_in_the_queue(owner):
    batch = some(owner, 3, concurrency=1)
    admission._places.clear()
    places = [admission.place(video) for video in batch.videos.order_by("position")]
    assert places == [1, None, None]


def test_the_rest_of_a_batch_can_be_canceled(owner):
    batch = some(owner, 5, concurrency=2)
    lifecycle.mark_submitting(batch.videos.get(position=0))
    assert batches.cancel(batch) == 4
    owner.refresh_from_db()
    assert owner.balance == 90


@pytest.mark.django_db(transaction=True)
def test_a_batch_of_200_ends_with_200_verdicts_exact_credits_and_one_webhook(simulator, settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]
    settings.USER_RUNNING_VIDEOS = 40
    Channel.objects.filter(slug="simulator").update(
        sends_webhooks=False, max_running=None, max_submits_per_minute=None
    )
    user = new_user()
    give(user, 1900)
    ends = ["", "[sim:fail]", "[sim:truncated]", "[sim:rejected]"]  # a file that is cut off is fetched again
    prompts = [{"prompt": f"A kite [sim:mark-{number}]{ends[number % 4]}"} for number in range(200)]
    with Receiver() as receiver:
        answer = Program(user).send(PATH, {"items": prompts, "webhook_url": receiver.url})
        assert answer.status_code == 200
        user.refresh_from_db()
        assert user.balance == 0
        pump_until_done(120)
        batches.advance()
        outbox.deliver(1)
        (arrival,) = receiver.arrivals
    batch = Batch.objects.get()
    told = arrival.event["data"]
    assert arrival.event["type"] == "video_batch.completed"
    assert [told[name] for name in ("total", "completed", "failed", "progress")] == [200, 100, 100, 100]
    verdicts = Counter(batch.videos.values_list("status", flat=True))
    assert verdicts == {Status.COMPLETED: 100, Status.FAILED: 100}
    user.refresh_from_db()
    assert user.balance == 100 * 10
    assert violations()[1] == []


def test_the_end_of_a_batch_is_told_once(owner):
    key, _text = api_keys.create(owner, "tests")
    batch = some(owner, 2, api_key=key, webhook_url="https://example.com/")
    batches.cancel(batch)
    for _ in range(3):
        batches.advance()
    assert Delivery.objects.count() == 1


def test_a_keys_webhook_is_told_of_a_batch_and_not_of_each_video(owner):
    program = Program(owner, webhook_url="https://example.com/")
    own = "https://example.com/own"
    program.send(PATH, {"items": [{"prompt": "A"}, {"prompt": "B", "webhook_url": own}]})
    batches.cancel(Batch.objects.get())
    batches.advance()
    told = sorted(Delivery.objects.values_list("event", "url"))
    assert told == [("video.failed", own), ("video_batch.completed", "https://example.com/")]


# --- Campaigns ------------------------------------------------------------------------------------


def test_a_campaign_is_one_video_a_platform_in_its_shape_length_and_style(program):
    asked = {"prompt": "A kite over the sea", "platforms": ["youtube", "instagram", "tiktok", "x"]}
    batch = program.send("/v1/campaigns", asked | {"styles": {"x": "In black and white."}}).json()
    made = {
        video["metadata"]["platform"]: (video["size"], video["seconds"], video["prompt"])
        for video in batch["data"]
    }
    assert {name: about[:2] for name, about in made.items()} == {
        "youtube": ("1280x720", "12"),
        "instagram": ("720x720", "8"),
        "tiktok": ("720x1280", "8"),
        "x": ("1280x720", "4"),
    }
    assert made["x"][2] == "In black and white. A kite over the sea"
    assert made["tiktok"][2].startswith("Quick and handheld")
    assert batch["kind"] == "campaign"


@pytest.mark.parametrize("platforms", [[], ["myspace"], ["x", "x"], ["x"] * 5])
def test_a_campaign_for_no_or_other_platforms_is_refused(program, owner, platforms):
    assert error_of(program.send("/v1/campaigns", {"prompt": "A", "platforms": platforms}))[:2] == (
        400,
        "platforms",
    )
    assert not owner.videos.exists()


# --- Prompts as people paste them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("A kite\n\n  A boat, at sea \r\n", ["A kite", "A boat, at sea"]),
        ("prompt\nA kite\nA boat", ["A kite", "A boat"]),
        ('prompt,note\n"A kite, red",mine\n"Two\nlines",x', ["A kite, red", "Two\nlines"]),
        ("\ufeffprompt,note\nA kite,x", ["A kite"]),
        ("", []),
    ],
)
def test_prompts_are_read_a_line_each_or_from_a_csv(text, prompts):
    assert batches.read_prompts(text) == prompts


def test_credits_that_are_spent_meanwhile_undo_all_of_it(owner, monkeypatch):
    place = ordering.place

    def place_beside_another(user, order, **of_batch):
        if of_batch["position"] == 2:
            place(owner, video_order("Meanwhile"))  # in the same transaction, as if it had come first
        return place(user, order, **of_batch)

    monkeypatch.setattr(ordering, "place", place_beside_another)
    with pytest.raises(InsufficientCredits) as lack:
        some(owner, 10)
    assert lack.value.needed == 100
    assert not Video.objects.exists()
