"""Who is reached where: practitioners, organisations and roles, imported from CSV. Floor 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select

from broker.care.given import Directory, Reach
from broker.errors import OperationError
from broker.store.audit import append_entries
from broker.store.batch import AuditPut
from broker.store.delivery_tables import DirectoryRow
from broker.store.hot import Hot, translating
from broker.store.open import reading

__all__ = ["COLUMNS", "DirectoryBook", "DirectoryEntry", "DirectoryErrors", "read_directory", "read_rows"]

COLUMNS = ("npi", "authority", "id", "kind", "name", "practice", "destination", "address", "kinds")
KINDS = ("practitioner", "organisation", "role")


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One way to reach somebody. `kinds`: the notification kinds that they take; empty: all."""

    kind: str
    authority: str
    number: str
    name: str
    practice: str
    destination: str
    address: str
    kinds: tuple[str, ...] = ()


class DirectoryErrors(OperationError):
    """Everything that is wrong with a directory file, at once: (line, words). Nothing was imported."""

    code = "directory"

    def __init__(self, errors: list[tuple[int, str]]) -> None:
        super().__init__("\n".join(f"line {line}: {words}" for line, words in errors))
        self.errors = errors


def read_rows(
    rows: Iterable[Mapping[str, str | None]],
    destinations: frozenset[str] | None = None,
    notification_kinds: frozenset[str] | None = None,
) -> list[DirectoryEntry]:
    """Entries from the rows of a CSV with a header (as `csv.DictReader` gives them).

    A row names somebody by `npi`, by `authority` and `id`, or is a role (`kind` role, `id` its name); one
    with both NPI and id makes two entries. With `destinations` and `notification_kinds`, others are
    refused. Raises `DirectoryErrors` with every error and its line (the header is line 1).
    """
    entries: list[DirectoryEntry] = []
    errors: list[tuple[int, str]] = []
    lines: dict[tuple[str, str, str, str], int] = {}
    for line, row in enumerate(rows, start=2):
        given = {name: (row.get(name) or "").strip() for name in COLUMNS}
        wrong = _wrong_columns(row) if line == 2 else []
        wrong += _wrong_values(given, destinations, notification_kinds)
        made = _entries(given)
        for entry in made:
            key = (entry.authority, entry.number, entry.destination, entry.address)
            if (first := lines.setdefault(key, line)) != line:
                wrong.append(f"says the same as line {first}")
        errors += [(line, words) for words in wrong]
        entries += made
    if errors:
        raise DirectoryErrors(errors)
    return entries


def _wrong_columns(row: Mapping[str, str | None]) -> list[str]:
    return [
        f"there is no column {name!r}; right are {', '.join(COLUMNS)}" for name in row if name not in COLUMNS
    ]


def _wrong_values(
    given: Mapping[str, str], destinations: frozenset[str] | None, kinds: frozenset[str] | None
) -> list[str]:
    wrong = []
    kind = given["kind"] or "practitioner"
    if kind not in KINDS:
        wrong.append(f"kind is {kind!r}; right are {', '.join(KINDS)}")
    if kind == "role":
        if not given["id"]:
            wrong.append("a role needs its name in id")
    elif not given["npi"] and not (given["authority"] and given["id"]):
        wrong.append("names nobody: give npi, or authority and id")
    if given["npi"] and not _is_npi(given["npi"]):
        wrong.append(f"npi {given['npi']!r} is not an NPI (10 digits, the last one a check digit)")
    wrong += [f"{name} is empty" for name in ("name", "destination", "address") if not given[name]]
    if destinations is not None and given["destination"] and given["destination"] not in destinations:
        known = ", ".join(sorted(destinations)) or "none"
        wrong.append(f"there is no destination {given['destination']!r}; there are: {known}")
    if kinds is not None:
        wrong += [
            f"there is no notification {word!r}" for word in _words(given["kinds"]) if word not in kinds
        ]
    return wrong


def _is_npi(text: str) -> bool:
    """Whether the check digit is right: Luhn over 80840 and the number (45 CFR 162.406)."""
    if len(text) != 10 or not (text.isascii() and text.isdigit()):
        return False
    digits = [int(digit) for digit in reversed("80840" + text)]
    doubled = [
        digit if place % 2 == 0 else (digit * 2 - 9 if digit > 4 else digit * 2)
        for place, digit in enumerate(digits)
    ]
    return sum(doubled) % 10 == 0


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _entries(given: Mapping[str, str]) -> list[DirectoryEntry]:
    kind = given["kind"] or "practitioner"
    keys = [("npi", given["npi"])] if given["npi"] else []
    if kind == "role":
        keys = [("role", given["id"])]
    elif given["authority"] and given["id"]:
        keys.append((given["authority"], given["id"]))
    said = (given["name"], given["practice"], given["destination"], given["address"], _words(given["kinds"]))
    return [DirectoryEntry(kind, authority, number, *said) for authority, number in keys]


def read_directory(hot: Hot) -> Directory:
    """The whole directory as the care core takes it."""
    found: dict[tuple[str, str], list[Reach]] = {}
    sql = "SELECT authority, number, name, destination, address, kinds FROM directory_entry ORDER BY id"
    for authority, number, name, destination, address, kinds in hot.run(sql):
        reach = Reach(name, destination, address, frozenset(_words(kinds)) or None)
        found.setdefault((authority, number), []).append(reach)
    return Directory({key: tuple(ways) for key, ways in found.items()})


class DirectoryBook:
    """The directory as operations and pages use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def replace(self, entries: Iterable[DirectoryEntry], audit: AuditPut, now: datetime) -> int:
        """From now on just these entries. Returns how many there are."""
        return self._write(list(entries), audit, now, keep_others=False)

    def merge(self, entries: Iterable[DirectoryEntry], audit: AuditPut, now: datetime) -> int:
        """Whoever is named here is reached just so; others stay. Returns how many entries were written."""
        return self._write(list(entries), audit, now, keep_others=True)

    def entries(self, *, search: str = "", limit: int = 200) -> list[DirectoryEntry]:
        """Entries by name; `search` is in name, practice or number."""
        asked = select(DirectoryRow).order_by(DirectoryRow.name, DirectoryRow.id).limit(limit)
        if search:
            asked = asked.where(
                DirectoryRow.name.icontains(search, autoescape=True)
                | DirectoryRow.practice.icontains(search, autoescape=True)
                | (DirectoryRow.number == search)
            )
        with translating(), self._reading.begin() as connection:
            rows = connection.execute(asked).all()
        return [
            DirectoryEntry(
                row.kind, row.authority, row.number, row.name, row.practice, row.destination, row.address,
                _words(row.kinds),
            )
            for row in rows
        ]  # fmt: skip

    def _write(
        self, entries: list[DirectoryEntry], audit: AuditPut, now: datetime, *, keep_others: bool
    ) -> int:
        rows = [
            {
                "kind": entry.kind, "authority": entry.authority, "number": entry.number, "name": entry.name,
                "practice": entry.practice, "destination": entry.destination, "address": entry.address,
                "kinds": ",".join(entry.kinds),
            }
            for entry in entries
        ]  # fmt: skip
        with translating(), self._engine.begin() as connection:
            if keep_others:
                for authority, number in {(entry.authority, entry.number) for entry in entries}:
                    connection.execute(
                        delete(DirectoryRow).where(
                            DirectoryRow.authority == authority, DirectoryRow.number == number
                        )
                    )
            else:
                connection.execute(delete(DirectoryRow))
            if rows:
                connection.execute(insert(DirectoryRow), rows)
            append_entries(Hot(connection), [audit], now)
        return len(rows)
