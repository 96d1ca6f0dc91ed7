"""Stored files that no row names."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from videos.media import orphans


class Command(BaseCommand):
    help = "Delete stored videos, posters and uploads that are older than a day and that no row names."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print their names and delete nothing")
        parser.add_argument(
            "--however-many",
            action="store_true",
            help="delete them even if they are a large part of all files",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            try:
                count = orphans.sweep(however_many=options["however_many"])
            except orphans.TooManyStrays as error:
                raise CommandError(f"{error} If they are to go: --however-many") from error
            self.stdout.write(f"{count} stray files are removed.")
            return
        count = 0
        for name in orphans.strays():
            self.stdout.write(name)
            count += 1
        self.stdout.write(f"{count} stray files would be removed.")
