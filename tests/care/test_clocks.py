"""Days that count: the vectors of TCM (two business days, 7 and 14 days) with US holidays."""

from datetime import UTC, date, datetime, timedelta

import pytest

from broker.care.clocks import add_business_days, due_at, public_holidays
from broker.care.given import Due
from tests.care.people import CHICAGO

US = public_holidays("US")


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [
        (date(2026, 1, 2), 2, date(2026, 1, 6)),
        (date(2026, 1, 16), 2, date(2026, 1, 21)),  # Monday 19 January is a holiday
        (date(2026, 6, 24), 2, date(2026, 6, 26)),
        (date(2026, 7, 2), 1, date(2026, 7, 6)),  # 4 July on a Saturday is kept on Friday
        (date(2026, 1, 3), 1, date(2026, 1, 5)),
        (date(2026, 1, 6), -2, date(2026, 1, 2)),
        (date(2026, 1, 2), 0, date(2026, 1, 2)),
    ],
)
def test_business_days_leave_out_weekends_and_holidays(start, count, end):
    assert add_business_days(start, count, US) == end


def test_days_are_counted_in_the_facility_s_zone_and_end_with_its_day():
    late_on_friday = datetime.fromisoformat("2026-01-03T04:30:00+00:00")  # 22:30 on Friday in Chicago
    due = due_at(Due(business_days=2), late_on_friday, CHICAGO, US)
    assert due == datetime(2026, 1, 6, 23, 59, 59, tzinfo=CHICAGO)
    assert due_at(Due(days=7), late_on_friday, CHICAGO, US).date() == date(2026, 1, 9)
    assert due_at(Due(days=14), late_on_friday, CHICAGO, US).date() == date(2026, 1, 16)


def test_hours_are_exact_and_before_counts_back():
    at = datetime(2026, 3, 8, 1, 30, tzinfo=CHICAGO)
    assert due_at(Due(hours=24), at, CHICAGO, US) - at.astimezone(UTC) == timedelta(hours=24)
    assert due_at(Due(hours=4, before=True), at, CHICAGO, US) < at
    assert due_at(Due(days=1, before=True), at, CHICAGO, US).date() == date(2026, 3, 7)
