"""Who works what, and what a worker had in hand when it died."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from broker.errors import StoreError
from broker.store.batch import AsidePut, Batch, HandledPut
from broker.store.care import CareStore
from broker.store.open import Stores, open_engine

AT = datetime(2026, 3, 5, tzinfo=UTC)
SLOTS = range(64)


@pytest.fixture
def start(stores: Stores) -> Iterator[Callable[[], CareStore]]:
    """Starts a worker's store, as in a process of its own."""
    started: list[CareStore] = []

    def one() -> CareStore:
        started.append(CareStore(open_engine(stores.care_url, role="care")))
        return started[-1]

    yield one
    for care in started:
        care.close()
        care.engine.dispose()


def handled(seq: int, outcome: str = "worked") -> Batch:
    return Batch(handled=[HandledPut(1, seq, AT, "a", "ADT^A01", "1", None, outcome)])


def test_a_clean_end_leaves_nothing_to_be_careful_about(start: Callable[[], CareStore]) -> None:
    first = start()
    assert not first.worker_started("one").unclean
    first.take_in_hand("one", 1, 7)
    first.worker_ended("one")
    first.close()
    assert start().worker_started("two").unclean is False


def test_a_death_is_counted_for_what_was_in_hand(start: Callable[[], CareStore]) -> None:
    for n in range(3):
        care = start()
        marks = care.worker_started(f"w{n}")
        assert marks.unclean is (n > 0)
        assert marks.deaths == ({(1, 7): n} if n else {})
        care.take_in_hand(f"w{n}", 1, 3)
        care.take_in_hand(f"w{n}", 1, 7)
        care.close()  # its locks end with it: it has died


def test_what_was_worked_before_the_death_is_not_suspected(start: Callable[[], CareStore]) -> None:
    care = start()
    care.worker_started("one")
    care.take_in_hand("one", 1, 7)
    care.save(handled(7))
    care.close()
    marks = start().worker_started("two")
    assert (marks.unclean, marks.deaths) == (True, {})


def test_a_released_message_is_suspected_although_it_was_handled_before(
    start: Callable[[], CareStore],
) -> None:
    care = start()
    care.worker_started("one")
    batch = handled(7, "paused")
    batch.aside.append(AsidePut(1, 7, 0, "a", "paused", "paused"))
    care.save(batch)
    care.take_in_hand("one", 1, 7)
    care.close()
    assert start().worker_started("two").deaths == {(1, 7): 1}


def test_careful_work_ends_when_all_is_put_down(start: Callable[[], CareStore]) -> None:
    care = start()
    care.worker_started("one")
    care.take_in_hand("one", 1, 7)
    care.close()
    second = start()
    assert second.worker_started("two").unclean
    second.save(handled(7, "refused"))
    second.put_down("two")
    second.worker_ended("two")
    second.close()
    marks = start().worker_started("three")
    assert (marks.unclean, marks.deaths) == (False, {})


def test_a_worker_that_lives_is_not_counted_dead(postgres_stores: Stores) -> None:
    first, second = (CareStore(open_engine(postgres_stores.care_url, role="care")) for _ in range(2))
    first.worker_started("one")
    assert not second.worker_started("two").unclean
    for care in (first, second):
        care.close()
        care.engine.dispose()


def test_a_worker_that_lost_its_connection_is_soon_known_to_live_again(postgres_stores: Stores) -> None:
    first, second = (CareStore(open_engine(postgres_stores.care_url, role="care")) for _ in range(2))
    first.worker_started("one")
    with psycopg.connect(postgres_stores.care_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    with pytest.raises(StoreError), first.slots_taken(SLOTS):
        pass
    with first.slots_taken(SLOTS) as slots:
        assert slots == set(SLOTS)
    assert not second.worker_started("two").unclean
    for care in (first, second):
        care.close()
        care.engine.dispose()


def test_two_workers_share_the_slots_and_none_is_worked_twice_at_once(postgres_stores: Stores) -> None:
    first, second = (CareStore(open_engine(postgres_stores.care_url, role="care")) for _ in range(2))
    first.worker_started("one")
    with first.slots_taken(SLOTS) as alone:
        assert alone == set(SLOTS)
        second.worker_started("two")
        with second.slots_taken(SLOTS) as none:
            assert none == set()
    first._counted_at = float("-inf")
    with first.slots_taken(SLOTS) as half, second.slots_taken(SLOTS) as other:
        assert len(half) == 32
        assert len(other) <= 32
        assert not half & other
    for care in (first, second):
        care.close()
        care.engine.dispose()


def test_on_sqlite_one_worker_has_the_folder(sqlite_stores: Stores) -> None:
    first, second = (CareStore(open_engine(sqlite_stores.care_url, role="care")) for _ in range(2))
    assert first.alone
    with first.slots_taken(SLOTS) as all_of_them:
        assert all_of_them == set(SLOTS)
    with pytest.raises(StoreError), second.slots_taken(SLOTS):
        pass
    first.close()
    with second.slots_taken(SLOTS) as now:
        assert now == set(SLOTS)
    for care in (first, second):
        care.close()
        care.engine.dispose()
