"""The admin pages of all apps. They live here because staff actions change videos and credits together."""

from aivideo.staff.admin import api, moderation, money, operations, people, videos

__all__ = ["api", "moderation", "money", "operations", "people", "videos"]
