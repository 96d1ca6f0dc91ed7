"""What is wrong with this installation, and how to mend it."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts import stripe_gateway
from accounts.models import Payment
from aivideo import __version__, health
from videos.catalogue import availability, connections, provider_check, refusals
from videos.models import Channel
from videos.moderation import service

LEAST_FREE = 1024**3  # bytes


class Command(BaseCommand):
    help = "Check each part this installation depends on; exit 1 if any is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--providers",
            action="store_true",
            help="Ask each provider something that costs nothing, and no more.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["providers"]:
            return self.ask_providers()
        self.stdout.write(f"aivideo {__version__}")
        wrong = 0
        for name, (check, mend) in CHECKS.items():
            problem = health.problem(check)
            wrong += problem is not None
            self.stdout.write(f"{name}: {problem or 'ok'}" + (f"\n    {mend}" if problem else ""))
        for model in (
            availability.models().exclude(retires_on=None).select_related("successor").order_by("retires_on")
        ):
            self.stdout.write(
                f"{model.slug} retires on {model.retires_on}; then: {model.successor or 'nothing'}"
            )
        if wrong:
            raise SystemExit(1)

    def ask_providers(self) -> None:
        """A line for each channel: what is missing, or what its provider answers and how to mend that."""
        wrong = 0
        for channel in Channel.objects.all():
            if why := connections.unavailable_reason(channel):
                self.stdout.write(f"{channel}: not asked: {why}")
                continue
            is_well, found = provider_check.ask(channel)
            wrong += not is_well
            self.stdout.write(f"{channel}: {'ok' if is_well else 'wrong'}: {found}")
        if wrong:
            raise SystemExit(1)


def migrations() -> str | None:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(waiting)} migrations are not applied" if waiting else None


def disk() -> str | None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    return f"only {free // 1024**2} MiB are free in DATA_DIR" if free < LEAST_FREE else None


def redis() -> str | None:
    if settings.REDIS_URL:
        from django.core.cache import cache

        cache.set("doctor", "ok", 10)
    return None


def sign_in() -> str | None:
    if not settings.GOOGLE_CLIENT_ID and not settings.DEMO_SIGN_IN:
        return "nobody can sign in: Google is not configured"
    return None


def models() -> str | None:
    return None if availability.models().exists() else "no model is enabled, so nothing can be generated"


def retirements() -> str | None:
    orphans = [model for model in availability.retiring() if not model.successor]
    names = ", ".join(f"{model.slug} on {model.retires_on}" for model in orphans)
    return f"models that retire and have no successor: {names}" if names else None


def providers() -> str | None:
    """Each channel that may be asked for videos: something answers at its address."""
    problems = []
    used = Channel.objects.filter(enabled=True, video_models__enabled=True).distinct()
    open_ = [channel for channel in used if connections.is_available(channel)]
    if not open_:
        reasons = [f"{channel}: {connections.unavailable_reason(channel)}" for channel in used]
        return f"no channel can be used ({'; '.join(reasons)})"
    for channel in open_:
        base_url = connections.base_url(channel)
        try:
            urllib.request.urlopen(base_url, timeout=5).close()
        except urllib.error.HTTPError:
            pass  # any HTTP answer is an answer
        except (urllib.error.URLError, OSError) as error:
            problems.append(f"{channel}: {base_url} does not answer ({error})")
    return "; ".join(problems) or None


def refused() -> str | None:
    """Each channel whose provider does not let us in, and what to do about it."""
    return (
        "\n    ".join(
            f"{one.channel} refused {one.count} since {one.since:%Y-%m-%d %H:%M} UTC: {one.words[:300]}"
            + "".join(f"\n      {number}. {step}" for number, step in enumerate(one.steps, 1))
            for one in refusals.current_refusals()
        )
        or None
    )


def moderation() -> str | None:
    """Whether the moderation service, where there is a key for one, judges a harmless sentence."""
    if service.is_configured():
        try:
            service.ask([service.Question("A red kite over the sea")])
        except service.Unavailable as error:
            return f"the moderation service gives no verdict: {error}"
    return None


def webhooks() -> str | None:
    deaf = Channel.objects.filter(enabled=True, sends_webhooks=True)
    if settings.OPENAI_WEBHOOK_SECRET or not deaf:
        return None
    names = ", ".join(map(str, deaf))
    return f"{names}: said to send webhooks, but none can be taken, so each job is asked about only once a minute"


def payments() -> str | None:
    held = Payment.objects.filter(status=Payment.Status.HELD).count()
    if held:
        return f"payments that need a decision: {held}"
    if stripe_gateway.is_configured():
        try:
            stripe_gateway.try_key()
        except stripe_gateway.Unreachable as error:
            return f"Stripe refuses or does not answer: {error}"
    return None


CHECKS: dict[str, tuple[Callable[[], str | None], str]] = {
    "database": (health.database, "Check DATABASE_URL, and that the server runs."),
    "migrations": (migrations, "Run: manage.py migrate"),
    "redis": (redis, "Check REDIS_URL, and that the server runs."),
    "storage": (health.storage, "Check that DATA_DIR (or the bucket) exists and can be written."),
    "disk": (disk, "Free some space, or move DATA_DIR to a larger disk."),
    "sign-in": (
        sign_in,
        "Set GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET; docs/operating.md says where they come from.",
    ),
    "models": (models, "Enable a model and its channel in the admin."),
    "providers": (
        providers,
        "Start the provider, or correct its address and key: docs/providers.md says how.",
    ),
    "refusals": (refused, "The first screen of the admin shows the same until the channel takes an order."),
    "moderation": (
        moderation,
        "Check MODERATION_API_KEY and MODERATION_BASE_URL, and that the server runs; until then nothing is made.",
    ),
    "retirements": (retirements, "Name a successor for the model in the admin."),
    "webhooks": (
        webhooks,
        "Set OPENAI_WEBHOOK_SECRET, or say in the admin that the channel sends no webhooks.",
    ),
    "payments": (payments, "Look at the payments in the admin, or correct STRIPE_SECRET_KEY."),
    "worker": (health.worker, "Start `manage.py videoworker`, or `make run`, which does."),
    "pump": (health.pump, "The worker mends itself within half a minute; if it does not, restart it."),
}
