"""What staff see and steer in `/admin/`. It lives here because their actions move videos and credits together."""

from aivideo.staff.admin import api, moderation, money, operations, people, videos

__all__ = ["api", "moderation", "money", "operations", "people", "videos"]
