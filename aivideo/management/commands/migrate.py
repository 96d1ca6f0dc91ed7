"""Django's `migrate`, which lets the processes of the version before write between two migrations."""

import time
from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

# Seconds. Who waits for SQLite's lock looks for it every tenth of a second. Migrations follow each other faster than
# that, so that a process would find it taken for as long as an upgrade lasts, and give up.
TURN = 0.15


class Command(migrate.Command):
    gives_turns = False

    def handle(self, *arguments: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        is_in_use = bool(MigrationRecorder(connection).applied_migrations())
        self.gives_turns = is_in_use and connection.vendor == "sqlite"
        super().handle(*arguments, **options)

    def migration_progress_callback(self, action: str, *arguments: Any, **options: Any) -> None:
        super().migration_progress_callback(action, *arguments, **options)
        if self.gives_turns and action in ("apply_success", "unapply_success"):
            time.sleep(TURN)
