"""Check the invariants of credits, money and videos over the whole database."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from aivideo import ledger_check, ledger_seals


class Command(BaseCommand):
    help = "Check that every balance is the sum of its entries, every entry has its source and every source its entries."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--head",
            help="the head of a seal from the worker's log or from the admin; check that the ledger still contains it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        counts, found = ledger_check.violations()
        if options["head"] and not ledger_seals.contains(options["head"]):
            found.append("no seal has the head that was given: what was sealed then is not in this ledger")
        if options["json"]:
            self.stdout.write(json.dumps({**counts, "violations": found}))
        else:
            for name, count in counts.items():
                self.stdout.write(f"{count:>10} {name}")
            for violation in found:
                self.stderr.write(f"WRONG: {violation}")
            self.stdout.write("The ledger is consistent." if not found else f"Problems found: {len(found)}")
        if found:
            raise SystemExit(1)
