"""What gunicorn does beside serving: it reads this file where it is started, and `manage.py serve` names it."""

from typing import Any


def post_worker_init(worker: Any) -> None:
    """Say in the log which service makes the videos: the first worker of a server does, once."""
    if worker.age != 1:
        return
    from django.db import connection

    from videos.catalogue import connections

    connections.announce_service()
    connection.close()
