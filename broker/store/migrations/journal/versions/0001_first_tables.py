"""The journal's first tables."""

import sqlalchemy as sa
from alembic import op

from broker.store.types import Utc

revision = "journal_0001"
down_revision = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "stream",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("opened_at", Utc(), nullable=False),
        text("opened_by"),
        sa.Column("ended_at", Utc(), nullable=True),
        text("how"),
        sa.Column("last_seq", Big, nullable=True),
        sqlite_autoincrement=True,
    )
    still_open = sa.text("ended_at IS NULL")
    op.create_index("stream_open", "stream", ["id"], sqlite_where=still_open, postgresql_where=still_open)
    op.create_table(
        "message",
        sa.Column("key", Big, primary_key=True, autoincrement=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        text("channel"),
        text("peer"),
        text("message_type"),
        text("event"),
        text("control_id"),
        text("sender"),
        text("sent_at"),
        text("processing_id"),
        text("version"),
        text("charset"),
        text("answer"),
        text("cause"),
        text("bundle"),
        text("batch_of"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("part", Big, nullable=False),
        text("more_parts"),
    )
    op.create_table(
        "bytes",
        sa.Column("key", Big, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer(), primary_key=postgres, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=True),
        postgresql_partition_by="RANGE (day)",
    )
    op.create_table(
        "loose_part",
        sa.Column("key", Big, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer(), nullable=False),
    )
    op.create_table("unanswered", sa.Column("key", Big, primary_key=True, autoincrement=False))
    op.create_table(
        "ready",
        sa.Column("bundle", sa.Text(), primary_key=True),
        sa.Column("process", sa.Text(), primary_key=True),
        sa.Column("at", Utc(), nullable=False),
    )
    op.create_table(
        "mark",
        sa.Column("stream", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("seq", Big, nullable=False),
        sa.Column("at", Utc(), nullable=False),
    )
