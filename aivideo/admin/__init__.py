"""What staff see and steer in `/admin/`. It lives here because their deeds move videos and credits together."""

from aivideo.admin import moderation, money, operation, people, programs, videos

__all__ = ["moderation", "money", "operation", "people", "programs", "videos"]
