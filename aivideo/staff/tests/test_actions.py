"""What staff do by hand: each deed once, with a reason, and with its line in the audit log."""

import csv
from io import StringIO
from itertools import count
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts import payments, stripe_gateway
from accounts.models import CreditEntry, CreditPack, Payment, StaffGrant, StripeEvent
from accounts.payments import Truth
from aivideo.ledger_check import violations
from aivideo.models import AuditEntry
from aivideo.staff import actions
from tests.support.fixtures import entries, new_user, order, queued_messages, signed_in
from tests.support.sabotage import becomes, drop, never, without
from videos.generation import lifecycle
from videos.models import Channel, Status, Video, VideoModel
from videos.status.timeline import timeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db):
    return new_user(is_staff=True, is_superuser=True)


@pytest.fixture
def wish(boss):
    """A new form, filled in."""
    return lambda reason="they asked nicely": actions.ActionRequest(boss, reason, uuid4())


def ready(video):
    """Bring a video to its end without a provider."""
    Video.objects.filter(pk=video.pk).update(
        status="completed",
        file="videos/x.mp4",
        sha256="0" * 64,
        ended_at=timezone.now(),
        next_attempt_at=None,
    )
    video.refresh_from_db()
    return video


def at(video, status, **fields):
    Video.objects.filter(pk=video.pk).update(status=status, **fields)
    video.refresh_from_db()
    return video


def log():
    return list(AuditEntry.objects.order_by("pk").values_list("action", "target", "reason"))


def test_granted_credits_are_there_once_however_often_the_form_is_sent(wish, owner):
    form = wish("a kind soul")
    assert [actions.grant(form, owner, 70) for _ in range(3)] == [True, True, True]
    owner.refresh_from_db()
    assert owner.balance == 170
    assert log() == [("grant", f"user:{owner.pk}", "a kind soul")]
    assert owner.credit_entries.first().note == ""


def test_A70_a_large_grant_is_asked_for_and_confirmed_by_somebody_else_in_the_log(wish, owner, boss):
    form = wish("a very kind soul")
    assert [actions.grant(form, owner, 5000) for _ in range(2)] == [True, True]
    assert (actions.is_waiting(form), CreditEntry.objects.filter(user=owner).count()) == (True, 1)
    waiting = StaffGrant.objects.get()
    with pytest.raises(actions.ActionFailed, match="Somebody else"):
        actions.confirm(wish("me again"), waiting)
    colleague = new_user(is_staff=True)
    confirmed = actions.ActionRequest(colleague, "I know them", uuid4())
    assert [actions.confirm(confirmed, waiting) for _ in range(2)] == [True, True]
    owner.refresh_from_db()
    assert (owner.balance, actions.is_waiting(form)) == (5100, False)
    assert log() == [
        ("grant", f"user:{owner.pk}", "a very kind soul"),
        ("confirm", f"user:{owner.pk}", "I know them"),
    ]
    assert actions.decline(wish(), waiting) is False
    assert violations()[1] == []


@without("own payments and refunds", "aivideo.staff.actions._not_to_oneself", never("request.staff == user"))
def test_A70_nobody_refunds_or_accepts_for_themselves(wish, boss):
    video = ready(order(boss))
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    payment = payments.order(boss, pack, Payment.Processor.TEST)
    Payment.objects.filter(pk=payment.pk).update(status="held")
    for deed in (
        lambda: actions.refund(wish(), video),
        lambda: actions.accept(wish(), payment),
        lambda: actions.pay_back(wish(), payment, None),
        lambda: actions.grant(wish(), boss, 5),
    ):
        with pytest.raises(actions.ActionFailed, match="themselves"):
            deed()
    boss.refresh_from_db()
    assert (boss.balance, log()) == (90, [])


@pytest.fixture
def told(boss):
    """A form whose reason is for the log and whose text is for the customer, sent three times."""

    def send(deed, *args, note="Sorry for the wait."):
        form = actions.ActionRequest(boss, "he shouted at us", uuid4(), note)
        return [deed(form, *args) for _ in range(3)]

    return send


