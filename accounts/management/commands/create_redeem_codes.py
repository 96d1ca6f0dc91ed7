from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from accounts import redeem_codes
from accounts.models import CodeBatch


class Command(BaseCommand):
    help = "Make codes that people redeem for credits, and print them: they are shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int, help="how many, at most 10000")
        parser.add_argument("--credits", type=int, required=True, help="that each is worth")
        parser.add_argument("--name", default="Code", help="what the statement calls them")
        parser.add_argument("--days", type=int, help="how long they can be redeemed; for ever without it")
        parser.add_argument(
            "--lasting", type=int, help="days after which the credits lapse; never without it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name, most in (("count", 10_000), ("credits", 1_000_000), ("days", 3650), ("lasting", 3650)):
            if options[name] is not None and not 1 <= options[name] <= most:
                raise CommandError(f"{name} is a whole number from 1 to {most}.")
        days = options["days"]
        with transaction.atomic():
            batch = CodeBatch.objects.create(
                name=options["name"][:100],
                credits=options["credits"],
                redeem_until=timezone.now() + timedelta(days=days) if days else None,
                lasts_days=options["lasting"],
            )
            made = redeem_codes.create(batch, options["count"])
        self.stdout.write("\n".join(made))
