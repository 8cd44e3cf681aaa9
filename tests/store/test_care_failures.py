"""The care store when the database fails: an error that says so, nothing half saved, and life afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import text

from broker.errors import StoreError
from broker.store.care import (
    Batch,
    CareStore,
    CursorMove,
    HandledPut,
    NoticePut,
    Overtaken,
    RecordPut,
    Refusable,
    Saved,
)
from broker.store.open import Stores, open_engine

AT = datetime(2026, 3, 5, tzinfo=UTC)


def handled(seq: int, **other: object) -> HandledPut:
    return HandledPut(1, seq, AT, "a", "ADT^A01", str(seq), None, "worked", **other)


@pytest.fixture
def lite(sqlite_stores: Stores) -> Iterator[CareStore]:
    care = CareStore(open_engine(sqlite_stores.care_url, role="care"))
    yield care
    care.engine.dispose()


@pytest.fixture
def post(postgres_stores: Stores) -> Iterator[CareStore]:
    care = CareStore(open_engine(postgres_stores.care_url, role="care"))
    yield care
    care.engine.dispose()


def set_pages(care: CareStore, pages: int) -> None:
    with care.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_is_a_store_error_and_nothing_of_the_batch_is_there(lite: CareStore) -> None:
    set_pages(lite, 1)  # it is set to what is there, at least
    notices = [NoticePut(1, seq, "Discharge", 0, 1, b"x" * 4000) for seq in range(200)]
    batch = Batch(cursors=[CursorMove(0, 1, 0, 9)], notices=notices)
    with pytest.raises(StoreError):
        lite.save(batch)
    assert lite.cursors([0]) == {}
    set_pages(lite, 1_000_000)
    assert isinstance(lite.save(batch), Saved)


def test_a_connection_that_is_gone_is_a_store_error_and_the_next_one_works(
    post: CareStore, postgres_stores: Stores
) -> None:
    assert isinstance(post.save(Batch(handled=[handled(1)])), Saved)
    with psycopg.connect(postgres_stores.care_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreError):
        post.save(Batch(handled=[handled(2)]))
    assert isinstance(post.save(Batch(handled=[handled(2)])), Saved)


def test_a_database_that_cannot_be_reached_is_a_store_error() -> None:
    care = CareStore(open_engine("postgresql://postgres@127.0.0.1:1/none", role="care"))
    with pytest.raises(StoreError):
        care.cursors([0])
    with pytest.raises(StoreError):
        care.save(Batch(handled=[handled(1)]))


def test_a_folder_that_is_gone_is_a_store_error(tmp_path: object) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/data/care.db", role="care")
    care = CareStore(engine)
    with pytest.raises(Exception, match="no such table"):  # ours, not the store's: nobody has migrated
        care.cursors([0])
    engine.dispose()


def test_postgresql_refuses_a_text_with_nul_and_the_rest_can_be_saved_apart(post: CareStore) -> None:
    with pytest.raises(Refusable):
        post.save(Batch(handled=[handled(1), handled(2, why="a\0b")]))
    assert isinstance(post.save(Batch(handled=[handled(1)])), Saved)
    with post.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM handled")).scalar() == 1


def test_a_batch_that_contradicts_itself_is_overtaken_by_itself(lite: CareStore, post: CareStore) -> None:
    for care in (lite, post):
        (patient,) = care.reserve(1)
        twice = [NoticePut(1, 1, "Discharge", 0, patient, b"")] * 2
        assert care.save(Batch(notices=twice)) == Overtaken("unique")
        assert care.save(Batch(untouched=[(patient, 1)])) == Overtaken("record")


def test_a_change_of_a_patient_whose_record_is_not_named_is_a_fault_of_ours(lite: CareStore) -> None:
    from broker.care.rows import Cause, TimerPut

    timer = TimerPut(patient=5, n=0, kind="overdue", due_at=AT, cause=Cause(None))
    with pytest.raises(ValueError, match="patient 5"):
        lite.save(Batch(records=[RecordPut(6, 0, 6, b"")], changes=[timer]))
