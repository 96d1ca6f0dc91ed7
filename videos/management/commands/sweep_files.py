"""Delete orphaned files from storage."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from videos.media import orphans


class Command(BaseCommand):
    help = "Delete stored videos, posters and uploads that are older than a day and that no database row refers to."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only print their names")
        parser.add_argument(
            "--however-many",
            action="store_true",
            help="delete them even if they are a large share of all files",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            try:
                count = orphans.sweep(however_many=options["however_many"])
            except orphans.TooManyStrays as error:
                raise CommandError(f"{error} To delete them anyway: --however-many") from error
            self.stdout.write(f"Deleted {count} orphaned files.")
            return
        count = 0
        for name in orphans.strays():
            self.stdout.write(name)
            count += 1
        self.stdout.write(f"Would delete {count} orphaned files.")
