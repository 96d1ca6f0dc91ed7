"""What the code of an earlier version does in the test of an upgrade; it runs in that version's folder, so it uses its names.

The argument is the name of a function below. What that returns is printed as JSON.
"""

# ruff: noqa: E402, I001 (of the imports, some exist there only)

import asyncio
import json
import sys
import uuid
from datetime import timedelta

import django

django.setup()

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.tasks import async_task

from accounts import api_keys, credits, payments
from accounts.models import ApiKey, CodeBatch, CreditPack, Payment, RedeemCode, User
from videos import batches, catalogue, generation, media, objects, outbox, results, steps
from videos.models import Delivery, Video
from videos.presets import SAMPLES, samples

IN_AN_HOUR = timezone.now() + timedelta(hours=1)
TASKS = ["sweep", "deliver", "lapse", "tidy"]
STUDIO = {"prompt": "A heron in the reeds", "model": "sora-2", "size": "720x1280", "seconds": "8"}
ONCE = {"prompt": "A kite [sim:mark-once]", "seconds": "4"}


def seed(hook, secret):
    """Everything that an installation in use holds; `hook` takes webhooks that are signed with `secret`."""
    get_broker().purge_queue()  # of the messages of other installations that used this Redis
    owner = person("owner", 1000)
    videos = videos_in_every_state(owner)
    working, text = api_keys.create(owner, "works", webhook_url=hook)
    ApiKey.objects.filter(pk=working.pk).update(webhook_secret=secret)
    revoked, revoked_text = api_keys.create(owner, "revoked")
    api_keys.revoke(revoked)
    batch = batches.start(owner, batch_orders(), at_once=3, api_key=working, webhook_url=hook)
    outbox.ping(working)
    last_try = outbox.ping(working)
    Delivery.objects.filter(pk=last_try.pk).update(attempts=7, next_at=IN_AN_HOUR)
    for task in TASKS:
        async_task(f"videos.tasks.{task}")
    return {
        "videos": videos,
        "batch": str(batch.pk),
        "key": text,
        "revoked_key": revoked_text,
        "payments": pay(owner),
        "in_debt": in_debt(),
        "expiring": expiring(),
        "once": ask(text, ONCE, "once"),
        "link": objects.link(Video.objects.get(pk=videos["completed"])),
        "session": session_with_draft(owner),
        "last_try": last_try.webhook_id,
    }


def batch_orders():
    """Three that never end keep the later ones waiting until `leave` stops them."""
    stuck = ["[sim:stuck]"] * 3
    return [order(prompt) for prompt in ("[sim:mark-first]", *stuck, "[sim:fail]", *["[sim:mark-batch]"] * 5)]


def person(name, amount, **lasting):
    user = User.objects.create(username=name, email=f"{name}@example.com")
    credits.grant(user, amount, reference=f"welcome:{name}", **lasting)
    return user


def order(prompt):
    return {
        "model": catalogue.models().get(slug="sora-2"),
        "prompt": f"A kite {prompt}",
        "size": "1280x720",
        "seconds": 4,
    }


def start(user, prompt, **fields):
    return generation.start(user, **order(prompt), **fields)


def videos_in_every_state(owner):
    """Ids by state, and by what the provider does with the job."""
    found = {"queued": start(owner, "[sim:mark-queued]")}
    # As a worker leaves them that dies in mid-request, and after it.
    found["submitting"] = start(owner, "[sim:mark-submitting]")
    generation.intend(found["submitting"])
    found["unconfirmed"] = start(owner, "[sim:mark-unconfirmed]")
    generation.intend(found["unconfirmed"])
    generation.lose_sight(found["unconfirmed"], "no whole answer in time")
    found["in_progress"] = accepted(owner, "[sim:mark-running]")
    found["long"] = accepted(owner, "[sim:late]")  # on this clock, until the old worker has gone
    found["doomed"] = accepted(owner, "[sim:fail]")
    found["saving"] = accepted(owner, "[sim:mark-saving]")
    generation.finish(found["saving"])
    # Its provider finishes it although its credits are back; `leave` has the worker look.
    found["late"] = accepted(owner, "[sim:mark-overdue]")
    generation.fail(found["late"], "timed_out", "still in_progress")
    Video.objects.filter(pk=found["late"].pk).update(next_at=IN_AN_HOUR)
    found["completed"] = accepted(owner, "[sim:mark-done]")
    generation.finish(found["completed"])
    part = settings.DATA_DIR / "parts" / "sample.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes((SAMPLES / next(iter(samples()))["file"]).read_bytes())
    generation.complete(found["completed"], results.store(part, *media.look(part)))
    found["failed"] = start(owner, "[sim:mark-failed]")
    generation.fail(found["failed"], "generation_failed", "internal_error")
    found["canceled"] = start(owner, "[sim:mark-canceled]")
    generation.cancel(found["canceled"])
    found["deleted"] = start(owner, "[sim:mark-deleted]")
    generation.cancel(found["deleted"])
    generation.delete(found["deleted"])
    return {name: str(video.pk) for name, video in found.items()}


