"""Compare what the providers sold us with what we sold."""

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from videos.generation import purchases


class Command(BaseCommand):
    help = (
        "Compare the jobs bought at each provider with the videos sold here. Exit status 1 if something was bought that no video"
        " names, or sold that was not bought."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--days", type=float, default=purchases.WINDOW.days, help="how far to look back")
        parser.add_argument("--json", action="store_true", help="print one JSON object for each channel")

    def handle(self, *args: Any, **options: Any) -> None:
        found = purchases.check(timedelta(days=options["days"]))
        for one in found:
            self.stdout.write(json.dumps(one.as_json()) if options["json"] else _words(one))
        if any(one.is_wrong for one in found):
            raise SystemExit(1)


def _words(one: purchases.Purchases) -> str:
    given_away = sum(one.given_away.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(one.given_away.items()))
    lines = [
        f"{one.channel}: cost {one.cost} USD as far as known",
        f"{one.paid:>10} bought and paid",
        f"{one.failed:>10} failed at the provider"
        + (f" ({one.blocked} blocked, {one.blocked_cost} USD)" if one.blocked_cost else ""),
        f"{given_away:>10} bought and given away"
        + (f" ({reasons}), {one.given_away_cost} USD" if reasons else ""),
        f"{one.unknown:>10} bought and unknown" + (f": {', '.join(one.unknown_refs)}" if one.unknown else ""),
        f"{one.missing:>10} sold and not bought" + (f": {', '.join(one.missing_ids)}" if one.missing else ""),
    ]
    if one.doubt:
        lines.append(f"           Its list of jobs is missing or incomplete: {one.doubt}")
    return "\n".join(lines)
