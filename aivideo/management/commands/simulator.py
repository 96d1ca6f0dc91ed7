import asyncio
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.faults import FAULTS


class Command(BaseCommand):
    help = "Serve /v1/videos like a provider: real jobs, real MP4 files, and faults on request."

    # It needs neither models nor URLs, and starts in half the time without their checks.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8790, help="0: any free port, which is printed")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--data-dir", type=Path, help="where jobs and files are stored; default: DATA_DIR/simulator"
        )
        parser.add_argument(
            "--webhook-url",
            default=os.environ.get("SIMULATOR_WEBHOOK_URL", ""),
            help="where to send an event when a job ends; default: SIMULATOR_WEBHOOK_URL, else nowhere",
        )
        parser.add_argument(
            "--webhook-secret",
            default=os.environ.get("SIMULATOR_WEBHOOK_SECRET") or settings.OPENAI_WEBHOOK_SECRET,
            help="whsec_…, signs those events; default: SIMULATOR_WEBHOOK_SECRET or OPENAI_WEBHOOK_SECRET",
        )
        parser.add_argument("--profile", default="", help="the server to imitate, such as vllm-omni")
        parser.add_argument("--faults", action="store_true", help="list the faults and how to trigger them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["faults"]:
            self._list_faults()
        else:
            self._serve(**options)

    def _list_faults(self) -> None:
        self.stdout.write("Use one as the API key (Bearer sim-NAME) or as [sim:NAME] in the prompt:\n")
        for name, meaning in FAULTS.items():
            self.stdout.write(f"  {name:<18} {meaning}")

    def _serve(
        self,
        host: str,
        port: int,
        data_dir: Path | None,
        profile: str,
        webhook_url: str,
        webhook_secret: str,
        **_: Any,
    ) -> None:
        # aiohttp is slow to import, and --faults does not need it.
        from simulator.profiles import PROFILES
        from simulator.server import serve
        from simulator.store import Options
        from simulator.webhooks import key_of

        if profile not in PROFILES:
            raise CommandError(
                f"There is no profile {profile!r}. Choose one of: {', '.join(filter(None, PROFILES))}."
            )
        try:
            webhook_key = key_of(webhook_secret) if webhook_url else b""
        except ValueError as error:
            raise CommandError(f"--webhook-url needs a signing secret: {error}.") from error
        options = Options(
            folder=data_dir or settings.DATA_DIR / "simulator",
            seconds=settings.SIMULATOR_SECONDS,
            idempotency=_switch("SIMULATOR_IDEMPOTENCY"),
            listing=_switch("SIMULATOR_LIST"),
            profile=PROFILES[profile](),
            webhook_url=webhook_url,
            webhook_key=webhook_key,
        )
        try:
            asyncio.run(serve(options, host, port, self._announce))
        except OSError as error:
            raise CommandError(f"The simulator could not start: {error}") from error

    def _announce(self, base_url: str) -> None:
        self.stdout.write(f"simulator is listening on {base_url}")
        self.stdout.flush()


def _switch(name: str) -> bool:
    """False if this environment variable turns a feature off, to imitate servers that lack it."""
    return os.environ.get(name, "true").lower() != "false"
