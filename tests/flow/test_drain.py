"""One destination: claimed before the first byte, settled once, in order for each patient, never stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from prometheus_client.registry import CollectorRegistry
from sqlalchemy import Engine, text
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock

from broker.care.facts import FactId
from broker.care.rows import Cause, DeliveryPut, NotificationPut
from broker.channel import Retry
from broker.destinations import Parcel
from broker.errors import StoreError
from broker.flow.delivery_counts import DeliveryCounts
from broker.flow.drain import Drain, World
from broker.flow.settling import Terms
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.batch import AuditPut, Batch, RecordPut
from broker.store.care import CareStore, Saved
from broker.store.deliveries import Claimed, Deliveries
from broker.store.locks import open_locks
from broker.store.open import Stores, open_engine

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
EHR = "westside/ehr"
CAUSE = Cause(FactId(1, 1, "Discharge", 0))
ANN = AuditPut("ann", "pause", why="they asked")


@dataclass
class Practice:
    """A destination that answers as it is told to; None: not yet."""

    answer: Callable[[Parcel], Outcome | None] = lambda parcel: Delivered("AA")
    got: list[Parcel] = field(default_factory=list)
    waiting: list[Deferred[Outcome]] = field(default_factory=list)
    closed: bool = False

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        self.got.append(parcel)
        answer = self.answer(parcel)
        if answer is not None:
            return succeed(answer)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def close(self) -> Deferred[None]:
        self.closed = True
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(Unclear("closed"))
        return succeed(None)


class House:
    """Patients who are told things, a practice, and the drain between; time passes when it is told to."""

    def __init__(self, engine: Engine, **terms: Any) -> None:
        self.engine, self.care = engine, CareStore(engine)
        self.locks = open_locks(engine)
        self.out = Deliveries(engine, self.locks)
        self.clock, self.practice = Clock(), Practice()
        self.versions: dict[int, int] = {}
        self.asked, self.began = 0, datetime.now(UTC)
        self.registry = CollectorRegistry()
        self.counts = DeliveryCounts(self.registry)
        self.drain = self.new_drain(**terms)

    def new_drain(self, **terms: Any) -> Drain:
        plain: dict[str, Any] = {
            "connections": 1,
            "safe_to_repeat": True,
            "claim_secs": 60,
            "retry": Retry(first_secs=5, give_up_hours=72),
        }
        world = World(
            clock=self.clock,
            now=self.now,
            in_thread=maybeDeferred,
            chance=lambda: 1.0,
            counts=self.counts,
            owner="here:1",
            alone=True,
            drain_secs=10,
        )
        return Drain(EHR, Terms(**plain | terms), lambda: self.practice, self.out, self.render, world)

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.clock.seconds())

    def render(self, one: Claimed, send_before: float) -> Parcel | Outcome:
        return Parcel(
            delivery=one.name,
            content=one.content,
            act=one.act,
            address=one.address,
            send_before=send_before,
        )

    def patient(self) -> int:
        (patient,) = self.care.reserve(1)
        self._save(patient, [])
        return patient

    def tell(self, patient: int, notification: int = 0, act: str = "tell", version: int = 1) -> str:
        """Puts the notification as it is now and asks for a delivery; returns the delivery's name."""
        self.asked += 1
        name = uuid5(NAMESPACE_OID, str(self.asked))
        said = {"version": version, "patient": f"Muster{patient}"}
        put = NotificationPut(
            patient=patient, n=notification, name=uuid5(NAMESPACE_OID, "n"), version=version, encounter=0,
            kind="discharge", state="retracted" if act == "retract" else "standing", urgency="routine",
            about="1", occurred_at=AT, content=said, verb=act, cause=CAUSE,
        )  # fmt: skip
        delivery = DeliveryPut(
            name=name, patient=patient, notification=notification, version=version, act=act, recipient="pcp",
            destination=EHR, address="a1", not_before=self.now(), cause=CAUSE,
        )  # fmt: skip
        self._save(patient, [put, delivery])
        return name.hex

    def _save(self, patient: int, changes: list[Any]) -> None:
        version = self.versions.get(patient, 0)
        saved = self.care.save(Batch(records=[RecordPut(patient, version, patient, b"")], changes=changes))
        assert isinstance(saved, Saved), saved
        self.versions[patient] = version + 1

    def start(self) -> None:
        self.drain.startService()

    def news(self) -> None:
        """As the look at the news does it."""
        if self.out.due([EHR], self.now()):
            self.drain.news()

    def stop(self) -> bool:
        """Whether it ended at once."""
        ended = self.drain.stopService()
        return bool(ended.called)

    def column(self, column: str, table: str = "delivery") -> list[Any]:
        order = "id" if table == "delivery" else "delivery, number"
        with self.engine.begin() as connection:
            return list(connection.execute(text(f"SELECT {column} FROM {table} ORDER BY {order}")).scalars())

    @property
    def states(self) -> list[str]:
        return self.column("state")


