"""The journal's thin path: what is accepted is there, with its bytes, in the order of commits."""

from __future__ import annotations

from hashlib import sha256

import psycopg
import pytest
from sqlalchemy import text

from broker.store.journal import Entry, Flaw, Receipt, verify
from broker.store.journal_rows import key_of

ALL_SLOTS = range(-2, 64)


def test_what_was_accepted_is_there_with_its_bytes(journal, reader):
    entry = Entry(
        b"MSH|^~\\&|A|B", 7, "north_adt", "10.0.0.9", "ADT", "A03", "C1", "A|B", "20260305", "P", "2.5.1",
        "UNICODE UTF-8", "AA", "", "bundle", "",
    )  # fmt: skip
    receipt = journal.accept(entry)
    row = reader.fetch(receipt.stream, receipt.seq)
    assert Receipt(row.stream, row.seq, row.at) == receipt
    assert row.raw == entry.raw and row.size == len(entry.raw)
    assert row.digest == sha256(entry.raw).hexdigest()
    assert row[3:18] == entry[1:]
    assert reader.greatest() == {receipt.stream: 1}


def test_a_run_is_in_the_order_of_commits(journal, reader):
    receipts = journal.accept_all(Entry(b"%d" % n, n % 64, "c") for n in range(500))
    run = reader.read({}, ALL_SLOTS, 1000, 1 << 30)
    assert [row.raw for row in run.rows] == [b"%d" % n for n in range(500)]
    assert [(row.stream, row.seq, row.at) for row in run.rows] == receipts
    stream = receipts[0].stream
    assert run.upto == {(slot, stream): 500 for slot in ALL_SLOTS}
    assert reader.read(run.upto, ALL_SLOTS, 1000, 1 << 30).rows == []


def test_the_chain_holds(journal, reader):
    journal.accept_all(Entry(b"%d" % n, n % 64, "c") for n in range(300))
    assert list(verify(reader)) == []


def test_what_waits_together_is_committed_together(journal, reader):
    receipts = journal.accept_all(Entry(b"%d" % n, n % 64, "c") for n in range(2000))
    assert journal.posts < 1000
    assert len({receipt.at for receipt in receipts}) == journal.posts


def test_times_grow_from_group_to_group_whatever_the_clock_says(sqlite_stores, open_journal_at):
    clock = iter([100, 100, 100, 90, 200, 5, 5])
    journal = open_journal_at(sqlite_stores.journal_url, clock=lambda: next(clock, 5))
    journal.accept(Entry(b"", 1, "c"))
    times = [journal.accept(Entry(b"", 1, "c")).at for _ in range(4)]
    assert times == sorted(set(times))


def test_a_row_comes_after_the_latest_in_the_journal_whosever_it_is(open_journal, engine_of):
    """Also when the clock has been set back, and when another stream has the latest row."""
    first = open_journal()
    receipt = first.accept(Entry(b"", 1, "c"))
    first.stop()
    with engine_of("journal").begin() as connection:
        later = "at + 3600000000" if connection.dialect.name == "sqlite" else "at + interval '1 hour'"
        connection.execute(text(f"UPDATE message SET at = {later}"))
    journal = open_journal()
    second = journal.accept(Entry(b"", 1, "c"))
    third = journal.accept(Entry(b"", 1, "c"))
    assert third.at > second.at and (second.at - receipt.at).total_seconds() > 3600


@pytest.mark.postgres
def test_two_intakes_see_each_others_times(postgres_stores, open_journal_at, postgres_server):
    one, other = (open_journal_at(postgres_stores.journal_url) for _ in range(2))
    receipt = one.accept(Entry(b"", 1, "c"))
    assert other.accept(Entry(b"", 1, "c")).stream != receipt.stream
    database = postgres_stores.journal_url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(database), autocommit=True) as connection:
        connection.execute(
            "UPDATE journal.message SET at = at + interval '1 hour' WHERE key = %s",
            (key_of(receipt.stream, receipt.seq),),
        )
    assert (other.accept(Entry(b"", 1, "c")).at - receipt.at).total_seconds() > 3600


