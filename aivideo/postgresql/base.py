"""Django's database backend for PostgreSQL, with fewer round trips."""

import select
import time

from django.db.backends.postgresql import base

# How long a connection that has answered is believed to be well, unless it says otherwise.
CHECK_INTERVAL = 10  # seconds


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

    def _is_quiet(self) -> bool:
        """Whether the connection is open, with nothing to read."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
