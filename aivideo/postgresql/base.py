"""Django's database backend for PostgreSQL, with limits to waiting, fewer round trips, and less planning."""

import select
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base

# How long a connection that has answered is believed to be well, unless it says otherwise.
CHECK_INTERVAL = 10  # seconds


# So that the server notices within 25 seconds that a client's machine is gone, and frees the rows that it has locked.
NOTICE_DEAD_CLIENTS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class PreparingCursor(psycopg.Cursor[Any]):
    """Prepares a statement once it has come back as often as the connection's `prepare_threshold` says."""

    def execute(self, *arguments: Any, **options: Any) -> "PreparingCursor":
        try:
            return super().execute(*arguments, **options)
        except psycopg.errors.FeatureNotSupported:
            # "cached plan must not change result type": a migration has changed the type of a column since.
            if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                raise
            self.connection.execute("DEALLOCATE ALL")
            return super().execute(*arguments, **options)


class DatabaseWrapper(base.DatabaseWrapper):
    _checked_at = 0.0

    def is_usable(self) -> bool:
        """Whether the server still answers, which Django wants to know at the start of each request.

        A server that has shut down or ended the connection has sent a message or the end of the stream, so that there is
        something to read. Only then, and after CHECK_INTERVAL, the server is asked, which takes a round trip.
        """
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL and self._is_quiet():
            return True
        is_usable = super().is_usable()
        self._checked_at = now if is_usable else 0.0
        return is_usable

    def _configure_connection(self, connection: Any) -> bool:
        super()._configure_connection(connection)  # type: ignore[misc]
        limits = {
            "lock_timeout": f"{settings.DATABASE_LOCK_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{settings.DATABASE_IDLE_SECONDS}s",
            # Compiling a query that counts a queue takes longer than the query.
            "jit": "off",
            **NOTICE_DEAD_CLIENTS,
        }
        # By statement, since PgBouncer refuses them as options of a new connection.
        connection.execute(
            f"SELECT {', '.join(['set_config(%s, %s, false)'] * len(limits))}",
            [word for limit in limits.items() for word in limit],
        )
        return True

    def prepared_cursor(self) -> Any:
        """A cursor for statements that come often. Django's own cursors send each statement as text, with its parameters in it,
        so that it is parsed and planned each time."""
        self.close_if_health_check_failed()  # as Django does for its own cursors
        self.ensure_connection()
        return self._prepare_cursor(PreparingCursor(self.connection))  # type: ignore[attr-defined]

    def _is_quiet(self) -> bool:
        """Whether the connection is open, with nothing to read."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
