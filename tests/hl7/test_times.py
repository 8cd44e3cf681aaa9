"""HL7 times: any precision, never guessed."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Hl7Error
from broker.hl7 import flags, format_time, parse_date, parse_time, precision

CHICAGO = ZoneInfo("America/Chicago")
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "exactness", "means"),
    [
        ("2026", "year", "2026-01-01T00:00:00-06:00"),
        ("202603", "month", "2026-03-01T00:00:00-06:00"),
        ("20260305", "day", "2026-03-05T00:00:00-06:00"),
        ("2026030514", "hour", "2026-03-05T14:00:00-06:00"),
        ("202607051410", "minute", "2026-07-05T14:10:00-05:00"),
        ("20260305141059", "second", "2026-03-05T14:10:59-06:00"),
        ("20260305141059.4", "fraction", "2026-03-05T14:10:59.400000-06:00"),
        ("20260305141059.4031", "fraction", "2026-03-05T14:10:59.403100-06:00"),
        ("20260305+0100", "day", "2026-03-05T00:00:00+01:00"),
        ("20260305141059.403-0530", "fraction", "2026-03-05T14:10:59.403000-05:30"),
        (" 20260305 ", "day", "2026-03-05T00:00:00-06:00"),
    ],
)
def test_every_precision_with_and_without_offset(text, exactness, means):
    assert parse_time(text, CHICAGO).isoformat() == means
    assert precision(text) == exactness


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "20261",
        "20261301",
        "20260230",
        "2026030524",
        "202603051460",
        "20260305141061",
        "0000",
        "2026-03-05",
        "20260305T14",
        "20260305.5",
        "20260305141059.",
        "20260305-05",
        "20260305+1500",
        "20260305+0060",
        "20260305 1410",
        '""',
        "٢٠٢٦",
        "2026^S",
    ],
)
def test_what_is_no_time_is_refused(text):
    for read in (lambda: parse_time(text, UTC), lambda: parse_date(text)):
        with pytest.raises(Hl7Error) as caught:
            read()
        assert caught.value.code == "bad_time"
        assert caught.value.value == text


def test_a_time_without_offset_needs_the_zone_of_its_site():
    with pytest.raises(Hl7Error) as caught:
        parse_time("20260305", None)
    assert caught.value.code == "no_zone"
    assert parse_time("20260305+0000", None) == datetime(2026, 3, 5, tzinfo=UTC)


def test_a_birthday_is_the_day_as_it_is_written():
    assert parse_date("19691231-0500") == date(1969, 12, 31)
    assert parse_date("196912312330+1400") == date(1969, 12, 31)


def test_the_hour_that_is_repeated_and_the_one_that_is_skipped_are_flagged():
    assert flags("202611010130", CHICAGO) == "repeated"
    assert flags("202603080230", CHICAGO) == "skipped"
    assert flags("202603080330", CHICAGO) == ""
    assert flags("202611010130-0500", CHICAGO) == ""
    assert flags("20261101", CHICAGO) == ""
    assert flags("202611010130", None) == ""
    assert parse_time("202611010130", CHICAGO).utcoffset() == timedelta(hours=-5)


@given(st.datetimes(min_value=datetime(1, 1, 1), timezones=OFFSETS))
def test_a_time_that_is_written_is_read_back(time):
    read = parse_time(format_time(time, "fraction"), None)
    assert read == time.replace(microsecond=time.microsecond // 100 * 100)
    assert read.utcoffset() == time.utcoffset()
    assert parse_time(format_time(time), None) == time.replace(microsecond=0)
    assert precision(format_time(time, "minute")) == "minute"


@given(st.text("0123456789+-.", max_size=26))
def test_whatever_comes_is_a_time_or_refused(text):
    try:
        assert parse_time(text, UTC).tzinfo is not None
        parse_date(text)
        precision(text)
        flags(text, CHICAGO)
    except Hl7Error as error:
        assert error.code == "bad_time"


def test_a_time_without_zone_is_not_written():
    with pytest.raises(Hl7Error, match="time zone"):
        format_time(datetime(2026, 3, 5))
