"""Django's admin autodiscovery imports this module."""

from aivideo.staff import admin

__all__ = ["admin"]
