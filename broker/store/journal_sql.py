"""The constant SQL of the journal's two hot paths, and of all that touches them. Floor 4.

Each constant that depends on an index has a test that reads its plan.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.store.journal_rows import SEQ_BITS

__all__ = ["HEAD_COLUMNS", "POSTGRES", "SQLITE", "WORD_COUNT", "Reads"]

_WORDS = (
    "channel, peer, message_type, event, control_id, sender, sent_at, processing_id, version, charset, "
    "answer, cause, bundle, batch_of"
)
WORD_COUNT = _WORDS.count(",") + 1
_LINE = f"key, at, slot, {_WORDS}, size, digest, chain, day, part, more_parts"
HEAD_COLUMNS = f"key, at, slot, {_WORDS}, size, digest"


def _latest_row(stream: str) -> str:
    """A stream's rows, the last one first, to be limited to one."""
    return (
        f"FROM message WHERE key > {stream}::bigint << {SEQ_BITS} "
        f"AND key < ({stream} + 1)::bigint << {SEQ_BITS} ORDER BY key DESC LIMIT 1"
    )


def _sqlite(statement: str) -> str:
    return statement.replace("::bigint", "")


# What the writer says on SQLite.
SQLITE_BYTES = "INSERT INTO bytes (key, day, body) VALUES (?, ?, ?)"
SQLITE_MESSAGE = f"INSERT INTO message ({_LINE}) VALUES ({', '.join('?' * (WORD_COUNT + 9))})"
SQLITE_LATEST = f"SELECT max(at) FROM (SELECT (SELECT at {_sqlite(_latest_row('id'))}) AS at FROM stream)"
SQLITE_OPEN = "INSERT INTO stream (opened_at, opened_by, how) VALUES (?, ?, '')"
SQLITE_END = (
    f"UPDATE stream SET ended_at = ?, how = ?, last_seq = coalesce((SELECT key & {(1 << SEQ_BITS) - 1} "
    f"{_sqlite(_latest_row('stream.id'))}), 0) WHERE ended_at IS NULL"
)
SQLITE_DROP_LOOSE = "DELETE FROM bytes WHERE key IN (SELECT key FROM loose_part)"

# What the writer says on PostgreSQL.
#
# One prepared statement is one transaction: two inserts and a COMMIT cost a third to a half of the rate.
# The time is taken when it runs, after everything that it can see: $1 is the latest time that the writer
# knows of, in microseconds, $2 the lowest stream that had not ended when it opened its own.
POSTGRES_ACCEPT = f"""
WITH seen AS (
    SELECT max(last.at) AS at FROM stream s
    CROSS JOIN LATERAL (SELECT at {_latest_row("s.id")}) last
    WHERE s.id >= $2::int
), stamp AS MATERIALIZED (
    SELECT greatest(
        clock_timestamp(),
        timestamptz 'epoch' + ($1::bigint + 1) * interval '1 microsecond',
        (SELECT at FROM seen) + interval '1 microsecond'
    ) AS at
), today AS MATERIALIZED (
    SELECT at, floor(extract(epoch FROM at) / 86400)::int AS day FROM stamp
), put AS (
    INSERT INTO bytes (key, day, body)
    SELECT b.key, today.day, b.body FROM today, unnest($3::bigint[], $4::bytea[]) AS b (key, body)
), accepted AS (
    INSERT INTO message ({_LINE})
    SELECT m.key, today.at, {", ".join(f"m.{word.strip()}" for word in ["slot", *_WORDS.split(",")])},
        m.size, m.digest, m.chain, CASE WHEN m.day < 0 THEN today.day ELSE m.day END, m.part, m.more_parts
    FROM today, unnest(
        $5::bigint[], $6::smallint[], {", ".join(f"${n}::text[]" for n in range(7, 7 + WORD_COUNT))},
        ${7 + WORD_COUNT}::int[], ${8 + WORD_COUNT}::bytea[], ${9 + WORD_COUNT}::bytea[],
        ${10 + WORD_COUNT}::int[], ${11 + WORD_COUNT}::bigint[], ${12 + WORD_COUNT}::text[]
    ) AS m (key, slot, {_WORDS}, size, digest, chain, day, part, more_parts)
)
SELECT (extract(epoch FROM at) * 1000000)::bigint FROM today
"""
POSTGRES_LATEST = f"""
SELECT max(last.at) FROM stream s CROSS JOIN LATERAL (SELECT at {_latest_row("s.id")}) last
"""
POSTGRES_END = (
    f"UPDATE stream SET ended_at = clock_timestamp(), how = %s, last_seq = coalesce((SELECT key & "
    f"{(1 << SEQ_BITS) - 1} {_latest_row('stream.id')}), 0) WHERE id = %s AND ended_at IS NULL"
)
POSTGRES_DROP_LOOSE = """
DELETE FROM bytes b USING loose_part l
WHERE b.key = l.key AND b.day = l.day AND l.key > %(low)s AND l.key < %(high)s
"""


class Reads(NamedTuple):
    """What a reader says, in a store's words."""

    streams: str
    scan: str
    heads: str
    heads_between: str
    bodies: str
    bodies_between: str
    one: str
    range: str
    mark: str


def _reads(place: str, among: str, body_day: str, latest: str) -> Reads:
    return Reads(
        streams=f"SELECT id, ended_at IS NOT NULL, coalesce(last_seq, (SELECT key {latest}) & "
        f"{(1 << SEQ_BITS) - 1}, 0) FROM stream WHERE id >= {place} ORDER BY id",
        scan=f"SELECT key, at, slot, size FROM message WHERE key > {place} AND key < {place} "
        f"ORDER BY key LIMIT {place}",
        heads=f"SELECT {HEAD_COLUMNS}, part, more_parts, day FROM message WHERE key {among} ORDER BY key",
        heads_between=f"SELECT {HEAD_COLUMNS}, part, more_parts, day FROM message "
        f"WHERE key BETWEEN {place} AND {place} ORDER BY key",
        bodies=f"SELECT key, body FROM bytes WHERE key {among}{body_day}",
        bodies_between=f"SELECT key, body FROM bytes WHERE key BETWEEN {place} AND {place}{body_day}",
        one=f"SELECT {HEAD_COLUMNS}, part, more_parts, day FROM message WHERE key = {place}",
        range=f"SELECT {HEAD_COLUMNS}, chain, part, more_parts, day FROM message WHERE key > {place} "
        f"AND key < {place} ORDER BY key LIMIT {place}",
        mark=f"SELECT seq FROM mark WHERE stream = {place}",
    )


SQLITE = _reads("?", "IN (SELECT value FROM json_each(?))", "", _sqlite(_latest_row("stream.id")))
POSTGRES = _reads("%s", "= ANY(%s)", " AND day = ANY(%s)", _latest_row("stream.id"))
