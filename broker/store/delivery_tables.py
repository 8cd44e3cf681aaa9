"""The tables of `care` for what goes out: deliveries, attempts, destinations' owners, the directory."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from broker.store.care_tables import CLUSTERED, Big, CareTable
from broker.store.types import Utc

__all__ = ["WAITING", "AttemptRow", "DeliveryRow", "DeliveryTallyRow", "DestinationRow", "DirectoryRow"]

# In the words of the index on what is under way: a database uses such an index only for just these words.
WAITING = "state IN ('queued','sending','doubtful')"


class DeliveryRow(CareTable):
    """One thing on its way to one destination: what and whom, never how it is worded."""

    __tablename__ = "delivery"
    __table_args__ = (
        CheckConstraint(
            "state IN ('queued','sending','delivered','rejected','doubtful','given_up','withdrawn')",
            name="delivery_state",
        ),
        CheckConstraint("act IN ('tell','correct','retract','forward','answer')", name="delivery_act"),
        Index(
            "delivery_due",
            "destination",
            "not_before",
            "id",
            postgresql_where=text("state = 'queued'"),
            sqlite_where=text("state = 'queued'"),
        ),
        Index(
            "delivery_waiting",
            "destination",
            "lane",
            "id",
            "state",
            postgresql_where=text(WAITING),
            sqlite_where=text(WAITING),
        ),
        Index("delivery_by_state", "state", "id"),
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, doc="grows with arrival")
    name: Mapped[str] = mapped_column(doc="the id that others see, hex; the same after a restore")
    lane: Mapped[int] = mapped_column(
        Big, doc="what must not overtake: the patient's number, or -1 - slot where there is no patient"
    )
    patient: Mapped[int | None] = mapped_column(Big)
    before: Mapped[int | None] = mapped_column(Big, doc="the patient's delivery before this one")
    notification: Mapped[int | None] = mapped_column(doc="its n within the patient; none: a whole message")
    version: Mapped[int] = mapped_column(doc="the notification's, when this was asked for")
    act: Mapped[str]
    recipient: Mapped[str]
    destination: Mapped[str] = mapped_column(doc="channel/destination, as the files name them")
    address: Mapped[str]
    stream: Mapped[int | None] = mapped_column(
        Big, doc="with seq: the message that caused it, or that is sent"
    )
    seq: Mapped[int | None] = mapped_column(Big)
    state: Mapped[str]
    not_before: Mapped[datetime] = mapped_column(Utc, doc="no attempt before this time")
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"), doc="those that were tried")
    reached: Mapped[bool] = mapped_column(
        default=False, server_default=text("false"), doc="they have it, or may have it"
    )
    asked_at: Mapped[datetime] = mapped_column(Utc)
    settled_at: Mapped[datetime | None] = mapped_column(Utc, doc="when the last attempt ended")
    code: Mapped[str] = mapped_column(default="", server_default="", doc="the last outcome's")
    proof: Mapped[str] = mapped_column(default="", server_default="", doc="what they answered")


class AttemptRow(CareTable):
    """One attempt. It is committed as `sending` before the first byte leaves."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint(
            "state IN ('sending','delivered','failed','unclear','rejected','unsent')", name="attempt_state"
        ),
    )

    delivery: Mapped[int] = mapped_column(Big, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, doc="1, 2, ...; unsent ones are numbered too")
    epoch: Mapped[int] = mapped_column(Big, doc="the owner's, who made it")
    act: Mapped[str] = mapped_column(doc="as it was sent: a correction of what was never told is a telling")
    version: Mapped[int] = mapped_column(doc="the notification's, as it was sent")
    state: Mapped[str]
    claimed_at: Mapped[datetime] = mapped_column(Utc)
    settled_at: Mapped[datetime | None] = mapped_column(Utc)
    code: Mapped[str] = mapped_column(default="", server_default="")
    detail: Mapped[str] = mapped_column(default="", server_default="")
    body_digest: Mapped[str] = mapped_column(
        default="", server_default="", doc="SHA-256 of what was sent, hex"
    )
    body: Mapped[bytes | None] = mapped_column(LargeBinary, doc="what was sent")


class DeliveryTallyRow(CareTable):
    """How many deliveries to a destination came to which end on a day."""

    __tablename__ = "delivery_tally"
    __table_args__ = (CLUSTERED,)

    day: Mapped[str] = mapped_column(primary_key=True, doc="UTC, YYYY-MM-DD, of the end")
    destination: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Big)


class DestinationRow(CareTable):
    """Who owns a destination. A claim and a settlement count only under the epoch that stands here."""

    __tablename__ = "destination"

    destination: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(Big)
    owner: Mapped[str] = mapped_column(doc="host and process id")
    since: Mapped[datetime] = mapped_column(Utc)
    paused: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    paused_by: Mapped[str] = mapped_column(default="", server_default="")
    paused_at: Mapped[datetime | None] = mapped_column(Utc)
    why: Mapped[str] = mapped_column(default="", server_default="")


class DirectoryRow(CareTable):
    """One way to reach a practitioner, an organisation or a role."""

    __tablename__ = "directory_entry"
    __table_args__ = (
        CheckConstraint("kind IN ('practitioner','organisation','role')", name="directory_entry_kind"),
        Index("directory_entry_once", "authority", "number", "destination", "address", unique=True),
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True)
    kind: Mapped[str]
    authority: Mapped[str] = mapped_column(doc="npi, a hospital's authority, or role")
    number: Mapped[str]
    name: Mapped[str]
    practice: Mapped[str]
    destination: Mapped[str] = mapped_column(doc="channel/destination of an outbound channel")
    address: Mapped[str]
    kinds: Mapped[str] = mapped_column(doc="notification kinds that they take, by commas; empty: all")
