"""Text becomes a value here: times, dates, flags, and the parts that HL7's data types are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Protocol

from broker.errors import Hl7Error
from broker.hl7 import NULL, Path, View, flags, parse_date, parse_time, unescape
from broker.mapping.shape import Kind
from broker.mapping.tables import Table
from broker.notices import Address, Identifier, Location, Part, Phone, Practitioner

__all__ = ["CONVERTERS", "PARTS", "Facility", "Reading", "UnknownCode", "flag"]

_YES = {"Y": True, "YES": True, "TRUE": True, "1": True, "N": False, "NO": False, "FALSE": False, "0": False}
_PHONE_USES = {
    "PRN": "home",
    "WPN": "work",
    "PRS": "mobile",
    "ORN": "other",
    "VHN": "vacation",
    "EMR": "emergency",
}
_NO_PHONE = frozenset({"NET", "Internet", "X.400", "DSM"})
_USE_OF = {"PID-13": "home", "PID-14": "work"}


class Facility(Protocol):
    """What a mapping must know of the site at which a message was written."""

    @property
    def name(self) -> str: ...
    @property
    def zone(self) -> tzinfo | None: ...
    @property
    def tables(self) -> Mapping[str, str]: ...
    @property
    def npi_authorities(self) -> frozenset[str]: ...
    @property
    def sensitive_units(self) -> frozenset[str]: ...
    def resolve_authority(self, stated: str) -> str: ...
    def picks_number(self, kind: str, authority: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class UnknownCode:
    """A code that a table lacks, and the path where it stood."""

    table: str
    code: str
    path: str


@dataclass(slots=True)
class Reading:
    """One message being mapped: what its site says, and what is noticed on the way."""

    site: Facility
    tables: Mapping[str, Table]
    zone: tzinfo | None
    unknown: list[UnknownCode] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def word(self, table: str, code: str) -> str | None:
        """Our word for a code: by the site's own table if it names one, else by the named one."""
        site = self.site
        if site.tables and (own := site.tables.get(table)) is not None:
            found = self.tables[own].word(code, site.name)
            if found is not None:
                return found
        return self.tables[table].word(code, site.name)


def time(text: str, reading: Reading, where: str) -> datetime:
    """A time. In the hour that the site's clock shows twice or never, a warning says so."""
    zone = reading.zone
    found = _time(text, zone)
    if found.tzinfo is zone and found.utcoffset() != found.replace(fold=1).utcoffset():
        reading.warnings.append(f"{flags(text, zone) or 'repeated'}_hour at {where}")
    return found


def day(text: str, reading: Reading, where: str) -> date:
    """A calendar day."""
    return _date(text)


def flag(text: str, reading: Reading, where: str) -> bool:
    """Yes or no."""
    found = _YES.get(text.strip().upper())
    if found is None:
        raise Hl7Error("this is neither Y nor N", code="bad_value", value=text)
    return found