def seen_by(user, video=None, program=None):
    """All that a customer can see of what staff did: the statement, on the page and as a file, and the video."""
    client = signed_in(user)
    seen = [client.get("/credits/").text, client.get("/credits/statement.csv").getvalue().decode()]
    if video:
        seen += [
            client.get(f"/videos/{video.pk}/").text,
            program.get(f"/v1/videos/video_{video.pk.hex}").text,
        ]
    return seen


@without(
    "the note for the customer beside the internal reason",
    "aivideo.staff.actions.grant",
    becomes("request.note", "request.reason[:200]"),
)
def test_REASON_only_the_text_for_the_customer_stands_in_their_statement(told, owner):
    assert told(actions.grant, owner, 70) == [True] * 3
    page, file = seen_by(owner)
    assert page.count("Sorry for the wait.") == 1
    assert [line[2] for line in csv.reader(StringIO(file))][1] == "Sorry for the wait."
    assert "he shouted" not in page + file
    assert log() == [("grant", f"user:{owner.pk}", "he shouted at us")]


def test_REASON_only_the_text_for_the_customer_stands_beside_a_refund(told, owner, program):
    video = ready(order(owner))
    assert told(actions.refund, video) == [True] * 3
    seen = seen_by(owner, video, program)
    assert [text.count("Sorry for the wait.") for text in seen] == [1, 1, 1, 0]
    assert "he shouted" not in "".join(seen)
    assert entries(video) == [("charge", -10), ("refund", 10)]


@without(
    "the note for the customer beside the internal reason",
    "aivideo.staff.actions.fail",
    becomes("request.note", "request.reason"),
)
def test_REASON_only_the_text_for_the_customer_stands_beside_a_stop(told, owner, program):
    video = order(owner)
    assert told(actions.fail, video) == [True] * 3
    seen = seen_by(owner, video, program)
    assert [text.count("Sorry for the wait.") for text in seen] == [1, 1, 1, 0]
    assert "he shouted" not in "".join(seen)
    assert log() == [("fail", video.reference, "he shouted at us")]


def test_without_a_text_for_the_customer_their_statement_says_what_it_said(told, owner, program):
    video = order(owner)
    told(actions.fail, video, note="")
    told(actions.grant, owner, 70, note="")
    assert [entry.note for entry in owner.credit_entries.all()] == ["", "", "", ""]


def test_two_forms_grant_twice(wish, owner):
    actions.grant(wish(), owner, 70), actions.grant(wish(), owner, 70)
    owner.refresh_from_db()
    assert (owner.balance, len(log())) == (240, 2)


def test_refunding_a_ready_video_gives_its_credits_back_once_and_leaves_it_there(wish, owner):
    video = ready(order(owner))
    assert [actions.refund(wish(), video), actions.refund(wish(), video)] == [True, False]
    video.refresh_from_db()
    assert (video.status, video.is_free) == ("completed", True)
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert log() == [("refund", video.reference, "they asked nicely")]
    assert violations()[1] == []
    assert [(line.text, line.credits) for line in timeline_of(video)][-1] == (
        "The staff refunded 10 credits. You keep the video.",
        10,
    )
    assert "This video is free" in signed_in(owner).get(f"/videos/{video.pk}/").content.decode()


def test_a_refunded_video_that_turns_out_not_to_play_is_not_refunded_again(wish, owner):
    video = ready(order(owner))
    actions.refund(wish(), video)
    video.refresh_from_db()
    assert lifecycle.fail_unplayable(video, "no frame")
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert violations()[1] == []


@pytest.mark.parametrize("status", ["queued", "in_progress", "failed", "canceled"])
def test_only_a_ready_video_can_be_refunded(wish, owner, status):
    video = at(order(owner), status)
    assert not actions.refund(wish(), video)
    assert (entries(video), log()) == ([("charge", -10)], [])


