"""The query plans of the very constants that run: every one goes along an index, on both stores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, Select, text

from broker.store.aside import NEXT_CHANNEL, RELEASED, RESUMED, for_store
from broker.store.care import Batch, CareStore, RecordPut
from broker.store.care_sql import FORGET_SEEN, LOADS, MOVES, Load
from broker.store.claims import DUE, DUE_NOW, EARLIER, QUEUED, WAITING
from broker.store.hot import worded
from broker.store.open import Stores, open_engine
from broker.store.patient_reads import DELIVERIES, ENDS, TIMELINE
from broker.store.reads import (
    asked_deliveries,
    asked_messages,
    asked_patients,
    asked_tasks,
    asked_undated_tasks,
)

AT = datetime(2026, 3, 5, tzinfo=UTC)
MICROS = 1_772_668_800_000_000

LITE_LOADS = [
    (LOADS.BY_NUMBER, '[["a","1"]]', {"identifier"}),
    (LOADS.BY_VISIT, '[["a","1"]]', {"visit_key"}),
    (LOADS.RECORDS, "[1]", {"record"}),
    (LOADS.LINKED, "[1]", {"record_linked"}),
    (LOADS.ENDS, "[1]", {"record"}),
    (LOADS.SEEN, '[["a","b","c","d"]]', {"seen"}),
    (LOADS.CURSORS, "[1]", {"cursor"}),
]


def lite_plan(engine: Engine, sql: str, given: Any) -> str:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given).fetchall()
    return "\n".join(row[3] for row in rows)


def scans(plan: str) -> list[str]:
    """Steps that go over a whole table; keys that come as JSON, and chains, are short."""
    short = (
        "SCAN k ",
        "SCAN json_each",
        "SCAN line",
        "SCAN l",
        "SCAN sent",
        "SCAN s",
        "SCAN c",
        "SCAN chain",
    )
    return [
        step
        for step in plan.splitlines()
        if step.startswith("SCAN") and "INDEX" not in step and not f"{step} ".startswith(short)
    ]


@pytest.fixture
def lite(sqlite_stores: Stores) -> Iterator[Engine]:
    engine = open_engine(sqlite_stores.care_url, role="care")
    yield engine
    engine.dispose()


@pytest.mark.parametrize(("load", "keys", "found"), LITE_LOADS)
def test_loads_search_by_key_on_sqlite(lite: Engine, load: Load, keys: str, found: set[str]) -> None:
    plan = lite_plan(lite, load.sqlite, (keys,))
    assert not scans(plan), plan
    assert "SEARCH" in plan


@pytest.mark.parametrize("move", [MOVES.CURSOR, MOVES.ASIDE, MOVES.RECORD, MOVES.UNTOUCHED, MOVES.TIMER_DONE])
def test_moves_search_by_key_on_sqlite(lite: Engine, move: Load) -> None:
    plan = lite_plan(lite, move.sqlite, (1,) * move.sqlite.count("?"))
    assert plan.startswith("SEARCH"), plan


QUERIES = [
    (DUE, {"destination": "a/b", "now": MICROS, "limit": 10}, ["delivery_due", "delivery_waiting"]),
    (WAITING, {"destination": "a/b", "lane": 1, "limit": 10}, ["delivery_waiting"]),
    (EARLIER, {"id": 1}, []),
    (DUE_NOW, {"destination": "a/b", "now": MICROS}, ["delivery_due"]),
    (QUEUED, {}, []),
    (TIMELINE, {"end": 1, "limit": 10}, []),
    (DELIVERIES, {"end": 1}, []),
    (ENDS, {"key": 65536}, []),
    (FORGET_SEEN, {"at": MICROS, "limit": 10}, ["seen_by_time"]),
]


@pytest.mark.parametrize(("sql", "given", "indexes"), QUERIES)
def test_queries_go_along_their_index_on_sqlite(
    lite: Engine, sql: str, given: dict[str, Any], indexes: list[str]
) -> None:
    plan = lite_plan(lite, worded(sql, True), given)
    assert not scans(plan), plan
    for index in indexes:
        assert index in plan


READY = [
    (RELEASED, {"slots": "[1]", "limit": 10}, "aside_released"),
    (RESUMED, {"slots": "[1]", "channel": "a", "limit": 10}, "aside_paused"),
    (NEXT_CHANNEL, {"after": ""}, "aside_paused"),
]


@pytest.mark.parametrize(("sql", "given", "index"), READY)
def test_what_is_ready_aside_goes_along_its_index_on_sqlite(
    lite: Engine, sql: str, given: dict[str, Any], index: str
) -> None:
    plan = lite_plan(lite, worded(sql, True), given)
    assert index in plan and "TEMP B-TREE" not in plan, plan


LISTS = [
    (asked_messages(None, None, None, None, None, 10), "handled_by_time"),
    (asked_messages(None, "ADT^A03", None, AT, None, 10), "handled_by_time"),
    (asked_messages("a", None, None, AT, (AT, 1, 1), 10), "handled_of_channel"),
    (asked_messages(None, None, "refused", None, None, 10), "handled_not_worked"),
    (asked_tasks(None, None, None, AT, (AT, 1, 1), 10), "task_open"),
    (asked_tasks("coordinator", None, None, None, None, 10), "task_open"),
    (asked_undated_tasks(None, None, None, None, 10), "task_open"),
    (asked_deliveries("doubtful", None, None, 10), "delivery_by_state"),
    (asked_deliveries("queued", "a/b", 100, 10), "delivery_by_state"),
    (asked_deliveries(None, "a/b", None, 10), "PRIMARY KEY"),
    (asked_patients("miller, a", None, None, None, None, 10), "patient_by_name"),
    (asked_patients(None, "1", "north", None, None, 10), "PRIMARY KEY"),
    (asked_patients(None, None, None, "1950-01-01", None, 10), "patient_by_birth"),
]


@pytest.mark.parametrize(("asked", "index"), LISTS)
def test_lists_go_along_an_index_on_sqlite(lite: Engine, asked: Select[Any], index: str) -> None:
    with lite.connect() as connection:
        compiled = asked.compile(lite)
        given = tuple(compiled.params[name] for name in compiled.positiontup or ())
        bound = tuple(MICROS if isinstance(value, datetime) else value for value in given)
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", bound).fetchall()
    plan = "\n".join(row[3] for row in rows)
    assert index in plan, plan
    assert not scans(plan), plan
    assert "TEMP B-TREE" not in plan or index in ("PRIMARY KEY", "patient_by_birth"), plan


@pytest.fixture
def filled(postgres_stores: Stores) -> Iterator[Engine]:
    """Enough rows that a plan which reads all of them would be told from one that does not."""
    engine = open_engine(postgres_stores.care_url, role="care")
    care = CareStore(engine)
    records = [
        RecordPut(p, 0, p, b"h" * 200, {0: b"s" * 200}, [("north", f"{p}")], [("north", f"V{p}")])
        for p in care.reserve(3000)
    ]
    care.save(Batch(records=records))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO delivery (name, lane, act, version, recipient, destination, address, state,"
                " not_before, asked_at) SELECT g, g, 'tell', 1, '', 'a/b', '',"
                " CASE WHEN g % 100 = 0 THEN 'queued' ELSE 'delivered' END, now(), now()"
                " FROM generate_series(1, 5000) g"
            )
        )
        connection.execute(text("ANALYZE"))
    yield engine
    engine.dispose()


def post_plan(engine: Engine, sql: str, given: Any) -> str:
    with engine.connect() as connection:
        return json.dumps(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", given).scalar())


def keys_of(load: Load) -> tuple[Any, ...]:
    keys = [n for n in range(1, 301)]
    return tuple(
        keys if "int[]" in part else [str(n) for n in keys] for part in load.postgres.split("%s::")[1:]
    )


@pytest.mark.parametrize("load", [LOADS.BY_NUMBER, LOADS.BY_VISIT, LOADS.RECORDS, LOADS.LINKED, LOADS.ENDS])
def test_loads_search_by_key_on_postgresql(filled: Engine, load: Load) -> None:
    with (
        filled.connect() as connection
    ):  # 300 of 3,000 may well be read in one go: what matters is that it can
        connection.exec_driver_sql("SET enable_seqscan = off")
        rows = connection.exec_driver_sql(f"EXPLAIN {load.postgres}", keys_of(load)).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "Index" in plan and "Seq Scan" not in plan, plan


def test_records_are_read_by_ranges_of_their_key_on_postgresql(filled: Engine) -> None:
    plan = post_plan(filled, LOADS.RECORDS.postgres, ([5, 6, 7],))
    assert "record_pkey" in plan and "Seq Scan" not in plan, plan


@pytest.mark.parametrize(("sql", "given", "indexes"), QUERIES)
def test_queries_go_along_their_index_on_postgresql(
    filled: Engine, sql: str, given: dict[str, Any], indexes: list[str]
) -> None:
    at = {name: AT if name in ("now", "at") else value for name, value in given.items()}
    plan = post_plan(filled, worded(sql, False), at)
    for index in indexes:
        assert index in plan, plan
    read_whole = re.findall(r'"Seq Scan"[^{}]*?"Relation Name": "(\w+)"', plan)
    assert not {"delivery", "record"} & set(read_whole), plan  # the tables that are filled here


@pytest.mark.parametrize(("sql", "given", "index"), READY)
def test_what_is_ready_aside_can_go_along_its_index_on_postgresql(
    filled: Engine, sql: str, given: dict[str, Any], index: str
) -> None:
    keys = {name: [1] if name == "slots" else value for name, value in given.items()}
    with filled.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        rows = connection.exec_driver_sql(f"EXPLAIN {worded(for_store(sql, False), False)}", keys).fetchall()
    assert index in "\n".join(row[0] for row in rows)
