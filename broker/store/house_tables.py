"""The tables of `care` for the house itself: configuration, channels' states, workers, audit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from broker.store.care_tables import Big, CareTable
from broker.store.types import Utc

__all__ = [
    "ActivationRow",
    "AuditRow",
    "BundleRow",
    "ChannelStateRow",
    "InHandRow",
    "InstallationRow",
    "SuspectRow",
    "WorkerRow",
]


class InstallationRow(CareTable):
    """What is made once, at the first start, and backed up with everything else."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="installation_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[bytes] = mapped_column(LargeBinary, doc="32 bytes: ids are hashed with it")
    made_at: Mapped[datetime] = mapped_column(Utc)


class BundleRow(CareTable):
    """A project folder as it was, whole. Immutable."""

    __tablename__ = "bundle"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True, doc="SHA-256 over names and contents, hex")
    files: Mapped[bytes] = mapped_column(LargeBinary, doc="names and contents, packed")
    stored_at: Mapped[datetime] = mapped_column(Utc)


class ActivationRow(CareTable):
    """Which bundle is in force: the row with the greatest id. Append-only."""

    __tablename__ = "activation"

    id: Mapped[int] = mapped_column(Big, primary_key=True)
    bundle: Mapped[int]
    at: Mapped[datetime] = mapped_column(Utc)
    by: Mapped[str]
    why: Mapped[str]


class ChannelStateRow(CareTable):
    """What people have set for a channel. No row: nothing."""

    __tablename__ = "channel_state"

    channel: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool]
    by: Mapped[str]
    at: Mapped[datetime] = mapped_column(Utc)
    why: Mapped[str]


class WorkerRow(CareTable):
    """One run of one worker: when it started, and whether it ended cleanly."""

    __tablename__ = "worker"
    __table_args__ = (
        CheckConstraint("state IN ('running','ended','died')", name="worker_state"),
        Index(
            "worker_running",
            "owner",
            postgresql_where=text("state = 'running'"),
            sqlite_where=text("state = 'running'"),
        ),
    )

    owner: Mapped[str] = mapped_column(primary_key=True, doc="a name for this run, never given twice")
    state: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(Utc)
    ended_at: Mapped[datetime | None] = mapped_column(Utc)


class InHandRow(CareTable):
    """The one message that a worker has in hand while it goes message by message."""

    __tablename__ = "in_hand"

    owner: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[int] = mapped_column(Big)
    seq: Mapped[int] = mapped_column(Big)


class SuspectRow(CareTable):
    """A message that was in hand, alone, when a worker died, and how often."""

    __tablename__ = "suspect"

    stream: Mapped[int] = mapped_column(Big, primary_key=True)
    seq: Mapped[int] = mapped_column(Big, primary_key=True)
    deaths: Mapped[int]


class AuditRow(CareTable):
    """Who did or saw what, whose, when, from where and why. Append-only, chained by hash."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_of_patient", "patient", "id"),
        Index("audit_of_who", "who", "id"),
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False, doc="1, 2, 3, ... no gap")
    at: Mapped[datetime] = mapped_column(Utc)
    who: Mapped[str]
    what: Mapped[str] = mapped_column(doc="the operation's name")
    patient: Mapped[int | None] = mapped_column(Big, doc="whose")
    about: Mapped[str] = mapped_column(doc="the row: task/12.3, message/1.42, channel/north_adt")
    came_from: Mapped[str] = mapped_column(doc="address and program")
    why: Mapped[str]
    detail: Mapped[str] = mapped_column(doc="JSON")
    hash: Mapped[bytes] = mapped_column(LargeBinary, doc="SHA-256 of the row before's hash and of this row")
