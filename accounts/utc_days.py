"""Days in UTC: what budgets, limits and totals are counted by."""

from datetime import UTC, date, datetime, time

from django.utils import timezone


def today() -> date:
    """The current day in UTC."""
    return timezone.now().astimezone(UTC).date()


def start_of(day: date) -> datetime:
    """Midnight UTC at which this day begins."""
    return datetime.combine(day, time(), UTC)
