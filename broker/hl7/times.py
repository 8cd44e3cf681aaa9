"""HL7 times become values here and nowhere else: any precision, with or without offset. Floor 1.

`YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]` (HL7 v2, chapter 2A, DTM and TS). Nothing is guessed:
a time without offset needs the zone of its site, and the precision and the hour that daylight
saving time repeats or skips can be asked for.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Literal

from broker.errors import Hl7Error

__all__ = ["Precision", "flags", "format_time", "parse_date", "parse_time", "precision"]

Precision = Literal["year", "month", "day", "hour", "minute", "second", "fraction"]

_TIME = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<month>[0-9]{2})(?:(?P<day>[0-9]{2})(?:(?P<hour>[0-9]{2})(?:(?P<minute>[0-9]{2})"
    r"(?:(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?)?)?)?(?P<offset>[+-][0-9]{4})?"
)
_LENGTHS = {"year": 4, "month": 6, "day": 8, "hour": 10, "minute": 12, "second": 14}


def parse_time(text: str, zone: tzinfo | None) -> datetime:
    """The time that a text means; aware. Parts that it does not give are the first (a day is its midnight).

    `zone` is the site's; only a text without offset needs it. In the hour that is repeated the
    earlier one is meant (see `flags`). Raises `Hl7Error`: `bad_time`, `no_zone`.
    """
    found = _match(text)
    offset = _offset(found["offset"], text)
    if offset is None:
        if zone is None:
            raise Hl7Error(
                "a time without offset needs the time zone of its site", code="no_zone", value=text
            )
        offset = zone
    fraction = (found["fraction"] or "")[:6].ljust(6, "0")
    day = _day(found, text)
    try:
        return datetime(
            day.year,
            day.month,
            day.day,
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            int(found["second"] or 0),
            int(fraction),
            offset,
        )
    except ValueError as error:
        raise _bad(text) from error


def parse_date(text: str) -> date:
    """The calendar day as it is written: no zone moves a birthday. Raises `Hl7Error` ("bad_time").

    A month or year alone is its first day; ask `precision`.
    """
    parse_time(text, UTC)  # the rest of the text must be right too
    return _day(_match(text), text)


def precision(text: str) -> Precision:
    """How exactly the text says when. Raises `Hl7Error` ("bad_time")."""
    found = _match(text)
    names: tuple[Precision, ...] = ("fraction", "second", "minute", "hour", "day", "month")
    for name in names:
        if found[name]:
            return name
    return "year"


def flags(text: str, zone: tzinfo | None) -> Literal["repeated", "skipped", ""]:
    """Whether the site's clock shows this hour twice or never on that day; '' for a text with offset."""
    found = _match(text)
    if found["offset"] or not found["hour"] or zone is None:
        return ""
    written = parse_time(text, zone)
    try:
        if written.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != written.replace(tzinfo=None):
            return "skipped"
    except OverflowError:
        return ""
    later = written.replace(fold=1)
    return "repeated" if later.utcoffset() != written.utcoffset() else ""


def format_time(time: datetime, precision: Precision = "second") -> str:
    """A time as HL7 writes it, with its offset. Raises `Hl7Error` ("no_zone") for one without."""
    offset = time.utcoffset()
    if offset is None:
        raise Hl7Error("a time that is written needs a time zone", code="no_zone")
    minutes = round(offset / timedelta(minutes=1))
    sign = "-" if minutes < 0 else "+"
    tail = f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    text = f"{time.year:04d}{time.month:02d}{time.day:02d}{time.hour:02d}{time.minute:02d}{time.second:02d}"
    if precision == "fraction":
        return f"{text}.{time.microsecond // 100:04d}{tail}"
    return text[: _LENGTHS[precision]] + tail


def _match(text: str) -> re.Match[str]:
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise _bad(text)
    return found


def _day(found: re.Match[str], text: str) -> date:
    try:
        return date(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))
    except ValueError as error:
        raise _bad(text) from error


def _offset(text: str | None, whole: str) -> tzinfo | None:
    if not text:
        return None
    hours, minutes = int(text[1:3]), int(text[3:5])
    if hours > 14 or minutes > 59:
        raise _bad(whole)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _bad(text: str) -> Hl7Error:
    return Hl7Error(
        "not an HL7 time; right would be YYYYMMDD or YYYYMMDDHHMMSS-0500, such as 20260305141000-0500",
        code="bad_time",
        value=text,
    )
