"""The two databases: where they are, how they are opened, how they come to the newest schema."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select, text
from sqlalchemy.exc import DBAPIError, StatementError

from broker.errors import StoreError
from broker.store.open import (
    FolderLock,
    Stores,
    migrate,
    migrate_all,
    open_engine,
    reading,
    require_newest,
    sqlite_path,
    store_urls,
)
from broker.store.types import Utc


@pytest.mark.parametrize("role", ["journal", "care"])
def test_a_sqlite_file_is_synced_at_each_commit_and_gives_its_pages_back(sqlite_stores: Stores, role):
    url = sqlite_stores.journal_url if role == "journal" else sqlite_stores.care_url
    engine = open_engine(url, role=role)
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "auto_vacuum", "busy_timeout", "wal_autocheckpoint")
        }
    engine.dispose()
    checkpoint = 250 if role == "journal" else 16000
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "auto_vacuum": 2,
        "busy_timeout": 10_000,
        "wal_autocheckpoint": checkpoint,
    }


def test_the_data_folder_and_its_files_are_the_owners_only(tmp_path: Path):
    stores = store_urls(tmp_path / "new" / "data")
    migrate_all(stores)
    engine = open_engine(stores.care_url, role="care")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 1")
        files = list((tmp_path / "new" / "data").iterdir())
        assert {file.suffix for file in files} >= {".db", ".db-wal", ".db-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    engine.dispose()
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


def test_opening_a_file_again_keeps_the_locks_that_this_process_has_on_it(sqlite_stores: Stores):
    """Or another process that ends would remove the log that this one goes on reading and writing."""
    first = open_engine(sqlite_stores.care_url, role="care")
    with first.connect() as connection:
        connection.execute(text("SELECT count(*) FROM handled"))
    again = open_engine(sqlite_stores.care_url, role="care")
    again.connect().close()
    other = (
        "import sqlite3, sys\n"
        "other = sqlite3.connect(sys.argv[1])\n"
        "with other:\n"
        "    other.execute(f'CREATE TABLE {sys.argv[2]} (n)')\n"
        "other.close()\n"
    )
    for table in ("by_another", "by_a_third"):
        path = sqlite_path(sqlite_stores.care_url)
        subprocess.run([sys.executable, "-c", other, path, table], check=True)
        with first.connect() as connection:
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
    first.dispose()
    again.dispose()


def test_a_reader_cannot_write(engine_of):
    with engine_of("care", read_only=True).connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("CREATE TABLE x (y integer)"))


def test_a_reader_sees_one_snapshot(engine_of):
    writer = engine_of("care")
    with writer.begin() as connection:
        connection.execute(text("CREATE TABLE x (y integer)"))
    for reader in (engine_of("care", read_only=True), reading(writer)):
        with reader.connect() as connection:
            before = connection.execute(text("SELECT count(*) FROM x")).scalar()
            with writer.begin() as other:
                other.execute(text("INSERT INTO x VALUES (1)"))
            assert connection.execute(text("SELECT count(*) FROM x")).scalar() == before


def test_both_databases_of_postgres_are_schemas_of_one(postgres_stores: Stores):
    for role in ("journal", "care"):
        engine = open_engine(postgres_stores.journal_url, role=role)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_schema()")).scalar() == role
        engine.dispose()


def test_a_time_comes_back_as_it_was_in_utc(engine_of):
    engine = engine_of("care")
    table = Table("x", MetaData(), Column("at", Utc))
    at = datetime(2026, 3, 5, 14, 10, 0, 123457, tzinfo=timezone(timedelta(hours=-5)))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), [{"at": at}, {"at": None}])
        found = connection.execute(select(table.c.at)).scalars().all()
    assert found == [at, None] or found == [None, at]
    assert all(time is None or time.tzinfo is UTC for time in found)


def test_a_time_without_zone_is_refused(engine_of):
    engine = engine_of("care")
    table = Table("x", MetaData(), Column("at", Utc))
    with engine.begin() as connection:
        table.create(connection)
        with pytest.raises(StatementError, match="without a zone"):
            connection.execute(insert(table), [{"at": datetime(2026, 3, 5)}])


def test_migrating_again_changes_nothing(stores: Stores, engine_of):
    migrate_all(stores)
    require_newest(engine_of("journal"), "journal")


def test_several_processes_may_migrate_at_once(stores: Stores, engine_of):
    path = sqlite_path(stores.journal_url)
    if path:
        path.unlink()
    else:
        with engine_of("journal").begin() as connection:
            connection.execute(text("DROP SCHEMA journal CASCADE"))
    failures = []

    def migrate_it() -> None:
        try:
            migrate(stores.journal_url, "journal")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    require_newest(engine_of("journal"), "journal")


@pytest.mark.parametrize("role", ["journal", "care"])
def test_a_newer_schema_is_refused(stores: Stores, engine_of, role):
    url = stores.journal_url if role == "journal" else stores.care_url
    engine = engine_of(role)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_tomorrow'"))
    for refusing in (lambda: migrate(url, role), lambda: require_newest(engine, role)):
        with pytest.raises(StoreError) as caught:
            refusing()
        assert caught.value.code == "newer_schema"


def test_an_older_schema_is_not_worked_on(engine_of):
    engine = engine_of("journal")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(StoreError) as caught:
        require_newest(engine, "journal")
    assert caught.value.code == "older_schema"


def test_a_folder_has_one_intake(tmp_path: Path):
    first = FolderLock(tmp_path, "intake")
    with pytest.raises(StoreError) as caught:
        FolderLock(tmp_path, "intake")
    assert caught.value.code == "in_use"
    first.close()
    FolderLock(tmp_path, "intake").close()


def test_a_folder_may_have_an_odd_name(tmp_path: Path):
    folder = tmp_path / "a b#c%20d?e"
    stores = store_urls(folder)
    migrate_all(stores)
    engine = open_engine(stores.care_url, role="care", read_only=True)
    require_newest(engine, "care")
    engine.dispose()
    assert (folder / "care.db").exists() and sqlite_path(stores.care_url) == folder / "care.db"


def test_a_store_is_postgres_or_nothing(tmp_path: Path):
    with pytest.raises(StoreError):
        store_urls(tmp_path, "mysql://x")