def number(text: str, reading: Reading, where: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError as error:
        raise Hl7Error("this is no whole number", code="bad_number", value=text) from error


def decimal(text: str, reading: Reading, where: str) -> Decimal:
    """A number."""
    try:
        return Decimal(text.strip())
    except InvalidOperation as error:
        raise Hl7Error("this is no number", code="bad_number", value=text) from error


def as_it_is(text: str, reading: Reading, where: str) -> str:
    """Text."""
    return text


CONVERTERS: dict[Kind, Callable[[str, Reading, str], Any]] = {
    "text": as_it_is,
    "time": time,
    "date": day,
    "flag": flag,
    "number": number,
    "decimal": decimal,
}


# A message states the same times again and again, and the next one of its stay does too.
_time = lru_cache(maxsize=4096)(parse_time)
_date = lru_cache(maxsize=4096)(parse_date)

# The parts. Each takes one repetition as it came and gives what the part's model takes: {} where it
# says nothing, None where it is `""`.

Said = dict[str, Any]


_BLANKS = [""] * 16


def _components(text: str, view: View, count: int) -> list[str]:
    """The components of one repetition, unescaped, each its first subcomponent; at least `count` of them."""
    root = view.root
    _, mark, sub, escape = root.delimiters.marks
    parts = text.split(mark)
    if sub in text or escape in text or '"' in text:
        parts = [_first(part, view) for part in parts]
    if len(parts) < count:
        parts += _BLANKS[len(parts) : count]
    return parts


def _first(part: str, view: View, sub: int = 1) -> str:
    """A component's subcomponent; `""` within a part reads as nothing."""
    root = view.root
    pieces = part.split(root.delimiters.marks[2])
    text = pieces[sub - 1] if sub <= len(pieces) else ""
    return "" if text == NULL else unescape(text, root.delimiters, root.codec)


def _authority(text: str, view: View, parts: list[str], number: int) -> tuple[str, str]:
    """HD: the name and the id of who gave a number."""
    if view.root.delimiters.marks[2] not in text:
        return parts[number - 1], ""
    written = text.split(view.root.delimiters.marks[1])
    return parts[number - 1], _first(written[number - 1], view, 2) if number <= len(written) else ""


def identifier(text: str, view: View, reading: Reading, path: Path) -> Said | None:
    """CX: .1 number, .4 authority, .5 type (table 0203)."""
    if text == NULL:
        return None
    parts = _components(text, view, 5)
    if not parts[0]:
        return {}
    said: Said = {"value": parts[0]}
    name, ident = _authority(text, view, parts, 4)
    if name or ident:
        said["authority"] = reading.site.resolve_authority(name or ident)
    if parts[4]:
        said["type"] = parts[4]
    return said


def practitioner(text: str, view: View, reading: Reading, path: Path) -> Said | None:
    """XCN: .1 number, .2 family, .3 given, .9 authority, .13 type. An NPI is one by .13 or by .9."""
    if text == NULL:
        return None
    parts = _components(text, view, 13)
    said: Said = {}
    number = parts[0]
    if number:
        name, ident = _authority(text, view, parts, 9)
        known = reading.site.npi_authorities
        if parts[12] == "NPI" or name in known or ident in known:
            if is_npi(number):
                said["npi"] = number
            else:
                reading.warnings.append(f"bad_npi at {path.text}")
        else:
            said["id"] = number
            if name or ident:
                said["authority"] = reading.site.resolve_authority(name or ident)
    if parts[1]:
        said["family"] = parts[1]
    if parts[2]:
        said["given"] = parts[2]
    return said


def location(text: str, view: View, reading: Reading, path: Path) -> Said | None:
    """PL: .1 unit, .2 room, .3 bed, .4 facility, .7 building. A sensitive unit is not named."""
    if text == NULL:
        return None
    parts = _components(text, view, 7)
    if parts[0] in reading.site.sensitive_units:
        parts[:3] = _BLANKS[:3]
    return {name: said for name, place in _PL if (said := parts[place])}


def address(text: str, view: View, reading: Reading, path: Path) -> Said | None:
    """XAD: .1 street, .2 other, .3 city, .4 state, .5 zip, .6 country."""
    if text == NULL:
        return None
    parts = _components(text, view, 6)
    return {name: said for name, place in _XAD if (said := parts[place])}


def phone(text: str, view: View, reading: Reading, path: Path) -> Said | None:
    """XTN: .1 or .12 as written, else .5 .6 .7 .8; .2 use, .3 equipment. Mail addresses are no phones."""
    if text == NULL:
        return None
    parts = _components(text, view, 12)
    use, equipment = parts[1], parts[2]
    if use in _NO_PHONE or equipment in _NO_PHONE:
        return {}
    written = parts[0] or parts[11] or _numbered(parts)
    if not written:
        return {}
    meant = "mobile" if equipment == "CP" else _PHONE_USES.get(use, use) or _USE_OF.get(path.text, "")
    return {"number": written, "use": meant} if meant else {"number": written}


def _numbered(parts: list[str]) -> str:
    """A phone number from its parts: country, area, local number, extension."""
    country, area, local, extension = parts[4:8]
    if not local:
        return ""
    before = f"+{country.lstrip('+')} " if country else ""
    return before + (f"{area} " if area else "") + local + (f" x{extension}" if extension else "")


_PL = (("unit", 0), ("room", 1), ("bed", 2), ("facility", 3), ("building", 6))
_XAD = (("street", 0), ("other", 1), ("city", 2), ("state", 3), ("zip", 4), ("country", 5))
PARTS: dict[type[Part], Callable[[str, View, Reading, Path], Said | None]] = {
    Identifier: identifier,
    Practitioner: practitioner,
    Location: location,
    Address: address,
    Phone: phone,
}


@lru_cache(maxsize=4096)
def is_npi(text: str) -> bool:
    """Whether ten digits are an NPI: they end in a check digit (Luhn's, over 80840 and the number)."""
    if len(text) != 10 or not text.isascii() or not text.isdecimal():
        return False
    total = 24  # what 80840 comes to
    for place, digit in enumerate(reversed(text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