def test_a_refund_survives_that_its_owner_deleted_the_video(wish, owner):
    video = ready(order(owner))
    lifecycle.delete(video)
    assert actions.refund(wish(), video)
    assert violations()[1] == []


@pytest.mark.parametrize("status", ["queued", "unconfirmed", "in_progress", "saving"])
def test_stopping_a_video_returns_its_credits_and_tells_its_owner_who_did(wish, owner, status):
    video = at(order(owner), status, ref="job-1", posted_at=timezone.now())
    assert [actions.fail(wish("it hangs"), video), actions.fail(wish(), video)] == [True, False]
    assert (video.status, video.error_code, video.next_attempt_at) == ("failed", "stopped", None)
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert log() == [("fail", video.reference, "it hangs")]
    assert (
        "The staff of this site stopped this video."
        in signed_in(owner).get(f"/videos/{video.pk}/").content.decode()
    )


def test_stopping_a_video_that_moves_on_meanwhile_does_nothing(wish, owner):
    video = order(owner)
    lifecycle.cancel(Video.objects.get(pk=video.pk))
    assert not actions.fail(wish(), video)
    assert (entries(video), log()) == ([("charge", -10), ("refund", 10)], [])


def later():
    return timezone.now() + timezone.timedelta(hours=1)


@pytest.mark.parametrize("status", ["queued", "unconfirmed", "in_progress", "saving"])
def test_a_waiting_video_can_be_made_due_now(wish, owner, status):
    video = at(order(owner), status, next_attempt_at=later(), attempts=5)
    rung = queued_messages()
    assert actions.hurry(wish(), video)
    video.refresh_from_db()
    assert (video.next_attempt_at <= timezone.now(), video.attempts, video.status) == (True, 0, status)
    assert connection.in_atomic_block or queued_messages() == rung + 1


def test_a_video_whose_request_is_under_way_is_not_disturbed(wish, owner):
    due = later()
    video = at(order(owner), "submitting", next_attempt_at=due)
    assert not actions.hurry(wish(), video)
    video.refresh_from_db()
    assert video.next_attempt_at == due


def test_the_provider_of_a_job_that_timed_out_is_asked_once_more(wish, owner):
    video = order(owner)
    at(video, "in_progress", ref="job-1")
    lifecycle.fail(video, "timed_out")
    at(video, "failed", next_attempt_at=None)
    assert actions.hurry(wish(), video)
    video.refresh_from_db()
    assert video.next_attempt_at is not None
    assert not actions.hurry(wish(), at(video, "failed", error_code="generation_failed"))


def test_a_suspended_person_is_out_and_gets_back_what_waited(wish, owner):
    client, waiting, running = signed_in(owner), order(owner), order(owner)
    at(running, "in_progress", ref="job-1")
    assert client.get("/videos/").status_code == 200
    assert [actions.suspend(wish(), owner), actions.suspend(wish(), owner)] == [True, False]
    assert client.get("/videos/").status_code == 302
    waiting.refresh_from_db(), running.refresh_from_db()
    assert (waiting.status, running.status) == ("canceled", "in_progress")
    assert violations()[1] == []
    assert [actions.readmit(wish(), owner), actions.readmit(wish(), owner)] == [True, False]
    assert signed_in(owner).get("/videos/").status_code == 200
    assert [action for action, *_ in log()] == ["suspend", "readmit"]


def test_a_paused_channel_takes_nothing_and_a_resumed_one_forgets_its_rest(wish, owner):
    channel = Channel.objects.get(slug="simulator")
    assert [actions.pause(wish(), channel), actions.pause(wish(), channel)] == [True, False]
    Channel.objects.filter(pk=channel.pk).update(failures=4, resumes_at=later())
    assert [actions.resume(wish(), channel), actions.resume(wish(), channel)] == [True, False]
    channel.refresh_from_db()
    assert (channel.enabled, channel.failures, channel.resumes_at) == (True, 0, None)


