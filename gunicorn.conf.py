"""gunicorn's configuration: read from the working directory, or as named by `manage.py serve`."""

import gc
import sys
from typing import Any

# A reload reads this file again. gunicorn itself loads the worker's class, and would hand its old modules on to new workers.
if "django" not in sys.modules:  # preloaded, it never reloads
    for name in [name for name in sys.modules if name.partition(".")[0] in ("aivideo", "videos")]:
        del sys.modules[name]
# Its threads are for visitors who do not keep them waiting.
worker_class = "aivideo.web_worker.WebWorker"
worker_connections = 800  # with its other files, a process stays below the usual limit of 1,024
# Used with --access-logfile: gunicorn's own format, and the id by which the site's log knows the request.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({x-request-id}o)s'


def pre_fork(server: Any, worker: Any) -> None:
    """With --preload, load everything once, before the first worker starts: all of them share that memory."""
    if server.cfg.preload_app:
        _freeze()


def post_worker_init(worker: Any) -> None:
    from videos import thread_budget

    thread_budget.set_threads(worker.cfg.threads)
    if worker.age == 1:
        _announce_service()
    _freeze()


def _freeze() -> None:
    """Load what the first request would load, and exclude it all from garbage collection.

    Otherwise each full collection goes through some 150,000 objects that will never be garbage, and for these 80 ms no
    thread of the process answers.
    """
    from django.urls import get_resolver

    _ = get_resolver().url_patterns
    gc.collect()
    gc.freeze()


def _announce_service() -> None:
    """Log which service makes the videos, once, in the first worker of a server."""
    from django.db import connection

    from videos.catalogue import connections

    connections.announce_service()
    connection.close()
