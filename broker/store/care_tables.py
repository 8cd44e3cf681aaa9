"""The tables of `care` that the worker writes: how far it is, what became of messages, the records.

What costs a save on a filled store is the pages that it makes dirty, about 20 us each. So history is only
appended: its keys grow with arrival, and a patient's rows are a chain, each naming the one before and the
record naming the last. What is replaced in place is clustered by the patient's number (WITHOUT ROWID on
SQLite, which pays for rows below 200 bytes: large bodies are appended too). The rows that people see are in
`care_rows.py`, deliveries in `delivery_tables.py`, configuration and people in `house_tables.py`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from broker.store.types import Utc

__all__ = [
    "ActRow",
    "AsideRow",
    "Big",
    "BodyRow",
    "CareTable",
    "ChangeRow",
    "CodeRow",
    "CounterRow",
    "CursorRow",
    "HandledRow",
    "IdentifierRow",
    "NoticeRow",
    "PatientRow",
    "RecordRow",
    "SeenRow",
    "TallyRow",
    "VisitKeyRow",
]

# SQLite makes an INTEGER PRIMARY KEY the row's own key, and only if it is called INTEGER.
Big = BigInteger().with_variant(Integer(), "sqlite")

# Compared by code point on both stores, so that a beginning is a range.
Key = String().with_variant(String(collation="C"), "postgresql")

CLUSTERED = {"sqlite_with_rowid": False}
WORKED_OUTCOMES = "'worked','repeated','filtered','refused','paused','quarantine'"


class CareTable(DeclarativeBase):
    """Every table of `care`."""


class CursorRow(CareTable):
    """How far one slot of one stream is worked: everything up to `seq` is."""

    __tablename__ = "cursor"
    __table_args__ = (CLUSTERED,)

    slot: Mapped[int] = mapped_column(primary_key=True, doc="0..63; -1: the quarantine")
    stream: Mapped[int] = mapped_column(Big, primary_key=True)
    seq: Mapped[int] = mapped_column(Big)


class HandledRow(CareTable):
    """What became of one message of the journal. Pages read this and not the journal."""

    __tablename__ = "handled"
    __table_args__ = (
        CheckConstraint(f"outcome IN ({WORKED_OUTCOMES})", name="handled_outcome"),
        Index(
            "handled_unlisted",
            "patient",
            "stream",
            "seq",
            postgresql_where=text("patient IS NOT NULL AND NOT listed"),
            sqlite_where=text("patient IS NOT NULL AND NOT listed"),
        ),
        Index("handled_by_time", "at", "stream", "seq"),
        Index("handled_of_channel", "channel", "at", "stream", "seq"),
        Index(
            "handled_not_worked",
            "outcome",
            "at",
            "stream",
            "seq",
            postgresql_where=text("outcome <> 'worked'"),
            sqlite_where=text("outcome <> 'worked'"),
        ),
        CLUSTERED,
    )

    stream: Mapped[int] = mapped_column(Big, primary_key=True)
    seq: Mapped[int] = mapped_column(Big, primary_key=True)
    at: Mapped[datetime] = mapped_column(Utc, doc="when the journal took it")
    channel: Mapped[str]
    event: Mapped[str] = mapped_column(doc="MSH-9.2")
    control_id: Mapped[str]
    patient: Mapped[int | None] = mapped_column(Big, doc="the patient that the message is about")
    listed: Mapped[bool] = mapped_column(
        doc="the patient's timeline has a line for it: the index on the patient"
    )
    outcome: Mapped[str]
    why: Mapped[str] = mapped_column(doc="a code and words, never a value of the message")
    notices: Mapped[int] = mapped_column(doc="how many it was mapped to")
    mute: Mapped[bool] = mapped_column(doc="nobody was told: quiet or history channel, or a test patient")
    bundle: Mapped[int] = mapped_column(doc="bundle.id of the configuration that decided; 0: none")


class SeenRow(CareTable):
    """By this a repeat is known, for 30 days. A channel's control ids mostly grow, and the key with them."""

    __tablename__ = "seen"
    __table_args__ = (Index("seen_by_time", "at"), CLUSTERED)

    channel: Mapped[str] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True, doc="MSH-3|MSH-4 as they came")
    control_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True, doc="SHA-256 of the message's bytes, hex")
    stream: Mapped[int] = mapped_column(
        Big, doc="the journal row that it stands for: only another is a repeat"
    )
    seq: Mapped[int] = mapped_column(Big)
    at: Mapped[datetime] = mapped_column(Utc)