def accepted(user, prompt):
    """A video whose job the provider has."""
    video = start(user, prompt)
    generation.intend(video)

    async def submit():
        provider = catalogue.provider_for(video.channel)
        try:
            return await provider.submit(steps.order_of(video), key=video.pk.hex)
        finally:
            await provider.close()

    generation.accept(video, asyncio.run(submit()))
    return video


def pay(user):
    """A payment in each state; the id, state, credits taken back and reason of each."""
    pack = CreditPack.objects.first()
    price = {"amount": pack.price, "currency": pack.currency}
    truths = {
        "created": payments.Truth(is_paid=False),
        "paid": payments.Truth(is_paid=True, intent="pi_paid", **price),
        "held": payments.Truth(is_paid=True, amount=1, currency="usd"),
        "refunded": payments.Truth(is_paid=True, refunded=pack.price, **price),
        "disputed": payments.Truth(is_paid=True, disputed=pack.price // 2, **price),
    }
    for state, truth in truths.items():
        payment = payments.order(user, pack, Payment.Processor.STRIPE)
        settled = payments.settle(payment, lambda _payment, truth=truth: truth)
        assert settled.status == state, settled.status
    return [[str(p.pk), p.status, p.clawed_back, p.why, p.moves] for p in user.payments.order_by("pk")]


def in_debt():
    """Who owes for a video that was made, and has another one queued."""
    user = User.objects.create(username="debtor")
    pack = CreditPack.objects.create(name="Few", credits=20, price=100)
    payment = payments.order(user, pack, Payment.Processor.TEST)
    price = {"amount": 100, "currency": "usd"}
    payment = payments.settle(payment, lambda _payment: payments.Truth(is_paid=True, **price))
    accepted(user, "[sim:mark-spent]")
    waiting = start(user, "[sim:mark-in-debt]")
    payments.settle(payment, lambda _payment: payments.Truth(is_paid=True, refunded=100, **price))
    return str(waiting.pk)


def expiring():
    """Who has credits of three dates, and spends the first of them for a video that fails."""
    user = person("saver", 50, lapses_at=timezone.now() + timedelta(days=30))
    credits.grant(user, 30, reference="later", lapses_at=timezone.now() + timedelta(days=60))
    credits.grant(user, 20, reference="over", lapses_at=timezone.now() - timedelta(seconds=1))
    return str(accepted(user, "[sim:fail]").pk)


def ask(key, body, idempotency_key):
    """The id of the video that a program gets."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
    answer = Client().post("/v1/videos", body, content_type="application/json", headers=headers)
    assert answer.status_code == 200, answer.content
    return {"body": body, "answer": answer.json()["id"]}


def session_with_draft(user):
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post("/", {**STUDIO, "top_up": ""})
    assert answer.status_code == 302, answer.content
    return client.cookies["sessionid"].value


def is_at_work():
    """Whether the worker has finished a video."""
    return Video.objects.filter(prompt__contains="mark-saving", status="completed").exists()


def go_on(key):
    """What old processes do beside the new ones: read every table, and order by both doors."""
    for model in apps.get_models(include_auto_created=True):
        model._default_manager.first()
    missed = columns_that_are_missed()
    assert not missed, missed
    owner = User.objects.get(username="owner")
    number = uuid.uuid4().hex[:8]
    ask(key, {"prompt": f"A kite [sim:mark-{number}]", "seconds": "4"}, number)
    return str(start(owner, f"[sim:mark-{number}]").pk)


def columns_that_are_missed():
    """Columns that this version does not fill, and that the database does not either."""
    with connection.cursor() as cursor:
        return [
            f"{model._meta.db_table}.{column.name}"
            for model in apps.get_models(include_auto_created=True)
            for column in connection.introspection.get_table_description(cursor, model._meta.db_table)
            if column.name not in {field.column for field in model._meta.concrete_fields}
            if not column.null_ok and column.default is None
        ]


def leave(key):
    """The last that old processes do, when only the new worker is left: order, stop, and send all kinds of messages."""
    go_on(key)
    saver = User.objects.get(username="saver")
    redeemed_at = timezone.now() - timedelta(days=1, seconds=1)
    batch = CodeBatch.objects.create(name="Just over", credits=15, lasts_days=1)
    code = RedeemCode.objects.create(batch=batch, digest="0" * 64, redeemed_by=saver, redeemed_at=redeemed_at)
    lapses_at = redeemed_at + timedelta(days=1)
    credits.grant(saver, 15, reference=f"code:{code.pk}", lapses_at=lapses_at)
    Delivery.objects.filter(attempts=7).update(next_at=Now())
    Video.objects.filter(error_code="timed_out").update(next_at=Now())
    for video in Video.objects.live().filter(prompt__contains="[sim:stuck]"):
        generation.fail(video, "stopped", "by staff")
    for task in TASKS:
        async_task(f"videos.tasks.{task}")
    async_task("aivideo.tasks.close_days")
    async_task("aivideo.tasks.check_ledger")


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
