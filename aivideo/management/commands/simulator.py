import asyncio
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.faults import FAULTS


class Command(BaseCommand):
    help = "Serves /v1/videos like a provider would: real jobs, real MP4s, and faults on request."

    # Neither models nor URLs are needed here, and without their checks it starts in half the time.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8790, help="0 takes a free one and says which")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--data-dir", type=Path, help="for jobs and files; DATA_DIR/simulator by default")
        parser.add_argument(
            "--webhook-url",
            default=os.environ.get("SIMULATOR_WEBHOOK_URL", ""),
            help="is told when a job has ended; SIMULATOR_WEBHOOK_URL by default, and nobody without either",
        )
        parser.add_argument(
            "--webhook-secret",
            default=os.environ.get("SIMULATOR_WEBHOOK_SECRET") or settings.OPENAI_WEBHOOK_SECRET,
            help="whsec_…, signs that; SIMULATOR_WEBHOOK_SECRET or OPENAI_WEBHOOK_SECRET by default",
        )
        parser.add_argument("--profile", default="", help="a server to take after, such as vllm-omni")
        parser.add_argument("--faults", action="store_true", help="list the faults and how to ask for them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["faults"]:
            self._list_faults()
        else:
            self._serve(**options)

    def _list_faults(self) -> None:
        self.stdout.write("As key (Bearer sim-NAME) for all its requests, or as [sim:NAME] in the prompt:\n")
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
        # aiohttp is slow to import, and --faults needs none of it.
        from simulator.profiles import PROFILES
        from simulator.server import serve
        from simulator.store import Options
        from simulator.webhooks import key_of

        if profile not in PROFILES:
            raise CommandError(
                f"There is no profile {profile!r}. Known: {', '.join(filter(None, PROFILES))}."
            )
        try:
            webhook_key = key_of(webhook_secret) if webhook_url else b""
        except ValueError as error:
            raise CommandError(f"--webhook-url needs a secret to sign with: {error}.") from error
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
            raise CommandError(f"The simulator cannot start: {error}") from error

    def _announce(self, base_url: str) -> None:
        self.stdout.write(f"simulator is listening on {base_url}")
        self.stdout.flush()


def _switch(name: str) -> bool:
    """An environment variable that turns a part of the server off: other servers lack it."""
    return os.environ.get(name, "true").lower() != "false"
