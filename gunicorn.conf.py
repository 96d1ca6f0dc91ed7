"""gunicorn's configuration: read from the working directory, or as named by `manage.py serve`."""

from typing import Any


def post_worker_init(worker: Any) -> None:
    from videos import thread_budget

    thread_budget.set_threads(worker.cfg.threads)
    if worker.age == 1:
        _announce_service()


def _announce_service() -> None:
    """Log which service makes the videos, once, in the first worker of a server."""
    from django.db import connection

    from videos.catalogue import connections

    connections.announce_service()
    connection.close()
