"""The journal's constant SQL goes by its keys, on a journal with rows in it."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Connection, text

from broker.store import journal_sql as sql
from broker.store.journal import Entry
from broker.store.journal_rows import key_of


@pytest.fixture
def store(open_journal, engine_of):
    journal = open_journal()
    for _ in range(4):
        journal.accept_all(Entry(bytes(100), n % 64, "c") for n in range(1000))
    journal.stop()
    with engine_of("journal").connect() as connection:
        connection.execute(text("ANALYZE"))
        yield connection


def plan(store: Connection, statement: str, parameters: tuple[object, ...]) -> str:
    explain = "EXPLAIN QUERY PLAN " if store.dialect.name == "sqlite" else "EXPLAIN "
    rows = store.exec_driver_sql(explain + statement, parameters).fetchall()
    return "\n".join(str(row[-1]) for row in rows)


def reads(store: Connection) -> sql.Reads:
    return sql.SQLITE if store.dialect.name == "sqlite" else sql.POSTGRES


def by_key(plan: str, table: str) -> bool:
    if "USING INTEGER PRIMARY KEY" in plan:
        return f"SEARCH {table} USING INTEGER PRIMARY KEY" in plan and f"SCAN {table}" not in plan
    return f"{table}_pkey" in plan.replace("key_pkey", "pkey") and f"Seq Scan on {table}" not in plan


def test_a_run_is_a_range_of_the_key(store):
    found = plan(store, reads(store).scan, (key_of(1, 100), key_of(2, 0), 400))
    assert by_key(found, "message"), found
    assert "SORT" not in found.upper().replace("SORTED", ""), found


def test_rows_are_found_by_their_keys(store):
    keys = [key_of(1, seq) for seq in range(100, 110)]
    among = "[" + ",".join(map(str, keys)) + "]" if store.dialect.name == "sqlite" else keys
    found = plan(store, reads(store).heads, (among,))
    assert by_key(found, "message"), found
    days = () if store.dialect.name == "sqlite" else ([20000, 20001],)
    found = plan(store, reads(store).bodies, (among, *days))
    assert "Seq Scan on bytes" not in found and "SCAN bytes" not in found, found


def test_rows_that_lie_together_are_read_as_a_range(store):
    between = (key_of(1, 100), key_of(1, 300))
    found = plan(store, reads(store).heads_between, between)
    assert by_key(found, "message"), found
    days = () if store.dialect.name == "sqlite" else ([20000, 20001],)
    found = plan(store, reads(store).bodies_between, (*between, *days))
    assert "Seq Scan on bytes" not in found and "SCAN bytes" not in found, found


def test_a_page_is_a_range_of_the_key(store):
    found = plan(store, reads(store).range, (key_of(1, 100), key_of(1, 200), 100))
    assert by_key(found, "message"), found


def test_the_greatest_of_a_stream_is_one_row_from_its_end(store):
    found = plan(store, reads(store).streams, (0,))
    assert by_key(found, "message"), found


def test_the_latest_time_is_looked_for_at_the_streams_ends(store):
    latest = sql.SQLITE_LATEST if store.dialect.name == "sqlite" else sql.POSTGRES_LATEST
    found = plan(store, latest, ())
    assert by_key(found, "message"), found


@pytest.mark.postgres
def test_only_the_partitions_of_the_days_asked_for_are_read(postgres_stores, open_journal_at):
    journal = open_journal_at(postgres_stores.journal_url)
    receipt = journal.accept(Entry(b"x", 1, "c"))
    with psycopg.connect(postgres_stores.journal_url, options="-c search_path=journal") as connection:
        day = connection.execute("SELECT day FROM message").fetchone()[0]
        found = connection.execute(
            "EXPLAIN " + sql.POSTGRES.bodies, ([key_of(receipt.stream, 1)], [day])
        ).fetchall()
    touched = {word for (row,) in found for word in row.split() if word.startswith("bytes_2")}
    assert len({word.split("_pkey")[0] for word in touched}) == 1, found
