"""Reading for workers: runs without gaps, merged by place, stepping over what is not theirs or done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from broker.errors import StoreError
from broker.store.journal import Entry, Reader
from broker.store.journal_rows import PART_BYTES, key_of
from broker.store.open import open_engine
from broker.store.types import EPOCH, Utc, to_micros

ALL_SLOTS = range(-2, 64)
START = datetime(2026, 3, 5, tzinfo=UTC)

INSERT = (
    "INSERT INTO message (key, at, slot, channel, peer, message_type, event, control_id, sender, sent_at, "
    "processing_id, version, charset, answer, cause, bundle, batch_of, size, digest, chain, day, part, "
    "more_parts) VALUES (:key, :at, :slot, 'c', '', '', '', '', '', '', '', '', '', '', '', '', '', "
    ":size, :none, :none, :day, :key, '')"
)


class Story:
    """A journal with streams, times and slots as a test wants them. `rows` are (at, stream, seq, slot)."""

    def __init__(self, engine) -> None:
        self._engine = engine
        self.rows: list[tuple[int, int, int, int]] = []
        if engine.dialect.name == "postgresql":
            day = to_micros(START) // 86_400_000_000
            with engine.begin() as connection:
                connection.execute(
                    text(f"CREATE TABLE d PARTITION OF bytes FOR VALUES FROM ({day}) TO ({day + 9})")
                )

    def tell(self, streams: dict[int, list[tuple[int, int]]]) -> None:
        """Stream -> its rows, each (seconds after the last one, slot)."""
        utc = Utc().bind_processor(self._engine.dialect)
        day = to_micros(START) // 86_400_000_000
        with self._engine.begin() as connection:
            for table in ("message", "bytes", "stream"):
                connection.execute(text(f"DELETE FROM {table}"))
            for stream, told in streams.items():
                connection.execute(
                    text("INSERT INTO stream (id, opened_at, opened_by, how) VALUES (:id, :at, 't', '')"),
                    {"id": stream, "at": utc(START)},
                )
                seconds = 0
                for seq, (later, slot) in enumerate(told, 1):
                    seconds += later
                    key = key_of(stream, seq)
                    at = START + timedelta(seconds=seconds)
                    raw = b"%d.%d" % (stream, seq)
                    self.rows.append((seconds, stream, seq, slot))
                    connection.execute(
                        text(INSERT),
                        {"key": key, "at": utc(at), "slot": slot, "size": len(raw), "none": b"", "day": day},
                    )
                    connection.execute(
                        text("INSERT INTO bytes (key, day, body) VALUES (:key, :day, :raw)"),
                        {"key": key, "day": day, "raw": raw},
                    )
        self.rows.sort()


@pytest.fixture
def story(engine_of) -> Story:
    return Story(engine_of("journal"))


def places(run) -> list[tuple[int, int]]:
    return [(row.stream, row.seq) for row in run.rows]


def test_two_streams_are_read_in_the_order_of_their_places(story, reader):
    story.tell({1: [(0, 5), (10, 6), (10, 7)], 2: [(5, 5), (10, 5)]})
    run = reader.read({}, ALL_SLOTS, 100, 1 << 20)
    assert places(run) == [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]
    assert [row.raw for row in run.rows] == [b"1.1", b"2.1", b"1.2", b"2.2", b"1.3"]


def test_a_limit_cuts_the_merged_run_and_cursors_stay_before_what_is_left(story, reader):
    story.tell({1: [(0, 5), (10, 6), (10, 7)], 2: [(5, 5), (10, 5)]})
    run = reader.read({}, ALL_SLOTS, 3, 1 << 20)
    assert places(run) == [(1, 1), (2, 1), (1, 2)]
    assert {run.upto[slot, 1] for slot in ALL_SLOTS} == {2}
    assert {run.upto[slot, 2] for slot in ALL_SLOTS} == {1}


def test_what_is_of_other_slots_is_stepped_over(story, reader):
    story.tell({1: [(1, 5), (1, 6), (1, 5), (1, 6), (1, 6)]})
    run = reader.read({}, [5], 100, 1 << 20)
    assert places(run) == [(1, 1), (1, 3)]
    assert run.upto == {(5, 1): 5}


def test_what_is_done_is_stepped_over(story, reader):
    story.tell({1: [(1, 5), (1, 6), (1, 5), (1, 6)]})
    run = reader.read({(5, 1): 3, (6, 1): 1}, [5, 6], 100, 1 << 20)
    assert places(run) == [(1, 2), (1, 4)]
    assert run.upto == {(5, 1): 4, (6, 1): 4}
    assert reader.read({(5, 1): 4, (6, 1): 4}, [5, 6], 100, 1 << 20).upto == {}


def test_a_stream_whose_scan_was_cut_holds_back_what_comes_later_in_another(story, reader):
    story.tell({1: [(1, 5)] * 100, 2: [(1000, 5)]})
    run = reader.read({}, [5], 3, 1 << 20)
    assert places(run) == [(1, 1), (1, 2), (1, 3)]
    assert (5, 2) not in run.upto


def test_a_hole_in_a_stream_stops_the_reading(story, reader, engine_of):
    story.tell({1: [(1, 5)] * 5})
    with engine_of("journal").begin() as connection:
        connection.execute(text("DELETE FROM message WHERE key = :key"), {"key": key_of(1, 3)})
    with pytest.raises(StoreError) as caught:
        reader.read({}, ALL_SLOTS, 100, 1 << 20)
    assert caught.value.code == "journal_gap"


def test_what_was_let_go_is_no_hole(story, reader, engine_of):
    story.tell({1: [(1, 5)] * 5})
    with engine_of("journal").begin() as connection:
        connection.execute(text("DELETE FROM message WHERE key <= :key"), {"key": key_of(1, 3)})
        at = Utc().bind_processor(connection.dialect)(START)
        connection.execute(text("INSERT INTO mark (stream, seq, at) VALUES (1, 3, :at)"), {"at": at})
    assert places(reader.read({}, ALL_SLOTS, 100, 1 << 20)) == [(1, 4), (1, 5)]


def test_the_streams_greatest_are_known_also_of_streams_that_ended(open_journal, reader):
    greatest = {}
    for count in (2, 0, 3):
        journal = open_journal()
        for receipt in journal.accept_all(Entry(b"x", n, "c") for n in range(count)):
            greatest[receipt.stream] = receipt.seq
        journal.stop()
        assert {s: n for s, n in reader.greatest().items() if n} == greatest
    assert len(reader.greatest()) == 3


def test_pages_read_headers_by_range(journal, reader):
    (first, *_) = journal.accept_all(Entry(b"%d" % n, n, "c", control_id=str(n)) for n in range(10))
    found = reader.headers(first.stream, after=2, before=6)
    assert [(head.seq, head.control_id) for head in found] == [(3, "2"), (4, "3"), (5, "4")]


def test_pages_may_be_longer_than_a_transaction(journal, reader):
    (first, *_) = journal.accept_all(Entry(b"", n % 64, "c") for n in range(450))
    assert [head.seq for head in reader.headers(first.stream, limit=430)] == list(range(1, 431))


def test_no_transaction_reads_more_than_a_chunk(journal, engine_of):
    """A reader that stays makes SQLite's log grow, and intake's commits wait for it."""
    for n in range(3):
        journal.accept(Entry(bytes(2 * PART_BYTES), n, "c"))
    journal.accept_all(Entry(b"", n % 64, "c") for n in range(450))
    engine = engine_of("journal", read_only=True)
    reader = Reader(engine)
    reader.greatest()
    transactions: list[int] = []
    event.listen(engine, "checkout", lambda *_: transactions.append(1))
    reader.read({}, ALL_SLOTS, 1000, 1 << 30)
    scan, heads, parts = 1, 3 + -(-450 // 200), 6
    assert len(transactions) == scan + heads + parts


streams = st.dictionaries(
    st.integers(1, 4), st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), max_size=90), max_size=3
)


@given(told=streams, mine=st.sets(st.integers(0, 3), min_size=1), limit=st.integers(1, 80), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_run_after_run_gives_each_message_of_the_slots_once_and_in_order(
    sqlite_stores, told, mine, limit, data
):
    """Also when the slots change hands in between, so that their cursors stand at different places."""
    engine = open_engine(sqlite_stores.journal_url, role="journal")
    try:
        story = Story(engine)
        story.tell(told)
        reader = Reader(engine)
        cursors: dict[tuple[int, int], int] = {}
        worked: list[tuple[int, int]] = []
        other = data.draw(st.sets(st.integers(0, 3), min_size=1))
        for taken in (mine, other, mine | other):
            while True:
                run = reader.read(cursors, taken, limit, 1 << 20)
                worked += places(run)
                if not run.upto:
                    break
                assert all(seq > cursors.get(place, 0) for place, seq in run.upto.items())
                cursors.update(run.upto)
        expected = [(stream, seq) for _, stream, seq, slot in story.rows if slot in mine | other]
        assert sorted(worked) == sorted(expected)
        for slot in range(4):
            of_slot = {(stream, seq) for _, stream, seq, s in story.rows if s == slot}
            in_order = [(stream, seq) for _, stream, seq, s in story.rows if s == slot and s in mine | other]
            assert [place for place in worked if place in of_slot] == in_order
    finally:
        engine.dispose()


def test_times_are_utc_to_the_microsecond(journal, reader):
    receipt = journal.accept(Entry(b"x", 1, "c"))
    at = reader.fetch(receipt.stream, receipt.seq).at
    assert at == receipt.at and at.tzinfo is UTC
    assert (at - EPOCH) > timedelta(days=20000)
