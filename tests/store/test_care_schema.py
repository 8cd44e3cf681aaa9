"""The migrations and the typed tables say the same, on both stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from broker.store.care_schema import METADATA
from broker.store.care_sql import MOVES, PUTS, Put
from broker.store.open import Stores, open_engine


def test_a_migrated_database_is_what_the_tables_say(engine_of: Callable[..., Engine]) -> None:
    with engine_of("care").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_the_databases_guard_the_same_states_as_the_tables(engine_of: Callable[..., Engine]) -> None:
    with engine_of("care").connect() as connection:
        found = inspect(connection)
        for table in METADATA.sorted_tables:
            named = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert {c["name"] for c in found.get_check_constraints(table.name)} == named


def test_what_belongs_to_a_patient_is_clustered_on_sqlite(sqlite_stores: Stores) -> None:
    engine = open_engine(sqlite_stores.care_url, role="care")
    with engine.connect() as connection:
        for name in ("task", "encounter", "handled", "seen", "identifier"):
            sql = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": name}
            ).scalar()
            assert "WITHOUT ROWID" in str(sql)
    engine.dispose()


@pytest.mark.parametrize("put", [*vars(PUTS).values(), MOVES.NEW_CURSOR])
def test_the_constants_name_columns_that_are_there(put: object) -> None:
    if isinstance(put, Put):
        assert set(put.columns) <= {column.name for column in METADATA.tables[put.table].columns}