@pytest.mark.parametrize("word", ["\x00", "a\x00b", "\ud800", "\x1f", "x" * 1_000_000, "\u00e4\u4e2d"])
def test_no_text_of_a_sender_fails_its_group(journal, reader, word):
    words = dict.fromkeys(("peer", "message_type", "event", "control_id", "sender", "charset"), word)
    first, _ = journal.accept_all([Entry(b"bad", 1, "c", **words), Entry(b"good", 1, "c")])
    row = reader.fetch(first.stream, first.seq)
    assert row.raw == b"bad" and 0 < len(row.control_id) <= 250
    if word.isprintable() and len(word) < 250:
        assert row.control_id == word
    assert list(verify(reader)) == []


def test_an_answer_that_did_not_leave_is_noted(journal, engine_of):
    receipt = journal.accept(Entry(b"", 1, "c"))
    journal.writer.note_unanswered(receipt)
    journal.writer.note_unanswered(receipt)
    journal.accept(Entry(b"", 1, "c"))
    journal.stop()
    with engine_of("journal").connect() as connection:
        found = connection.execute(text("SELECT key FROM unanswered")).scalars().all()
    assert found == [key_of(receipt.stream, receipt.seq)]


@pytest.mark.parametrize(
    ("tampering", "flaws"),
    [
        ("UPDATE message SET control_id = 'other' WHERE key = :third", [(3, "changed")]),
        ("UPDATE message SET slot = 9 WHERE key = :third", [(3, "changed")]),
        ("DELETE FROM message WHERE key = :third", [(3, "missing"), (4, "changed")]),
        ("UPDATE bytes SET body = 'forged' WHERE key = :third", [(3, "bytes")]),
        ("DELETE FROM message WHERE key > :third", [(4, "missing")]),
    ],
)
def test_what_was_changed_afterwards_is_found(open_journal, reader, engine_of, tampering, flaws):
    journal = open_journal()
    receipts = [journal.accept(Entry(b"%d" % n, n, "c")) for n in range(6)]
    journal.stop()
    stream = receipts[0].stream
    if engine_of("journal").dialect.name == "sqlite":
        tampering = tampering.replace("'forged'", "CAST('forged' AS BLOB)")
    with engine_of("journal").begin() as connection:
        connection.execute(text(tampering), {"third": key_of(stream, 3)})
    assert list(verify(reader)) == [Flaw(stream, seq, what) for seq, what in flaws]


def test_a_time_that_was_changed_is_found(open_journal, reader, engine_of):
    journal = open_journal()
    receipts = [journal.accept(Entry(b"%d" % n, n, "c")) for n in range(4)]
    journal.stop()
    with engine_of("journal").begin() as connection:
        later = "at + 1" if connection.dialect.name == "sqlite" else "at + interval '1 microsecond'"
        connection.execute(
            text(f"UPDATE message SET at = {later} WHERE key = :key"), {"key": key_of(receipts[0].stream, 2)}
        )
    assert list(verify(reader)) == [Flaw(receipts[0].stream, 3, "changed")]


def test_bytes_waiting_are_counted_until_they_are_answered(journal):
    assert journal.writer.waiting_bytes == 0
    answers: list[object] = []
    journal.writer.accept(Entry(bytes(5000), 1, "c"), answers.append)
    journal.wait_until(lambda: bool(answers))
    assert journal.writer.waiting_bytes == 0


@pytest.mark.postgres
def test_bytes_stand_in_a_partition_of_their_day_and_the_next_days_are_made(postgres_stores, open_journal_at):
    journal = open_journal_at(postgres_stores.journal_url)
    receipt = journal.accept(Entry(b"x", 1, "c"))
    with psycopg.connect(postgres_stores.journal_url) as connection:
        connection.execute("SET search_path = journal")
        (found,) = connection.execute("SELECT tableoid::regclass::text FROM bytes").fetchone()
        (made,) = connection.execute("SELECT count(*) FROM pg_inherits").fetchone()
    assert found == f"bytes_{receipt.at:%Y%m%d}"
    assert made >= 9