Made = Callable[..., House]


@pytest.fixture
def house(stores: Stores) -> Iterator[Made]:
    made: list[House] = []

    def make(**terms: Any) -> House:
        made.append(House(open_engine(stores.care_url, role="care"), **terms))
        return made[-1]

    yield make
    for one in made:
        if one.drain.running:
            one.drain.stopService()
            one.practice.close()
        one.locks.close()
        one.engine.dispose()


def test_a_delivery_is_brought_there_and_settled_with_the_proof(house: Made) -> None:
    here = house()
    name = here.tell(here.patient())
    here.start()
    assert [parcel.delivery for parcel in here.practice.got] == [name]
    assert (here.states, here.column("proof")) == (["delivered"], ["AA"])
    assert here.column("state", "attempt") == ["delivered"]
    assert b"Muster" in bytes(here.column("body", "attempt")[0])


def test_the_attempt_is_on_disk_before_the_first_byte_leaves(house: Made) -> None:
    here = house()
    here.tell(here.patient())
    seen: list[Any] = []

    def look(parcel: Parcel) -> Outcome:
        seen.append((here.states, here.column("state", "attempt")))
        return Delivered("AA")

    here.practice.answer = look
    here.start()
    assert seen == [(["sending"], ["sending"])]


def test_what_comes_while_it_waits_is_sent_at_the_news(house: Made) -> None:
    here = house()
    here.start()
    here.tell(here.patient())
    assert here.practice.got == []
    here.news()
    assert here.states == ["delivered"]


def test_what_failed_is_tried_again_with_the_same_id_after_waits_that_double(house: Made) -> None:
    here = house()
    name = here.tell(here.patient())
    here.practice.answer = lambda parcel: Failed("unreachable")
    here.start()
    waits = []
    for _ in range(4):
        assert here.states == ["queued"]
        tried = len(here.practice.got)
        waits.append(0)
        while len(here.practice.got) == tried:
            here.clock.advance(1)
            here.news()
            waits[-1] += 1
    assert waits == [5, 10, 20, 40]  # turns of a second
    here.practice.answer = lambda parcel: Delivered("AA")
    here.clock.pump([1.0] * 100)
    assert here.states == ["delivered"]
    assert {parcel.delivery for parcel in here.practice.got} == {name}
    assert here.column("state", "attempt") == ["failed"] * 5 + ["delivered"]


def test_what_fails_for_too_long_is_given_up(house: Made) -> None:
    here = house(retry=Retry(first_secs=5, give_up_hours=1))
    here.tell(here.patient())
    here.practice.answer = lambda parcel: Failed("unreachable")
    here.start()
    here.clock.pump([10.0] * 400)
    assert here.states == ["given_up"]


def test_an_unclear_one_is_repeated_where_repeating_is_safe(house: Made) -> None:
    here = house()
    here.tell(here.patient())
    here.practice.answer = lambda parcel: Unclear("no_answer")
    here.start()
    assert here.states == ["queued"]
    here.practice.answer = lambda parcel: Delivered("AA")
    here.clock.pump([1.0] * 20)
    assert here.states == ["delivered"]