def test_a_paused_model_is_not_on_sale(wish, as_owner):
    model = VideoModel.objects.get(slug="sora-2")
    assert actions.pause(wish(), model)
    assert 'value="sora-2"' not in as_owner.get("/").content.decode()
    assert [actions.resume(wish(), model), actions.resume(wish(), model)] == [True, False]
    assert 'value="sora-2"' in as_owner.get("/").content.decode()


@pytest.fixture
def held(owner, monkeypatch):
    """A payment of less than was ordered, and a Stripe that says so."""
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    truth = Truth(is_paid=True, amount=2400, currency="usd")
    monkeypatch.setattr(stripe_gateway, "truth_of", lambda _payment: truth)
    return payments.settle(payments.order(owner, pack, Payment.Processor.STRIPE), stripe_gateway.truth_of)


def test_a_held_payment_is_accepted_once(wish, owner, held):
    assert held.status == "held"
    assert [actions.accept(wish("close enough"), held), actions.accept(wish(), held)] == [True, False]
    owner.refresh_from_db()
    assert owner.balance == 1100
    assert log() == [("accept", held.reference, "close enough")]


@without("the question before a decision", "aivideo.staff.actions.accept", drop("settle"))
def test_what_was_refunded_meanwhile_is_not_accepted(wish, owner, held, monkeypatch):
    """Its webhook was lost, or is on its way."""
    refunded = Truth(is_paid=True, amount=2400, currency="usd", refunded=2400)
    monkeypatch.setattr(stripe_gateway, "truth_of", lambda _payment: refunded)
    assert actions.accept(wish(), held) is False
    held.refresh_from_db()
    owner.refresh_from_db()
    assert (held.status, owner.balance, log()) == ("refunded", 100, [])


def test_nothing_is_accepted_while_stripe_does_not_answer(wish, owner, held, monkeypatch):
    def fail(_payment):
        raise stripe_gateway.Unreachable("no answer")

    monkeypatch.setattr(stripe_gateway, "truth_of", fail)
    with pytest.raises(actions.ActionFailed, match="no answer"):
        actions.accept(wish(), held)
    held.refresh_from_db()
    assert (held.status, log()) == ("held", [])


def test_a_webhook_that_nobody_can_process_is_closed_by_whoever_has_looked_at_it(wish):
    event = StripeEvent.objects.create(id="evt_1", kind="charge.refunded", problem="bought by nobody we know")
    assert [actions.close(wish("refunded at Stripe"), event), actions.close(wish(), event)] == [True, False]
    event.refresh_from_db()
    assert event.settled_at
    assert log() == [("close", "event:evt_1", "refunded at Stripe")]


DEEDS = {
    "grant": lambda wish, video, held: actions.grant(wish, video.user, 70),
    "refund": lambda wish, video, held: actions.refund(wish, video),
    "fail": lambda wish, video, held: actions.fail(wish, order_of(video.user)),
    "hurry": lambda wish, video, held: actions.hurry(wish, order_of(video.user)),
    "suspend": lambda wish, video, held: actions.suspend(wish, video.user),
    "accept": lambda wish, video, held: actions.accept(wish, held),
}


def order_of(user):
    return user.videos.get(status=Status.QUEUED)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_that_ends_at_any_of_its_statements_has_done_nothing(wish, owner, held, deed):
    video = ready(order(owner))
    order(owner)
    before, deaths, form = state(), 0, wish()
    while True:
        statements = count()

        def die(execute, sql, params, many, context, statements=statements, deaths=deaths):
            if next(statements) == deaths:
                raise OperationalError("the machine dies here")
            return execute(sql, params, many, context)

        try:
            with transaction.atomic(), connection.execute_wrapper(die):
                DEEDS[deed](form, video, held)
        except OperationalError:
            assert state() == before
            deaths += 1
        else:
            break
    assert deaths >= 3
    assert len(log()) == 1
    assert violations()[1] == []


def state():
    moved = list(CreditEntry.objects.values_list("kind", "reference").order_by("pk"))
    videos = list(Video.objects.order_by("pk").values_list("status", "is_free", "next_attempt_at"))
    return moved, videos, list(Payment.objects.values_list("status")), log()
