"""A patient's record: the facts that are known, and the rows that hang on them. Floor 3: pure.

A record is one identity as a hospital numbers it; the *person* is the records that are linked as one.
It has a **head** (who the patient is, links, a summary of each visit, the plan, rows of the person) and
**visits**, each with its facts in their order and the rows that hang on it. A visit's facts are held by
the record of the patient that its last recorded fact names. Nothing here is changed once it stands:
who changes a record copies it first (`Record.copy`), and replaces the parts.

Times are whole microseconds since 1970 in UTC: they are compared far more often than shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = [
    "DAY",
    "HOUR",
    "NAMED",
    "PERSON",
    "SECOND",
    "Entry",
    "Held",
    "Key",
    "MissingRecords",
    "Record",
    "Row",
    "Run",
    "Statement",
    "Summary",
    "Tie",
    "Visit",
    "instant",
    "micros",
    "new_record",
]

Said = dict[str, Any]
Key = tuple[str, str, str]  # site; how the visit is known: visit, account, admitted, message, order; its word

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NAMED = "named"  # the status of a visit of which nothing but a tie is known
PERSON: Key = ("", "person", "")  # the visit that holds what is said of the person alone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


class MissingRecords(Exception):
    """A decision needs the records of these patients too: load them and decide again."""

    def __init__(self, patients: Iterable[int]) -> None:
        self.patients = frozenset(patients)
        super().__init__(f"{len(self.patients)} more records are needed")


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (at - _EPOCH) // _MICRO


@lru_cache(maxsize=4096)
def instant(at: int) -> datetime:
    """The time of so many microseconds, in UTC."""
    return _EPOCH + timedelta(microseconds=at)


class Held(NamedTuple):
    """A fact of a visit or a person as a record keeps it. Sorting by the first eight gives the order.

    `rank`: open 0, update 1, discharge 2, cancel 3. `said` is what it states of the visit, `who` of the
    patient: JSON-able, None for a deleted field, times of the visit in microseconds.
    """

    recorded: int
    sent: int
    rank: int
    digest: str
    stream: int
    seq: int
    kind: str
    n: int
    patient: int
    happened: int
    mute: bool
    said: Said
    who: Said

    @property
    def meaning(self) -> str:
        """What stays the same when the same fact comes again: its kind and recorded time."""
        return f"{self.kind}@{self.recorded}"


class Tie(NamedTuple):
    """A fact that says how two patients, accounts or visits have to do with each other."""

    recorded: int
    sent: int
    rank: int
    digest: str
    stream: int
    seq: int
    kind: str
    n: int
    patient: int
    retired: int  # 0: none named
    site: str
    account: str
    retired_account: str
    visit: str
    retired_visit: str
    happened: int
    mute: bool


class Row(NamedTuple):
    """A task, a notification or a review item as a record keeps it.

    `state` is the task's, notification's or review item's; a notification that is joined to another stands
    with it. `says` is what was wanted when it last changed, `work` what a person did: "", begun, done,
    dismissed. `told`: who was told, each [name, destination, address]. `settles`: until then a retraction
    has not gone out.
    """

    n: int
    sort: str
    kind: str
    sub: str
    stream: int
    seq: int
    fact_kind: str
    fact_n: int
    meaning: str
    rule: str
    rule_version: str
    name: str
    state: str
    version: int
    says: Said
    opened: int
    closed: int
    work: str
    worked_at: int
    assignee: str
    note: str
    told: list[list[str]]
    settles: int
    overdue: bool


class Entry(NamedTuple):
    """One entry of the plan. `claims`: who calls for it, each [visit n or -1 for a person, order, body]."""

    n: int
    section: str
    key: str
    version: int
    state: str
    body: Said
    claims: list[list[Any]]


class Statement(NamedTuple):
    """What of a fact's words on the patient nobody has said anew since."""

    recorded: int
    sent: int
    rank: int
    digest: str
    stream: int
    seq: int
    kind: str
    n: int
    fields: Said


class Run(NamedTuple):
    """From `first` to `last`, each the first eight of a fact, nothing but `value` was said of `name`."""

    name: str
    first: list[Any]
    last: list[Any]
    value: Any
    happened: int
    mute: bool


class Summary(NamedTuple):
    """What others must know of a visit without reading it. `first`: when its first fact was recorded."""

    n: int
    site: str
    way: str
    ident: str
    account: str
    first: int
    status: str
    patient_class: str
    started: int
    ended: int
    disposition: str
    died: list[Any] | None  # of what says that the patient died: its first eight, when, whom it attended


