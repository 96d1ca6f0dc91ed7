"""Sample data for a first look at the product."""

import shutil
import uuid
from datetime import timedelta
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts import credits, staff_grants
from accounts.demo import DEMO_USER
from accounts.models import User
from videos.catalogue import availability
from videos.generation import lifecycle, ordering
from videos.media import inspection, storage
from videos.media.presets import SAMPLES, presets, samples
from videos.models import BLOCKED, Video
from videos.moderation import gate
from videos.order import VideoOrder
from videos.providers.base import JobState


class Command(BaseCommand):
    help = "Create videos in every state for the demo user. Running it again adds nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO_SIGN_IN:
            raise CommandError("The demo user exists only with DEBUG and without Google sign-in.")
        user = _demo_user()
        if not user.staff_grants.exists():
            why = "manage.py demo"
            staff_grants.grant(user, 200, giver=None, reason=why, note=why, form=uuid.uuid4())

        for number, sample in enumerate(samples()):
            _finished(user, f"demo-ready-{number}", sample)
        some = list(presets().values())
        _failed(user, "demo-blocked", some[0].prompt, BLOCKED)
        _failed(user, "demo-late", some[1].prompt, "timed_out")
        _canceled(user, "demo-canceled", some[2].prompt)
        # Real orders: a running worker takes them through the other states.
        for number, preset in enumerate(some[3:5]):
            ordering.place(user, _order(user, f"demo-running-{number}", preset.prompt, preset=preset.name))
        self.stdout.write(
            f"{user.email} has {user.videos.count()} videos. Sign in as the demo user to see them."
        )


def _demo_user() -> User:
    account = SocialAccount.objects.filter(provider="dummy", uid=str(DEMO_USER["id"])).first()
    if account:
        return account.user
    with transaction.atomic():
        user = User(
            username=DEMO_USER["username"], email=DEMO_USER["email"], first_name=DEMO_USER["first_name"]
        )
        user.set_unusable_password()
        user.save()
        SocialAccount.objects.create(user=user, provider="dummy", uid=str(DEMO_USER["id"]))
        credits.grant_signup(user)
    return user


def _order(user: User, key: str, prompt: str, preset: str = "") -> VideoOrder:
    model = availability.models()[0]
    order = VideoOrder(
        model=model,
        prompt=prompt,
        size=model.sizes[0],
        seconds=model.lengths[0],
        preset=preset,
        client_key=key,
    )
    return gate.clear(user, [order])[0]


def _finished(user: User, key: str, sample: dict[str, str]) -> None:
    part = settings.DATA_DIR / "parts" / f"{key}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    order = _order(user, key, sample["prompt"])
    with transaction.atomic():
        video = ordering.place(user, order)
        if lifecycle.mark_submitting(video):
            shutil.copy(SAMPLES / sample["file"], part)
            lifecycle.accept(video, JobState(ref=f"demo-{video.pk}", status="completed"))
            lifecycle.finish(video)
            lifecycle.complete(video, storage.store(part, *inspection.look(part)))
            part.unlink(missing_ok=True)  # unless storage took the file itself
            # As long as a real model takes; otherwise the model's track record would promise a video in one second.
            Video.objects.filter(pk=video.pk).update(created_at=timezone.now() - timedelta(seconds=66))


def _failed(user: User, key: str, prompt: str, code: str) -> None:
    order = _order(user, key, prompt)
    with transaction.atomic():
        lifecycle.fail(ordering.place(user, order), code)


def _canceled(user: User, key: str, prompt: str) -> None:
    order = _order(user, key, prompt)
    with transaction.atomic():
        lifecycle.cancel(ordering.place(user, order))
