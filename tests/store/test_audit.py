"""The audit is a chain: what is changed, taken out or cut off is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from broker.store.audit import Audit
from broker.store.batch import AuditPut

AT = datetime(2026, 3, 5, 14, 10, 0, 123456, tzinfo=UTC)


@pytest.fixture
def audit(engine_of: Callable[..., Engine]) -> Audit:
    made = Audit(engine_of("care"))
    for n in range(1, 6):
        made.append([AuditPut("ann", "look", n, f"task/{n}.0", "10.0.0.1", "a call", '{"é": 1}')], AT)
    return made


def tamper(audit: Audit, sql: str) -> None:
    with audit._engine.begin() as connection:
        connection.execute(text(sql))


def test_an_untouched_chain_fits(audit: Audit) -> None:
    assert audit.verify() == 0
    assert audit.verify(upto=5) == 0


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("UPDATE audit SET who = 'bob' WHERE id = 3", 3),
        ("UPDATE audit SET patient = NULL WHERE id = 2", 2),
        ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 1) WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 1", 1),
    ],
)
def test_a_change_is_found_at_the_first_row_that_does_not_fit(audit: Audit, sql: str, first: int) -> None:
    tamper(audit, sql)
    assert audit.verify() == first


def test_a_missing_end_is_found_by_the_number_noted_elsewhere(audit: Audit) -> None:
    tamper(audit, "DELETE FROM audit WHERE id = 5")
    assert audit.verify() == 0
    assert audit.verify(upto=5) == 5


def test_entries_are_found_by_patient_and_by_who_the_newest_first(audit: Audit) -> None:
    assert [entry.number for entry in audit.entries(limit=2)] == [5, 4]
    assert [entry.number for entry in audit.entries(before=4, limit=2)] == [3, 2]
    (found,) = audit.entries(patient=2)
    assert (found.at, found.entry.why, found.entry.detail) == (AT, "a call", '{"é": 1}')
    assert audit.entries(who="bob") == []
