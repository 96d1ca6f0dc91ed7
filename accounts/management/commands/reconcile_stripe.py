from datetime import datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts import payments, stripe_gateway, stripe_reconciliation
from accounts.models import money


class Command(BaseCommand):
    help = "Ask Stripe for all payments since a day, settle those that nobody told us about, and compare the books by day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", required=True, metavar="DATE", help="a day, such as 2026-11-01")

    def handle(self, *args: Any, **options: Any) -> None:
        if not stripe_gateway.is_configured():
            raise CommandError("STRIPE_SECRET_KEY is not set.")
        try:
            day = parse_date(options["since"])
        except ValueError:
            day = None
        if day is None:
            raise CommandError(f"{options['since']!r} is not a date. Write it like 2026-11-01.")
        since = timezone.make_aware(datetime.combine(day, time()))
        seen = changed = unknown = 0
        try:
            for found in stripe_reconciliation.reconcile(since):
                seen += 1
                if isinstance(found, stripe_gateway.NoRecord):
                    unknown += 1
                    self.stdout.write(str(found))
                    continue
                payment, before = found
                if payment.status != before:
                    changed += 1
                    was = before or "unknown here"
                    self.stdout.write(
                        f"payment {payment.pk} was {was} and is {payment.status}. {payment.reason}".strip()
                    )
        except stripe_gateway.Unreachable as error:
            raise CommandError(f"Stripe did not answer: {error}") from error
        self.stdout.write(f"{seen} payments were completed at Stripe; {changed} changed here.")
        problems = self._compare(since)
        if unknown:
            raise CommandError(f"Payments without a record here: {unknown}. Look them up at Stripe.")
        if problems:
            raise CommandError(f"Transactions that are not the same at Stripe and here: {problems}.")

    def _compare(self, since: datetime) -> int:
        """Print what Stripe booked by day, and what is different here; return how many differences there are."""
        try:
            books = stripe_reconciliation.compare_books(since)
        except stripe_gateway.Unreachable as error:
            self.stdout.write(
                f"The books were not compared, because the key may not read the balance: {error}"
            )
            return 0
        sold = payments.credits_by_day(since)
        for (day, currency), sums in sorted(books.days.items()):
            amounts = ", ".join(f"{name} {money(amount, currency)}" for name, amount in sorted(sums.items()))
            self.stdout.write(f"{day}: {amounts}; {sold[day]} credits sold or taken back")
        if books.of_others:
            self.stdout.write(f"Besides, {books.of_others} transactions of something else.")
        for problem in books.problems:
            self.stdout.write(f"WRONG: {problem}")
        return len(books.problems)
