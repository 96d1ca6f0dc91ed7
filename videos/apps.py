import os
from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from videos import child_processes


class VideosConfig(AppConfig):
    name = "videos"
    verbose_name = _("Videos")

    def ready(self) -> None:
        from django_q.signals import post_spawn  # importable only once models are loaded

        from videos import queue

        post_spawn.connect(_warm_up)
        if "AIVIDEO_WORKER" in os.environ:
            _warm_up()  # once for all processes of the cluster, which it forks
            if os.environ.get("Q_CLUSTER_NAME") == queue.DISPATCH:
                # A dispatcher that imports the SDK between two renewals of its leases may lose them on a busy machine.
                import_module("videos.providers.openai")
            child_processes.let_no_fork_outlive_its_parent()


def _warm_up(**kwargs: object) -> None:
    """Preload the tasks' modules in a new worker process, so that the first video does not wait for the imports."""
    import_module("videos.tasks")
