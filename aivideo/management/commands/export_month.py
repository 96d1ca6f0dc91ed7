"""Print the figures of a month for an accountant, as CSV."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aivideo.staff import month_end


class Command(BaseCommand):
    help = "Print sales, refunds, fees, taxes, credits and provider costs of a month (UTC) as CSV."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("month", help="such as 2026-11")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            month = month_end.parse(options["month"])
        except ValueError as error:
            raise CommandError(
                f"{options['month']} is not a month that has begun, such as 2026-11."
            ) from error
        self.stdout.write(month_end.as_csv(month), ending="")