class AsideRow(CareTable):
    """A message that the cursor has passed and that is not worked: refused, or its channel is paused.

    The row goes when the message is worked after all, and stays when it is dismissed.
    """

    __tablename__ = "aside"
    __table_args__ = (
        CheckConstraint("state IN ('refused','paused','released','dismissed')", name="aside_state"),
        Index(
            "aside_released",
            "at",
            "stream",
            "seq",
            postgresql_where=text("state = 'released'"),
            sqlite_where=text("state = 'released'"),
        ),
        Index(
            "aside_paused",
            "channel",
            "at",
            "stream",
            "seq",
            postgresql_where=text("state = 'paused'"),
            sqlite_where=text("state = 'paused'"),
        ),
        Index("aside_by_cause", "code", "place", "channel", "state", "stream", "seq"),
        Index(
            "aside_of_patient",
            "patient",
            postgresql_where=text("patient IS NOT NULL"),
            sqlite_where=text("patient IS NOT NULL"),
        ),
    )

    stream: Mapped[int] = mapped_column(Big, primary_key=True)
    seq: Mapped[int] = mapped_column(Big, primary_key=True)
    at: Mapped[datetime] = mapped_column(Utc, doc="when the journal took it")
    slot: Mapped[int]
    channel: Mapped[str]
    event: Mapped[str]
    state: Mapped[str]
    code: Mapped[str] = mapped_column(doc="the error's code; 'paused' for a paused one")
    place: Mapped[str] = mapped_column(doc="the path in the message, or the file and line")
    text: Mapped[str]
    value: Mapped[str] = mapped_column(doc="what stood there: shown to who may see it, never logged")
    patient: Mapped[int | None] = mapped_column(Big)
    set_aside_at: Mapped[datetime] = mapped_column(Utc)
    by: Mapped[str] = mapped_column(default="", doc="who released or dismissed it")
    by_at: Mapped[datetime | None] = mapped_column(Utc)
    why: Mapped[str] = mapped_column(default="", doc="the reason that they gave")


