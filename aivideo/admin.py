"""Django's admin autodiscovery imports this module, in processes that load the URLs."""

from aivideo.staff import admin

__all__ = ["admin"]
