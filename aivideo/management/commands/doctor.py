"""Diagnose this installation: what is wrong and how to fix it."""

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

MIN_FREE_BYTES = 1024**3


class Command(BaseCommand):
    help = "Check everything this installation depends on. Exits with 1 if anything is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--providers",
            action="store_true",
            help="Only check the providers, each with a free request.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["providers"]:
            return self.ask_providers()
        self.stdout.write(f"aivideo {__version__}, which counts limits in {_counts_in()}")
        wrong = 0
        for name, (check, fix) in CHECKS.items():
            problem = health.problem(check)
            wrong += problem is not None
            self.stdout.write(f"{name}: {problem or 'ok'}" + (f"\n    {fix}" if problem else ""))
        for model in (
            availability.models().exclude(retires_on=None).select_related("successor").order_by("retires_on")
        ):
            self.stdout.write(
                f"{model.slug} retires on {model.retires_on}; successor: {model.successor or 'none'}"
            )
        if wrong:
            raise SystemExit(1)

    def ask_providers(self) -> None:
        """Print a line for each channel: why it is unavailable, or what its provider answers and how to fix that."""
        wrong = 0
        for channel in Channel.objects.all():
            if reason := connections.unavailable_reason(channel):
                self.stdout.write(f"{channel}: not checked: {reason}")
                continue
            is_ok, answer = provider_check.ask(channel)
            wrong += not is_ok
            self.stdout.write(f"{channel}: {'ok' if is_ok else 'wrong'}: {answer}")
        if wrong:
            raise SystemExit(1)


def migrations() -> str | None:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(pending)} migrations are not applied" if pending else None


def disk() -> str | None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    return f"only {free // 1024**2} MiB are free in DATA_DIR" if free < MIN_FREE_BYTES else None


def limits() -> str | None:
    """Whether the processes can count together: in Redis, or without it in a file that those of one machine share."""
    from django.core.cache import cache

    cache.set("doctor", 1, 10)
    return None if cache.incr("doctor") == 2 else f"{_counts_in()} does not count"


def _counts_in() -> str:
    return "Redis" if settings.REDIS_URL else str(settings.CACHES["default"]["LOCATION"])


def sign_in() -> str | None:
    if not settings.GOOGLE_CLIENT_ID and not settings.DEMO_SIGN_IN:
        return "nobody can sign in: Google sign-in is not configured"
    return None


def models() -> str | None:
    return None if availability.models().exists() else "no model is enabled, so nothing can be generated"


def retirements() -> str | None:
    orphans = [model for model in availability.retiring() if not model.successor]
    names = ", ".join(f"{model.slug} on {model.retires_on}" for model in orphans)
    return f"models that will retire without a successor: {names}" if names else None


def providers() -> str | None:
    """Whether a server answers at the address of every available channel."""
    problems = []
    used = Channel.objects.filter(enabled=True, video_models__enabled=True).distinct()
    available = [channel for channel in used if connections.is_available(channel)]
    if not available:
        reasons = [f"{channel}: {connections.unavailable_reason(channel)}" for channel in used]
        return f"no channel is available ({'; '.join(reasons)})"
    for channel in available:
        base_url = connections.base_url(channel)
        try:
            urllib.request.urlopen(base_url, timeout=5).close()
        except urllib.error.HTTPError:
            pass  # an HTTP error is an answer, too
        except (urllib.error.URLError, OSError) as error:
            problems.append(f"{channel}: {base_url} does not answer ({error})")
    return "; ".join(problems) or None


def refused() -> str | None:
    """Channels whose provider rejects our requests, and what to do about it."""
    return (
        "\n    ".join(
            f"{refusal.channel} has rejected {refusal.count} requests since"
            f" {refusal.since:%Y-%m-%d %H:%M} UTC: {refusal.words[:300]}"
            + "".join(f"\n      {number}. {step}" for number, step in enumerate(refusal.steps, 1))
            for refusal in refusals.current_refusals()
        )
        or None
    )


def moderation() -> str | None:
    """Whether the moderation service, if one is configured, gives a verdict on a harmless sentence."""
    if service.is_configured():
        try:
            service.ask([service.Question("A red kite over the sea")])
        except service.Unavailable as error:
            return f"the moderation service gives no verdict: {error}"
    return None


def webhooks() -> str | None:
    senders = Channel.objects.filter(enabled=True, sends_webhooks=True)
    if settings.OPENAI_WEBHOOK_SECRET or not senders:
        return None
    names = ", ".join(map(str, senders))
    return (
        f"{names}: configured to send webhooks, but without a secret none can be verified,"
        " and each job is polled only once a minute"
    )


def payments() -> str | None:
    held = Payment.objects.filter(status=Payment.Status.HELD).count()
    if held:
        return f"payments waiting for a decision: {held}"
    if stripe_gateway.is_configured():
        try:
            stripe_gateway.try_key()
        except stripe_gateway.Unreachable as error:
            return f"Stripe rejects our key or does not answer: {error}"
    return None


CHECKS: dict[str, tuple[Callable[[], str | None], str]] = {
    "database": (health.database, "Check DATABASE_URL, and that the server is running."),
    "migrations": (migrations, "Run: manage.py migrate"),
    "limits": (
        limits,
        "Check REDIS_URL, and that the server is running. The file that takes its place may be deleted while the site is stopped.",
    ),
    "storage": (health.storage, "Check that DATA_DIR (or the bucket) exists and is writable."),
    "disk": (disk, "Free up space, or move DATA_DIR to a larger disk."),
    "sign-in": (
        sign_in,
        "Set GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET; docs/operating.md says where to get them.",
    ),
    "models": (models, "Enable a model and its channel in the admin."),
    "providers": (
        providers,
        "Start the provider, or correct its address and key; see docs/providers.md.",
    ),
    "refusals": (refused, "The admin dashboard shows this until the channel accepts a job again."),
    "moderation": (
        moderation,
        "Check MODERATION_API_KEY and MODERATION_BASE_URL, and that the server is running."
        " Until then no video is made.",
    ),
    "retirements": (retirements, "Choose a successor for the model in the admin."),
    "webhooks": (
        webhooks,
        "Set OPENAI_WEBHOOK_SECRET, or turn off webhooks for the channel in the admin.",
    ),
    "payments": (payments, "Review the payments in the admin, or correct STRIPE_SECRET_KEY."),
    "worker": (health.worker, "Start `manage.py videoworker`, or `make run`, which starts it."),
    "pump": (health.dispatcher, "The worker recovers within half a minute; if it does not, restart it."),
}