def test_an_unclear_one_is_a_persons_to_judge_where_it_is_not_and_holds_its_patient_alone(
    house: Made,
) -> None:
    here = house(safe_to_repeat=False)
    first, second = here.patient(), here.patient()
    doubtful = here.tell(first)
    here.tell(first, notification=1)
    here.tell(second)
    here.practice.answer = lambda parcel: (
        Unclear("no_answer") if parcel.delivery == doubtful else Delivered("AA")
    )
    here.start()
    here.clock.pump([1.0] * 300)
    assert here.states == ["doubtful", "queued", "delivered"]
    assert len(here.practice.got) == 2


def test_after_a_rejected_one_the_patients_later_ones_go_back_and_come_with_the_next_claim(
    house: Made,
) -> None:
    here = house()
    patient = here.patient()
    first = here.tell(patient)
    here.tell(patient, notification=1)
    here.practice.answer = lambda parcel: Rejected("AE") if parcel.delivery == first else Delivered("AA")
    here.start()
    here.clock.pump([1.0] * 20)
    assert here.states == ["rejected", "delivered"]
    assert here.column("state", "attempt") == ["rejected", "unsent", "delivered"]


def test_one_patients_trouble_does_not_stop_another(house: Made) -> None:
    here = house()
    first, second = here.patient(), here.patient()
    bad = here.tell(first)
    here.tell(first, notification=1)
    here.tell(second)
    here.practice.answer = lambda parcel: Failed("AR") if parcel.delivery == bad else Delivered("AA")
    here.start()
    assert here.states == ["queued", "queued", "delivered"]


def test_a_destination_that_is_down_is_probed_and_not_tried_for_everybody(house: Made) -> None:
    here = house()
    for _ in range(40):
        here.tell(here.patient())
    here.practice.answer = lambda parcel: Failed("unreachable")
    here.start()
    assert len(here.practice.got) == 3
    here.clock.advance(4.9)
    here.news()
    assert len(here.practice.got) == 3
    here.clock.advance(0.1)
    assert len(here.practice.got) == 4
    here.practice.answer = lambda parcel: Delivered("AA")
    here.clock.pump([1.0] * 40)
    here.news()
    assert here.states == ["delivered"] * 40


def test_nothing_is_sent_later_than_it_may_be_after_its_claim(house: Made) -> None:
    here = house(claim_secs=30)
    for _ in range(3):
        here.tell(here.patient())
    here.practice.answer = lambda parcel: None
    here.start()
    assert here.practice.got[0].send_before == 30
    here.clock.advance(31)
    here.practice.answer = lambda parcel: Delivered("AA")
    here.practice.waiting.pop().callback(Delivered("AA"))
    assert here.column("state", "attempt") == ["delivered", "unsent", "delivered", "unsent", "delivered"]
    assert here.states == ["delivered"] * 3
    assert here.practice.got[1].send_before == 61


def test_connections_split_the_patients_and_one_patients_stay_in_order(house: Made) -> None:
    here = house(connections=2)
    first, second = here.patient(), here.patient()
    slow = [here.tell(first), here.tell(first, notification=1)]
    here.tell(second)
    here.practice.answer = lambda parcel: None if parcel.delivery == slow[0] else Delivered("AA")
    here.start()
    assert here.column("state") == ["sending", "sending", "delivered"]
    here.practice.waiting.pop().callback(Delivered("AA"))
    assert [parcel.delivery for parcel in here.practice.got if parcel.delivery in slow] == slow
    assert here.states == ["delivered"] * 3
    assert len({parcel.lane for parcel in here.practice.got}) == 2


def test_what_was_retracted_meanwhile_is_not_told(house: Made) -> None:
    here = house()
    patient = here.patient()
    here.tell(patient)
    here.tell(patient, act="retract", version=2)
    here.start()
    assert here.practice.got == []
    assert here.states == ["withdrawn", "withdrawn"]


