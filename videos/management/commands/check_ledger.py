"""Check the invariants of credits and videos over the whole database."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from videos.generation.invariants import violations


class Command(BaseCommand):
    help = "Check that every balance equals the sum of its entries and that every video has the entries it should have."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        counts, found = violations()
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
