"""The tables of `journal`: append-only, what hospitals said and how it was answered. Floor 4.

A row of a stream has one integer key on both stores, `stream << 40 | seq`: rows of a stream lie together in
the order of their commits, and a run is a range. There is no index on the slot: reading by range and
stepping over other slots is cheaper on both stores, and spares intake a fifth of its rate.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from broker.store.types import Utc

__all__ = [
    "BytesRow",
    "JournalTable",
    "LoosePartRow",
    "MarkRow",
    "MessageRow",
    "ReadyRow",
    "StreamRow",
    "UnansweredRow",
]

# SQLite makes an INTEGER PRIMARY KEY the row's own key, and only if it is called INTEGER.
Big = BigInteger().with_variant(Integer(), "sqlite")


class JournalTable(DeclarativeBase):
    """Every table of `journal`."""


class StreamRow(JournalTable):
    """One writer's connection. It numbers its own rows, so numbers stand in the order of commits."""

    __tablename__ = "stream"
    __table_args__ = (
        Index(
            "stream_open",
            "id",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, doc="grows; never used again")
    opened_at: Mapped[datetime] = mapped_column(Utc)
    opened_by: Mapped[str] = mapped_column(Text, doc="which process: a name, a host and a process id")
    ended_at: Mapped[datetime | None] = mapped_column(Utc, doc="known to get no more rows since then")
    how: Mapped[str] = mapped_column(Text, doc="clean; failed: its writer gave it up; unclean: found dead")
    last_seq: Mapped[int | None] = mapped_column(Big, doc="the greatest seq, of a stream that has ended")


class MessageRow(JournalTable):
    """One frame: its header fields, when and whence it came, how it was answered. A repeat is one too.

    Texts are as the sender wrote them, cut at 250 characters; what no database holds (NUL) is replaced.
    """

    __tablename__ = "message"

    key: Mapped[int] = mapped_column(Big, primary_key=True, doc="stream << 40 | seq; seq from 1")
    at: Mapped[datetime] = mapped_column(Utc, doc="its place is (at, stream, seq)")
    slot: Mapped[int] = mapped_column(SmallInteger, doc="0..63; -1: quarantine; -2: a batch's envelope")
    channel: Mapped[str] = mapped_column(Text)
    peer: Mapped[str] = mapped_column(Text, doc="whence it came: an address")
    message_type: Mapped[str] = mapped_column(Text, doc="MSH-9.1")
    event: Mapped[str] = mapped_column(Text, doc="MSH-9.2")
    control_id: Mapped[str] = mapped_column(Text, doc="MSH-10")
    sender: Mapped[str] = mapped_column(Text, doc="MSH-3|MSH-4")
    sent_at: Mapped[str] = mapped_column(Text, doc="MSH-7 as it came")
    processing_id: Mapped[str] = mapped_column(Text, doc="MSH-11")
    version: Mapped[str] = mapped_column(Text, doc="MSH-12")
    charset: Mapped[str] = mapped_column(Text, doc="MSH-18, or what it was read as")
    answer: Mapped[str] = mapped_column(Text, doc="AA, AE, AR, CA, CE, CR; empty: none was wanted")
    cause: Mapped[str] = mapped_column(Text, doc="why the answer is negative")
    bundle: Mapped[str] = mapped_column(Text, doc="digest of the configuration that it was answered under")
    batch_of: Mapped[str] = mapped_column(Text, doc="stream.seq of its batch's envelope")
    size: Mapped[int] = mapped_column(Integer, doc="bytes")
    digest: Mapped[bytes] = mapped_column(LargeBinary, doc="SHA-256 of the bytes")
    chain: Mapped[bytes] = mapped_column(
        LargeBinary, doc="SHA-256 of this row and the chain of the row before"
    )
    day: Mapped[int] = mapped_column(Integer, doc="where its bytes are: days since 1970, UTC")
    part: Mapped[int] = mapped_column(Big, doc="key of its bytes, or of their first part")
    more_parts: Mapped[str] = mapped_column(Text, doc="keys of the further parts, with commas; mostly empty")


class BytesRow(JournalTable):
    """The bytes of a frame, or at most 1 MiB of a longer one. On PostgreSQL partitioned by `day`."""

    __tablename__ = "bytes"

    key: Mapped[int] = mapped_column(Big, primary_key=True, doc="stream << 40 | a number of the stream's own")
    day: Mapped[int] = mapped_column(Integer, doc="days since 1970, UTC; part of the key on PostgreSQL")
    body: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[int | None] = mapped_column(
        Integer, doc="under which key it is encrypted; null: it is not"
    )


class LoosePartRow(JournalTable):
    """A part of a long frame whose header is not there yet: taken away by whoever finds its stream dead."""

    __tablename__ = "loose_part"

    key: Mapped[int] = mapped_column(Big, primary_key=True)
    day: Mapped[int] = mapped_column(Integer)


class UnansweredRow(JournalTable):
    """A message whose sender was gone before its answer was written."""

    __tablename__ = "unanswered"

    key: Mapped[int] = mapped_column(Big, primary_key=True)


class ReadyRow(JournalTable):
    """An intake process that has bound what a new configuration needs."""

    __tablename__ = "ready"

    bundle: Mapped[str] = mapped_column(Text, primary_key=True)
    process: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(Utc)


class MarkRow(JournalTable):
    """How far a stream's bytes may be let go. Replay below that is refused."""

    __tablename__ = "mark"

    stream: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(Big, doc="everything up to it may go, or is gone")
    at: Mapped[datetime] = mapped_column(Utc)