def test_what_is_told_is_what_the_notification_says_at_that_moment(house: Made) -> None:
    here = house()
    patient = here.patient()
    here.tell(patient)
    here.tell(patient, act="correct", version=2)
    here.start()
    assert [parcel.content["version"] for parcel in here.practice.got] == [2]


def test_what_another_owner_left_is_unclear(house: Made) -> None:
    here = house()
    here.tell(here.patient())
    before = here.out.own(EHR, "there:1")
    assert before is not None
    here.out.claim(EHR, before, 10, here.now())
    here.start()
    here.clock.pump([1.0] * 5)
    assert here.column("state", "attempt") == ["unclear", "delivered"]


def test_an_owner_that_was_overtaken_settles_nothing_and_owns_anew(house: Made) -> None:
    here = house()
    here.tell(here.patient())
    here.practice.answer = lambda parcel: None
    here.start()
    assert here.out.own(EHR, "there:1") is not None
    here.practice.answer = lambda parcel: Delivered("AA")
    here.practice.waiting.pop().callback(Rejected("AE"))
    here.clock.pump([1.0] * 10)
    assert here.column("state", "attempt") == ["unclear", "delivered"]


def test_a_paused_destination_gets_nothing_until_it_is_resumed(house: Made) -> None:
    here = house()
    here.out.pause(EHR, ANN)
    here.tell(here.patient())
    here.start()
    here.clock.pump([1.0] * 10)
    assert here.practice.got == []
    here.out.resume(EHR, ANN)
    here.clock.pump([1.0] * 3)
    assert here.states == ["delivered"]
    assert here.column("epoch", "attempt") == [1]


