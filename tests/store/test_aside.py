"""What is set aside: in which order it is ready, what people do with it, and that each act is audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from broker.errors import OperationError
from broker.store.aside import AsideShelf
from broker.store.audit import Audit
from broker.store.batch import Aside, AsidePut, Batch, HandledPut
from broker.store.care import CareStore, Saved

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)


@pytest.fixture
def care(engine_of: Callable[..., Engine]) -> CareStore:
    return CareStore(engine_of("care"))


@pytest.fixture
def shelf(care: CareStore) -> AsideShelf:
    return AsideShelf(care.engine)


def set_aside(
    care: CareStore,
    seq: int,
    *,
    stream: int = 1,
    at: datetime = AT,
    slot: int = 0,
    state: str = "refused",
    channel: str = "north_adt",
    code: str = "missing",
    patient: int | None = None,
) -> None:
    batch = Batch(
        aside=[
            AsidePut(stream, seq, slot, channel, state, code, "PV1-45", "no time", "2026", patient, "ADT^A03")
        ],
        handled=[HandledPut(stream, seq, at, channel, "ADT^A03", f"M{seq}", patient, state, code)],
    )
    assert isinstance(care.save(batch), Saved)


def test_a_refused_message_is_ready_once_it_is_released(care: CareStore, shelf: AsideShelf) -> None:
    set_aside(care, 1)
    assert care.ready_aside([0]) == []
    assert shelf.release([(1, 1), (1, 9)], "ann", "mapping mended", AT) == 1
    assert care.ready_aside([0]) == [Aside(1, 1, 0, "north_adt", "released")]
    assert care.ready_aside([1]) == []
    assert Audit(care.engine).entries()[0].entry.about == "message/1.1"


def test_a_paused_message_is_ready_when_its_channel_is_not_paused(care: CareStore, shelf: AsideShelf) -> None:
    shelf.pause("north_adt", "ann", "upgrade", AT)
    assert care.paused() == {"north_adt"}
    set_aside(care, 1, state="paused")
    assert care.ready_aside([0]) == []
    shelf.resume("north_adt", "ann", "done", AT)
    assert care.paused() == set()
    assert care.ready_aside([0]) == [Aside(1, 1, 0, "north_adt", "paused")]
    assert [entry.entry.what for entry in Audit(care.engine).entries()] == ["resume", "pause"]


def test_what_is_ready_comes_in_the_order_of_the_journal(care: CareStore) -> None:
    set_aside(care, 9, stream=1, at=AT + timedelta(seconds=2), state="paused")
    set_aside(care, 1, stream=2, at=AT + timedelta(seconds=1), state="paused")
    set_aside(care, 2, stream=2, at=AT + timedelta(seconds=3), state="paused")
    assert [(a.stream, a.seq) for a in care.ready_aside([0])] == [(2, 1), (1, 9), (2, 2)]
    assert len(care.ready_aside([0], limit=2)) == 2


def test_a_message_that_is_worked_is_taken_once(care: CareStore, shelf: AsideShelf) -> None:
    set_aside(care, 1)
    shelf.release([(1, 1)], "ann", "", AT)
    taken = care.ready_aside([0])
    assert isinstance(care.save(Batch(taken=taken)), Saved)
    assert not isinstance(care.save(Batch(taken=taken)), Saved)
    assert shelf.one(1, 1) is None


def test_a_released_message_may_be_refused_again_in_one_save(care: CareStore, shelf: AsideShelf) -> None:
    set_aside(care, 1)
    shelf.release([(1, 1)], "ann", "", AT)
    again = AsidePut(1, 1, 0, "north_adt", "refused", "still_missing")
    assert isinstance(care.save(Batch(taken=care.ready_aside([0]), aside=[again])), Saved)
    found = shelf.one(1, 1)
    assert found and (found.state, found.code) == ("refused", "still_missing")


def test_a_dismissed_message_needs_a_reason_and_stays_dismissed(care: CareStore, shelf: AsideShelf) -> None:
    set_aside(care, 1)
    with pytest.raises(OperationError):
        shelf.dismiss([(1, 1)], "ann", " ", AT)
    assert shelf.dismiss([(1, 1)], "ann", "a test patient", AT) == 1
    assert shelf.release([(1, 1)], "ann", "", AT) == 0
    found = shelf.one(1, 1)
    assert found and (found.state, found.by, found.why) == ("dismissed", "ann", "a test patient")


def test_what_is_set_aside_is_grouped_by_its_cause(care: CareStore, shelf: AsideShelf) -> None:
    for seq in range(1, 4):
        set_aside(care, seq)
    set_aside(care, 4, code="unknown_code")
    set_aside(care, 5, channel="other")
    causes = shelf.causes()
    assert [(c.channel, c.code, c.count) for c in causes] == [
        ("north_adt", "missing", 3),
        ("north_adt", "unknown_code", 1),
        ("other", "missing", 1),
    ]
    assert [c.count for c in shelf.causes(channel="other")] == [1]
    first = shelf.of_cause("refused", "north_adt", "missing", "PV1-45", limit=2)
    rest = shelf.of_cause("refused", "north_adt", "missing", "PV1-45", after=(1, first[-1].seq))
    assert [one.seq for one in first + rest] == [1, 2, 3]
    assert rest[0].value == "2026"


def test_a_patients_record_is_incomplete_until_the_message_is_worked_or_dismissed(
    care: CareStore, shelf: AsideShelf
) -> None:
    set_aside(care, 1, patient=7)
    set_aside(care, 2, patient=8)
    assert care.incomplete([7, 8, 9]) == {7, 8}
    shelf.dismiss([(1, 1)], "ann", "a test patient", AT)
    shelf.release([(1, 2)], "ann", "", AT)
    assert care.incomplete([7, 8, 9]) == {8}
    care.save(Batch(taken=care.ready_aside([0])))
    assert care.incomplete([7, 8, 9]) == set()
