"""The app that a fault run adds to the product's processes."""

from django.apps import AppConfig


class Chaos(AppConfig):
    name = "chaos"
    label = "chaos"

    def ready(self) -> None:
        from chaos import haste, points
        from chaos.settings import CHAOS_CONTROL

        points.control = CHAOS_CONTROL
        points.wrap_all()
        haste.shorten_waits(haste.RUN)