def test_a_settlement_that_the_store_could_not_take_is_written_later(
    house: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = house()
    here.tell(here.patient())
    real, failures = here.out.settle, [StoreError("full"), StoreError("full")]

    def settle(*given: Any) -> list[int]:
        if failures:
            raise failures.pop()
        return real(*given)

    monkeypatch.setattr(here.out, "settle", settle)
    here.start()
    assert here.states == ["sending"]
    here.clock.pump([1.0] * 3)
    assert here.states == ["delivered"]
    assert len(here.practice.got) == 1


def test_a_store_that_is_gone_stops_nothing_for_good(house: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    here = house()
    here.tell(here.patient())
    real = here.out.claim
    monkeypatch.setattr(here.out, "claim", lambda *given, **named: (_ for _ in ()).throw(StoreError("gone")))
    here.start()
    here.clock.pump([1.0] * 100)
    assert here.practice.got == []
    monkeypatch.setattr(here.out, "claim", real)
    here.clock.pump([1.0] * 31)
    assert here.states == ["delivered"]


def test_a_destination_that_raises_makes_it_unclear(house: Made) -> None:
    here = house(safe_to_repeat=False)
    here.tell(here.patient())

    def fault(parcel: Parcel) -> Outcome:
        raise RuntimeError("Muster")

    here.practice.answer = fault
    here.start()
    assert (here.states, here.column("code")) == (["doubtful"], ["fault"])


def test_what_cannot_be_rendered_is_rejected_and_nothing_is_sent(house: Made) -> None:
    here = house()
    here.render = lambda one, send_before: Rejected("no_mapping", one.kind)  # type: ignore[method-assign]
    here.drain = here.new_drain()
    here.tell(here.patient())
    here.start()
    assert here.practice.got == []
    assert (here.states, here.column("code")) == (["rejected"], ["no_mapping"])


def test_stopping_settles_what_is_under_way_and_sends_nothing_new(house: Made) -> None:
    here = house()
    for _ in range(3):
        here.tell(here.patient())
    here.practice.answer = lambda parcel: None
    here.start()
    assert not here.stop()
    here.practice.waiting.pop().callback(Delivered("AA"))
    assert here.practice.closed
    assert here.states == ["delivered", "queued", "queued"]
    assert len(here.practice.got) == 1
    assert here.clock.getDelayedCalls() == []


def test_what_does_not_end_within_the_drains_time_is_cut_off(house: Made) -> None:
    here = house(safe_to_repeat=False)
    here.tell(here.patient())
    here.practice.answer = lambda parcel: None
    here.start()
    assert not here.stop()
    here.clock.advance(10)
    assert here.practice.closed
    assert here.states == ["doubtful"]


def test_log_lines_hold_ids_and_codes_and_nobodys_name(house: Made) -> None:
    here = house()
    name = here.tell(here.patient())
    here.practice.answer = lambda parcel: Failed("AR", "Muster")
    with capture_logs() as lines:
        here.start()
    [settled] = [line for line in lines if line["event"] == "delivery.settled"]
    assert settled == {
        "event": "delivery.settled",
        "log_level": "info",
        "destination": EHR,
        "delivery": name,
        "state": "queued",
        "attempts": 1,
        "code": "AR",
    }
    assert "Muster" not in str(lines)


def test_attempts_are_counted_by_outcome(house: Made) -> None:
    here = house()
    here.tell(here.patient())
    here.tell(here.patient())
    outcomes: list[Outcome] = [Delivered("AA"), Rejected("AE")]
    here.practice.answer = lambda parcel: outcomes.pop()
    here.start()
    for outcome in ("delivered", "rejected"):
        labels = {"destination": EHR, "outcome": outcome}
        assert here.registry.get_sample_value("handoff_delivery_attempts_total", labels) == 1


@pytest.mark.parametrize("text", ["\0", "a\r\nb", "\ud800", "x" * 10_000, "\u2028\x85é"])
def test_whatever_a_peer_says_can_be_stored(house: Made, text: str) -> None:
    here = house()
    outcomes: list[Outcome] = [Delivered(text), Rejected(text, text), Failed(text, text)]
    for _ in range(3):
        here.tell(here.patient())
    here.practice.answer = lambda parcel: outcomes.pop()
    here.start()
    assert sorted(here.states) == ["delivered", "queued", "rejected"]


def test_a_fault_while_settling_makes_it_unclear_and_stops_nobody(
    house: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = house()
    here.tell(here.patient())
    real, faults = here.out.settle, [RuntimeError("Muster")]

    def settle(*given: Any) -> list[int]:
        if faults:
            raise faults.pop()
        return real(*given)

    monkeypatch.setattr(here.out, "settle", settle)
    with capture_logs() as lines:
        here.start()
        here.clock.pump([1.0] * 3)
    assert here.column("state", "attempt") == ["unclear", "delivered"]
    assert "delivery.fault" in {line["event"] for line in lines}


def test_two_deliver_processes_never_send_the_same(stores: Stores) -> None:
    if stores.care_url.startswith("sqlite"):
        pytest.skip("on SQLite a second process is turned away when it starts")
    one, other = (House(open_engine(stores.care_url, role="care")) for _ in range(2))
    for here in (one, other):
        here.start()
    for _ in range(5):
        one.tell(one.patient())
    for _ in range(10):
        for here in (one, other):
            here.news()
            here.clock.advance(1)
    assert (len(one.practice.got), len(other.practice.got)) == (5, 0)
    one.stop()
    other.tell(other.patient())
    other.clock.pump([1.0] * 15)
    assert len(other.practice.got) == 1
    other.stop()
    for here in (one, other):
        here.locks.close()
        here.engine.dispose()


def test_a_fault_before_anything_was_sent_is_tried_again(house: Made) -> None:
    here = house(safe_to_repeat=False)
    real, faults = here.render, [RuntimeError("Muster")]

    def render(one: Claimed, send_before: float) -> Parcel | Outcome:
        if faults:
            raise faults.pop()
        return real(one, send_before)

    here.render = render  # type: ignore[method-assign]
    here.drain = here.new_drain(safe_to_repeat=False)
    here.tell(here.patient())
    here.start()
    assert (here.states, here.column("code")) == (["queued"], ["fault"])
    here.clock.pump([1.0] * 20)
    assert here.states == ["delivered"]