class Visit:
    """One visit's facts, in their order, and the rows that hang on it. Replaced, never changed.

    `asked` keeps what was worked out of just these facts (sides.py), so that it need not be asked again.
    """

    __slots__ = ("asked", "facts", "key", "n", "rows")

    def __init__(self, n: int, key: Key, facts: tuple[Held, ...] = (), rows: tuple[Row, ...] = ()) -> None:
        self.n, self.key, self.facts, self.rows = n, key, facts, rows
        self.asked: Any = None

    def with_facts(self, facts: Iterable[Held]) -> Visit:
        """The same visit with other facts, put in their order."""
        return Visit(self.n, self.key, tuple(sorted(facts, key=_place)), self.rows)

    def then(self, fact: Held) -> Visit:
        """The same visit with one more fact, which was recorded after all others."""
        return Visit(self.n, self.key, (*self.facts, fact), self.rows)

    def with_rows(self, rows: tuple[Row, ...]) -> Visit:
        """The same visit with other rows."""
        made = Visit(self.n, self.key, self.facts, rows)
        made.asked = self.asked
        return made


def _place(fact: Held) -> tuple[Any, ...]:
    return fact[:8]


class Record:
    """What is known of one patient's number. Read it freely; copy it before changing it.

    `written` holds the visits that changed since the record was read, for the codec.
    """

    __slots__ = (
        "_known",
        "_read",
        "_visits",
        "as_of",
        "authority",
        "clocks",
        "lent",
        "next_row",
        "next_visit",
        "number",
        "patient",
        "person",
        "plan",
        "rows",
        "runs",
        "statements",
        "summaries",
        "ties",
        "timer",
        "written",
    )

    def __init__(self, patient: int, authority: str, number: str, person: int | None = None) -> None:
        self.patient, self.authority, self.number = patient, authority, number
        self.person = patient if person is None else person
        self.as_of = 0
        self.next_visit = 1
        self.next_row = 1
        self.statements: tuple[Statement, ...] = ()
        self.runs: tuple[Run, ...] = ()
        self.ties: tuple[Tie, ...] = ()
        self.summaries: dict[int, Summary] = {}
        self.plan: tuple[Entry, ...] = ()
        self.rows: tuple[Row, ...] = ()
        self.clocks: dict[int, tuple[int, int]] = {}  # row n: when it is due, and its visit
        self.timer = 0
        self.lent: frozenset[int] = (
            frozenset()
        )  # who holds facts that name this patient, or visits tied to its own
        self.written: frozenset[int] = frozenset()
        self._visits: dict[int, Visit | bytes] = {}
        self._known: dict[int, Visit] = {}  # visits as stored, read once for all copies
        self._read: Callable[[int, bytes], Visit] | None = None

    def copy(self) -> Record:
        """One that may be changed: its parts are shared, and are replaced rather than changed."""
        made = Record.__new__(Record)
        for name in Record.__slots__:
            setattr(made, name, getattr(self, name))
        made.summaries, made.clocks = dict(self.summaries), dict(self.clocks)
        made._visits = dict(self._visits)
        return made

    def hold(self, visits: dict[int, Visit | bytes], read: Callable[[int, bytes], Visit]) -> None:
        """Takes visits as they were stored; each is read when it is first asked for."""
        self._visits, self._read, self._known = visits, read, {}

    def visit(self, n: int) -> Visit | None:
        """The visit of this number, or None."""
        found = self._visits.get(n)
        if isinstance(found, bytes):
            if (known := self._known.get(n)) is None:
                assert self._read is not None
                known = self._known[n] = self._read(n, found)
            found = self._visits[n] = known
        return found

    def put(self, visit: Visit) -> None:
        """Replaces or adds a visit."""
        self._visits[visit.n] = visit
        self.written = self.written | {visit.n}

    def all_visits(self) -> Iterator[Visit]:
        """Every visit, read; in the order of their numbers."""
        for n in sorted(self._visits):
            visit = self.visit(n)
            assert visit is not None
            yield visit

    def find(self, key: Key) -> int | None:
        """The number of the visit that is known by this key."""
        for summary in self.summaries.values():
            if summary.ident == key[2] and summary.way == key[1] and summary.site == key[0]:
                return summary.n
        return None

    @property
    def numbers(self) -> tuple[tuple[str, str], ...]:
        """The authority and number that this record is."""
        return ((self.authority, self.number),)

    @property
    def visits(self) -> tuple[tuple[str, str], ...]:
        """Site and number of the visits that are found by way of this record.

        It holds their facts, or knows of a tie of a visit of which nothing else has been said.
        """
        return tuple(
            (one.site, one.ident)
            for one in self.summaries.values()
            if one.way == "visit" and (one.first or one.status == NAMED)
        )


def new_record(patient: int, authority: str, number: str) -> Record:
    """The record of a patient who is named for the first time."""
    return Record(patient, authority, number)
