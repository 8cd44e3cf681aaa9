"""Long frames: in parts of at most 1 MiB, one a group, under one header at the end."""

from __future__ import annotations

from hashlib import sha256

import pytest
from sqlalchemy import text

from broker.errors import StoreError
from broker.store.journal import Entry, Reader, Receipt, verify
from broker.store.journal_rows import PART_BYTES

ALL_SLOTS = range(-2, 64)


def long_bytes(size: int) -> bytes:
    return (b"OBX|%d|long and longer\r" * (size // 20 + 1) % tuple([7] * (size // 20 + 1)))[:size]


def counts(engine, *tables: str) -> list[int]:
    with engine.connect() as connection:
        return [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in tables]


@pytest.fixture
def engine(engine_of):
    return engine_of("journal")


@pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7])
def test_a_long_frame_comes_back_whole(journal, reader, engine, size):
    raw = long_bytes(size)
    receipt = journal.accept(Entry(raw, 3, "c"))
    row = reader.fetch(receipt.stream, receipt.seq)
    assert row.raw == raw
    assert (row.size, row.digest) == (size, sha256(raw).hexdigest())
    assert list(verify(reader)) == []
    assert counts(engine, "message", "bytes", "loose_part") == [1, -(-size // PART_BYTES), 0]


@pytest.mark.parametrize("piece", [1000, PART_BYTES, PART_BYTES * 2 + 5])
def test_a_long_frame_may_be_written_while_it_is_received(journal, reader, piece):
    raw = long_bytes(2 * PART_BYTES + 12345)
    frame = journal.writer.begin_long()
    for start in range(0, len(raw), piece):
        frame.add(raw[start : start + piece])
    receipt = journal.end(frame, Entry(b"", 3, "c", control_id="L"))
    row = reader.fetch(receipt.stream, receipt.seq)
    assert row.raw == raw and row.control_id == "L"


def test_others_are_accepted_between_the_parts_of_a_long_frame(journal, reader):
    answers: list[Receipt | StoreError] = []
    frame = journal.writer.begin_long()
    for n in range(4):
        frame.add(long_bytes(PART_BYTES))
        journal.accept(Entry(b"%d" % n, n, "c"))
    frame.end(Entry(b"", 60, "c"), answers.append)
    journal.wait_until(lambda: bool(answers))
    run = reader.read({}, ALL_SLOTS, 100, 1 << 30)
    assert [row.slot for row in run.rows] == [0, 1, 2, 3, 60]
    assert run.rows[-1].raw == long_bytes(PART_BYTES) * 4


def test_two_long_frames_take_turns(journal, reader):
    answers: list[Receipt | StoreError] = []
    first, second = long_bytes(5 * PART_BYTES), long_bytes(3 * PART_BYTES)[::-1]
    journal.writer.accept(Entry(first, 1, "c"), answers.append)
    journal.writer.accept(Entry(second, 2, "c"), answers.append)
    journal.wait_until(lambda: len(answers) == 2)
    assert {row.raw for row in reader.read({}, ALL_SLOTS, 9, 1 << 30).rows} == {first, second}
    assert list(verify(reader)) == []


def test_an_abandoned_long_frame_leaves_nothing(journal, engine):
    frame = journal.writer.begin_long()
    frame.add(long_bytes(2 * PART_BYTES + 1))
    journal.accept(Entry(b"beside", 1, "c"))
    frame.abandon()
    journal.accept(Entry(b"after", 1, "c"))
    journal.accept(Entry(b"once more", 1, "c"))
    assert counts(engine, "message", "bytes", "loose_part") == [3, 3, 0]
    assert journal.writer.waiting_bytes == 0


def test_an_abandoned_frame_that_was_complete_is_kept(journal, reader):
    frame = journal.writer.begin_long()
    frame.add(long_bytes(PART_BYTES + 1))
    receipt = journal.end(frame, Entry(b"", 1, "c"))
    frame.abandon()
    journal.accept(Entry(b"after", 1, "c"))
    assert len(reader.fetch(receipt.stream, receipt.seq).raw) == PART_BYTES + 1


def test_parts_of_a_writer_that_died_are_taken_away_by_the_next(stores, open_journal, engine):
    first = open_journal()
    first.accept(Entry(b"before", 1, "c"))
    frame = first.writer.begin_long()
    frame.add(long_bytes(2 * PART_BYTES + 1))
    first.accept(Entry(b"beside", 1, "c"))
    assert counts(engine, "bytes", "loose_part") != [2, 0]
    first.stop()
    open_journal().accept(Entry(b"after", 1, "c"))
    assert counts(engine, "message", "bytes", "loose_part") == [3, 3, 0]


def test_a_long_frame_fails_with_the_stream_that_its_parts_are_in(open_journal, reader, engine, monkeypatch):
    journal = open_journal()
    frame = journal.writer.begin_long()
    frame.add(long_bytes(PART_BYTES + 1))
    journal.accept(Entry(b"before", 1, "c"))

    def fail(sheet: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(journal.writer._pen, "write", fail)
        journal.ask([Entry(b"lost", 1, "c")])
    assert isinstance(journal.end(frame, Entry(b"", 1, "c")), StoreError)
    journal.accept(Entry(b"after", 1, "c"))
    assert [row.raw for row in reader.read({}, ALL_SLOTS, 9, 1 << 30).rows] == [b"before", b"after"]
    assert counts(engine, "bytes", "loose_part") == [2, 0]
    assert journal.writer.waiting_bytes == 0


def test_a_run_holds_no_more_bytes_than_asked_but_one_message(journal, reader):
    for n in range(3):
        journal.accept(Entry(long_bytes(2 * PART_BYTES), n, "c"))
    cursors: dict[tuple[int, int], int] = {}
    sizes = []
    while (run := reader.read(cursors, ALL_SLOTS, 100, PART_BYTES)).rows:
        sizes.append(len(run.rows))
        cursors.update(run.upto)
    assert sizes == [1, 1, 1]


def test_what_has_been_let_go_is_said_to_be(journal, engine):
    receipt = journal.accept(Entry(b"gone", 1, "c"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM bytes"))
    reader = Reader(engine)
    with pytest.raises(StoreError) as caught:
        reader.fetch(receipt.stream, receipt.seq)
    assert caught.value.code == "let_go"
    assert list(verify(reader)) == []
    with pytest.raises(StoreError) as caught:
        reader.fetch(receipt.stream, 99)
    assert caught.value.code == "no_such_row"


def test_a_connection_lost_while_resting_loses_the_long_frames_of_its_stream(
    journal, reader, engine, monkeypatch
):
    frame = journal.writer.begin_long()
    frame.add(long_bytes(PART_BYTES + 1))
    journal.accept(Entry(b"before", 1, "c"))

    def fail() -> None:
        raise StoreError("gone")

    monkeypatch.setattr(journal.writer._pen, "rest", fail)
    journal.writer._rest()
    assert isinstance(journal.end(frame, Entry(b"", 1, "c")), StoreError)
    journal.accept(Entry(b"after", 1, "c"))
    assert counts(engine, "bytes", "loose_part") == [2, 0]
