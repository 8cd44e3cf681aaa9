"""Days that count: business days, and when a task is due (DOMAIN 3, 10). Floor 3: pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from broker.care.given import Due

__all__ = ["add_business_days", "due_at", "public_holidays"]

SATURDAY = 5
END_OF_DAY = time(23, 59, 59)


def add_business_days(start: date, count: int, days_off: Callable[[date], bool]) -> date:
    """The business day `count` after `start`, which is day 0; a negative count goes back.

    Monday to Friday count, but for days off. Friday 2 January 2026 and two: Tuesday 6 January.
    """
    step = timedelta(days=1 if count >= 0 else -1)
    day, left = start, abs(count)
    while left:
        day += step
        if day.weekday() < SATURDAY and not days_off(day):
            left -= 1
    return day


@lru_cache(maxsize=4096)
def due_at(due: Due, anchor: datetime, zone: tzinfo, days_off: Callable[[date], bool]) -> datetime:
    """When a task is due, aware. Days end with the local day of the facility, hours are exact."""
    back = -1 if due.before else 1
    if due.hours is not None:
        return anchor.astimezone(UTC) + timedelta(hours=back * due.hours)
    local = anchor.astimezone(zone)
    if due.business_days is not None:
        day = add_business_days(local.date(), back * due.business_days, days_off)
    else:
        day = local.date() + timedelta(days=back * (due.days or 0))
    return datetime.combine(day, END_OF_DAY, zone)


def public_holidays(country: str = "US") -> Callable[[date], bool]:
    """A country's public holidays, observed ones too, for `SiteFacts.days_off`."""
    import holidays  # slow to import, and only needed where a site has holidays

    calendar = holidays.country_holidays(country)
    return lambda day: day in calendar
