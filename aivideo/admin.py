"""Django looks for the admin here."""

from aivideo.staff import admin

__all__ = ["admin"]