class NoticeRow(CareTable):
    """What a mapping made of a message. Append-only: with `act`, the truth that records are folded from.

    The row with the greatest `revision` counts; an empty body says that a later mapping makes it no more.
    """

    __tablename__ = "notice"

    stream: Mapped[int] = mapped_column(Big, primary_key=True)
    seq: Mapped[int] = mapped_column(Big, primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True, doc="the notice's class")
    n: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, doc="0; one more each time it is mapped anew")
    patient: Mapped[int] = mapped_column(Big)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class ActRow(CareTable):
    """What a person did to a patient's record. Append-only."""

    __tablename__ = "act"
    __table_args__ = (Index("act_of_patient", "patient", "id"),)

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    kind: Mapped[str]
    patient: Mapped[int] = mapped_column(Big)
    row: Mapped[int]
    by: Mapped[str]
    at: Mapped[datetime] = mapped_column(Utc)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class RecordRow(CareTable):
    """The records that decisions rest on: of each patient a head, and after it, in the same tree, the stays.

    `version` grows with every decision that read the record; who saves compares it.
    """

    __tablename__ = "record"
    __table_args__ = (
        Index(
            "record_linked",
            "person",
            postgresql_where=text("person <> id / 65536"),
            sqlite_where=text("person <> id / 65536"),
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[int] = mapped_column(
        Big,
        primary_key=True,
        autoincrement=False,
        doc="patient * 65536; stay n: + 1 + n, and no person, no version",
    )
    person: Mapped[int | None] = mapped_column(Big, doc="the lowest number of those that are linked as one")
    version: Mapped[int | None] = mapped_column(Big)
    last_line: Mapped[int | None] = mapped_column(Big, doc="change.id: the end of the patient's timeline")
    last_delivery: Mapped[int | None] = mapped_column(
        Big, doc="delivery.id: the end of the patient's deliveries"
    )
    body: Mapped[bytes] = mapped_column(LargeBinary, doc="care/codec.py makes and reads it")


class PatientRow(CareTable):
    """One identity as a hospital numbers it: what pages show of it."""

    __tablename__ = "patient"
    __table_args__ = (
        Index(
            "patient_linked",
            "person",
            postgresql_where=text("person <> id"),
            sqlite_where=text("person <> id"),
        ),
        Index("patient_by_name", "family_key", "given_key", "id"),
        Index("patient_by_birth", "birth_date", "id"),
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False, doc="grows with arrival")
    person: Mapped[int] = mapped_column(Big, doc="the lowest number of those that are linked as one")
    name: Mapped[str] = mapped_column(doc="the id that others see, hex")
    authority: Mapped[str]
    number: Mapped[str]
    family: Mapped[str]
    given: Mapped[str]
    family_key: Mapped[str] = mapped_column(Key, doc="case folded, for the search")
    given_key: Mapped[str] = mapped_column(Key)
    birth_date: Mapped[str] = mapped_column(doc="YYYY-MM-DD, or empty")
    sex: Mapped[str]
    phone: Mapped[str]
    language: Mapped[str]
    contacts: Mapped[str] = mapped_column(doc="JSON")
    pcp: Mapped[str] = mapped_column(doc="JSON")
    deceased: Mapped[bool]
    deceased_at: Mapped[datetime | None] = mapped_column(Utc)


class IdentifierRow(CareTable):
    """A number that an authority gave, and the patient that it names. Never moved: a merge moves no row."""

    __tablename__ = "identifier"
    __table_args__ = (Index("identifier_of_patient", "patient"), CLUSTERED)

    authority: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    patient: Mapped[int] = mapped_column(Big)


class VisitKeyRow(CareTable):
    """A visit's number at a site, and the patient whose record holds the visit now."""

    __tablename__ = "visit_key"
    __table_args__ = (CLUSTERED,)

    site: Mapped[str] = mapped_column(primary_key=True)
    visit_id: Mapped[str] = mapped_column(primary_key=True)
    patient: Mapped[int] = mapped_column(Big)


class ChangeRow(CareTable):
    """A line of a timeline: a message about the patient, or a change of a row that people see, and why.

    Append-only; a patient's lines are a chain from `record.last_line` back.
    """

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(Big, primary_key=True, doc="grows with arrival")
    patient: Mapped[int] = mapped_column(Big)
    before: Mapped[int | None] = mapped_column(Big, doc="the patient's line before this one")
    at: Mapped[datetime] = mapped_column(Utc, doc="when it was saved")
    kind: Mapped[str] = mapped_column(doc="the table: task, encounter, ...; message: a message was worked")
    row: Mapped[int] = mapped_column(doc="the row's n; of a delivery: its notification's")
    row_version: Mapped[int] = mapped_column(doc="of a notification or plan entry, else 0")
    verb: Mapped[str]
    state: Mapped[str] = mapped_column(doc="of the row after the change; of a message its outcome")
    body: Mapped[int | None] = mapped_column(
        Big, doc="body.id: what the row says since; of a delivery: its id"
    )
    stream: Mapped[int | None] = mapped_column(
        Big, doc="with seq, fact_kind, fact_n: the fact; none: the clock"
    )
    seq: Mapped[int | None] = mapped_column(Big)
    fact_kind: Mapped[str]
    fact_n: Mapped[int]
    rule: Mapped[str]
    rule_version: Mapped[str]


class BodyRow(CareTable):
    """What a version of a notification or of a plan's entry says. Append-only."""

    __tablename__ = "body"

    id: Mapped[int] = mapped_column(Big, primary_key=True, doc="grows with arrival")
    body: Mapped[bytes] = mapped_column(LargeBinary, doc="JSON")


class CodeRow(CareTable):
    """A code that a table lacks, as it came: kept, counted, to be filled in."""

    __tablename__ = "code"

    channel: Mapped[str] = mapped_column(primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Big)
    first_stream: Mapped[int] = mapped_column(Big)
    first_seq: Mapped[int] = mapped_column(Big)
    last_stream: Mapped[int] = mapped_column(Big)
    last_seq: Mapped[int] = mapped_column(Big)


class TallyRow(CareTable):
    """How many messages of a day became what. `shard` keeps workers from waiting for one another's rows."""

    __tablename__ = "tally"
    __table_args__ = (CLUSTERED,)

    day: Mapped[str] = mapped_column(primary_key=True, doc="UTC, YYYY-MM-DD, of the journal's time")
    channel: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True, doc="the lowest slot of the batch")
    count: Mapped[int] = mapped_column(Big)


class CounterRow(CareTable):
    """Numbers that are given out once: patients, acts."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(Big, doc="the last one that was given out")
