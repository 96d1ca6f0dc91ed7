import uuid
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import CodeBatch
from aivideo.staff import actions


class Command(BaseCommand):
    help = "Create codes that users can redeem for credits, and print them. They cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int, help="number of codes, at most 10000")
        parser.add_argument("--credits", type=int, required=True, help="value of each code")
        parser.add_argument("--name", default="Code", help="name of the codes on users' statements")
        parser.add_argument(
            "--days", type=int, help="number of days in which they can be redeemed; default: no limit"
        )
        parser.add_argument(
            "--lasting", type=int, help="days after which redeemed credits expire; default: never"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name, maximum in (("count", 10_000), ("credits", 1_000_000), ("days", 3650), ("lasting", 3650)):
            if options[name] is not None and not 1 <= options[name] <= maximum:
                raise CommandError(f"{name} must be a whole number from 1 to {maximum}.")
        days = options["days"]
        batch = CodeBatch(
            name=options["name"][:100],
            credits=options["credits"],
            redeem_until=timezone.now() + timedelta(days=days) if days else None,
            lasts_days=options["lasting"],
        )
        request = actions.ActionRequest(None, "manage.py create_redeem_codes", uuid.uuid4())
        codes = actions.create_codes(request, batch, options["count"])
        self.stdout.write("\n".join(codes))
