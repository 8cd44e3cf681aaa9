"""Deliveries: claimed in order, settled by their owner, withdrawn when nothing was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

import pytest
from sqlalchemy import Engine, text

from broker.care.facts import FactId
from broker.care.rows import Cause, DeliveryPut, NotificationPut
from broker.errors import OperationError
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.batch import AuditPut, Batch, ForwardPut, RecordPut
from broker.store.care import CareStore, Saved
from broker.store.deliveries import Claimed, Deliveries, Lost, Settlement
from broker.store.locks import open_locks

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
EHR = "westside/ehr"
CAUSE = Cause(FactId(1, 1, "Discharge", 0))
ANN = AuditPut("ann", "resolve", why="they called")


class World:
    """One destination, its owner, and patients who are told things."""

    def __init__(self, engine: Engine) -> None:
        self.care = CareStore(engine)
        self.locks = open_locks(engine)
        self.out = Deliveries(engine, self.locks)
        self.engine = engine
        epoch = self.out.own(EHR, "host:1")
        assert epoch is not None
        self.epoch = epoch
        self.versions: dict[int, int] = {}
        self.asked = 0

    def patient(self) -> int:
        (patient,) = self.care.reserve(1)
        self._save(patient, [])
        return patient

    def tell(
        self, patient: int, notification: int = 0, act: str = "tell", version: int = 1, at: datetime = AT
    ) -> str:
        """Puts the notification as it is now and asks for a delivery; returns the delivery's name."""
        self.asked += 1
        name = uuid5(NAMESPACE_OID, str(self.asked))
        state = "retracted" if act == "retract" else "standing"
        self._save(
            patient,
            [
                NotificationPut(
                    patient=patient, n=notification, name=uuid5(NAMESPACE_OID, "n"), version=version,
                    encounter=0,
                    kind="discharge", state=state, urgency="routine", about="1", occurred_at=AT,
                    content={"version": version}, verb=act, cause=CAUSE,
                ),
                DeliveryPut(
                    name=name, patient=patient, notification=notification, version=version, act=act,
                    recipient="pcp", destination=EHR, address="a1", not_before=at, cause=CAUSE,
                ),
            ],
        )  # fmt: skip
        return name.hex

    def forward(self, slot: int, patient: int | None = None) -> str:
        self.asked += 1
        name = uuid5(NAMESPACE_OID, str(self.asked))
        put = ForwardPut(name, "forward", 1, self.asked, slot, patient, EHR, AT)
        assert isinstance(self.care.save(Batch(forwards=[put])), Saved)
        return name.hex

    def _save(self, patient: int, changes: list) -> None:
        version = self.versions.get(patient, 0)
        saved = self.care.save(Batch(records=[RecordPut(patient, version, patient, b"")], changes=changes))
        assert isinstance(saved, Saved), saved
        self.versions[patient] = version + 1

    def claim(self, now: datetime = LATER, limit: int = 10, **other: bool) -> list[Claimed]:
        return self.out.claim(EHR, self.epoch, limit, now, **other)

    def settle(
        self, claimed: Claimed, outcome: Outcome | None, state: str, again: datetime | None = None
    ) -> list[int]:
        one = Settlement(
            delivery=claimed.delivery, number=claimed.number, outcome=outcome, state=state, not_before=again,
            body=b"MSH|" if outcome else None,
        )  # fmt: skip
        return self.out.settle(EHR, self.epoch, [one], LATER)

    def states(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(text("SELECT state FROM delivery ORDER BY id")).scalars())

    def codes(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(text("SELECT code FROM delivery ORDER BY id")).scalars())


@pytest.fixture
def world(engine_of: Callable[..., Engine]) -> Iterator[World]:
    made = World(engine_of("care"))
    yield made
    made.locks.close()


def test_a_claim_commits_an_attempt_before_anything_is_sent(world: World) -> None:
    world.tell(world.patient())
    (claimed,) = world.claim()
    assert (claimed.act, claimed.version, claimed.content, claimed.number) == ("tell", 1, {"version": 1}, 1)
    with world.engine.begin() as connection:
        rows = connection.execute(text("SELECT number, epoch, state FROM attempt")).all()
    assert [tuple(row) for row in rows] == [(1, world.epoch, "sending")]
    assert world.claim() == []


def test_what_is_delivered_keeps_its_proof_and_what_was_sent(world: World) -> None:
    world.tell(world.patient())
    (claimed,) = world.claim()
    assert world.settle(claimed, Delivered("MSA|AA|1"), "delivered") == []
    with world.engine.begin() as connection:
        row = connection.execute(text("SELECT state, proof, attempts FROM delivery")).one()
        sent = connection.execute(text("SELECT state, body, body_digest FROM attempt")).one()
    assert tuple(row) == ("delivered", "MSA|AA|1", 1)
    assert (sent.state, bytes(sent.body), len(sent.body_digest)) == ("delivered", b"MSH|", 64)


def test_nothing_is_claimed_before_its_time(world: World) -> None:
    world.tell(world.patient(), at=LATER + timedelta(seconds=1))
    assert world.claim() == []
    assert world.out.due([EHR, "other/x"], LATER) == set()
    assert world.out.due([EHR, "other/x"], LATER + timedelta(seconds=1)) == {EHR}
    assert world.out.queued() == {EHR: 1}
    assert len(world.claim(LATER + timedelta(seconds=1))) == 1


def test_one_patients_deliveries_keep_their_order_and_others_do_not_wait(world: World) -> None:
    one, two = world.patient(), world.patient()
    first, second = world.tell(one, 0), world.tell(one, 1)
    other = world.tell(two, 0)
    claimed = world.claim()
    assert [c.name for c in claimed if c.patient == one] == [first, second]
    assert other in [c.name for c in claimed]


def test_a_destination_that_may_not_repeat_claims_one_a_patient(world: World) -> None:
    one = world.patient()
    first, second = world.tell(one, 0), world.tell(one, 1)
    assert [c.name for c in world.claim(one_a_lane=True)] == [first]
    assert world.claim(one_a_lane=True) == []
    assert second


@pytest.mark.parametrize(
    ("outcome", "state", "blocks"),
    [
        (Failed("refused"), "queued", True),
        (Unclear("no_answer"), "doubtful", True),
        (Rejected("AE"), "rejected", False),
        (Failed("refused"), "given_up", False),
        (Delivered(), "delivered", False),
    ],
)
def test_what_blocks_a_patients_later_deliveries(
    world: World, outcome: Outcome, state: str, blocks: bool
) -> None:
    one, two = world.patient(), world.patient()
    world.tell(one, 0)
    (claimed,) = world.claim()
    later, other = world.tell(one, 1), world.tell(two, 0)
    assert [c.name for c in world.claim(limit=1)] == [other]  # it waits while the first is being sent
    world.settle(claimed, outcome, state, LATER + timedelta(minutes=5) if state == "queued" else None)
    assert [c.name for c in world.claim()] == ([] if blocks else [later])


def test_a_blocked_patient_does_not_take_the_place_of_others(world: World) -> None:
    one = world.patient()
    world.tell(one, 0)
    (claimed,) = world.claim()
    world.settle(claimed, Unclear("no_answer"), "doubtful")
    for n in range(1, 6):
        world.tell(one, n)
    other = world.tell(world.patient())
    assert [c.name for c in world.claim(limit=1)] == [other]


def test_a_retraction_of_what_was_never_sent_is_withdrawn_with_it(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    world.tell(patient, act="retract")
    assert world.claim() == []
    assert world.states() == ["withdrawn", "withdrawn"]
    assert world.codes() == ["retracted", "never_told"]


def test_a_retraction_of_what_was_delivered_is_sent(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    (told,) = world.claim()
    world.settle(told, Delivered(), "delivered")
    world.tell(patient, act="retract")
    assert [c.act for c in world.claim()] == ["retract"]


def test_a_retraction_of_what_was_rejected_is_withdrawn(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    (told,) = world.claim()
    world.settle(told, Rejected("AE"), "rejected")
    world.tell(patient, act="retract")
    assert world.claim() == []
    assert world.states() == ["rejected", "withdrawn"]


def test_a_telling_that_may_have_arrived_is_not_told_again_once_it_is_retracted(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    (told,) = world.claim()
    world.settle(told, Unclear("no_answer"), "queued", LATER)
    world.tell(patient, act="retract")
    assert [c.act for c in world.claim()] == ["retract"]
    assert world.states() == ["given_up", "sending"]


def test_a_correction_of_what_was_never_sent_is_told_as_new(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    world.tell(patient, act="correct", version=2)
    (claimed,) = world.claim()
    assert (claimed.act, claimed.version, claimed.content) == ("tell", 2, {"version": 2})
    assert world.states() == ["withdrawn", "sending"]


def test_a_correction_of_what_was_delivered_is_one(world: World) -> None:
    patient = world.patient()
    world.tell(patient)
    (told,) = world.claim()
    world.settle(told, Delivered(), "delivered")
    world.tell(patient, act="correct", version=2)
    assert [(c.act, c.version) for c in world.claim()] == [("correct", 2)]


def test_what_is_told_after_a_retraction_is_new_again(world: World) -> None:
    patient = world.patient()
    for act in ("tell", "retract", "correct"):
        world.tell(patient, act=act, version=3 if act == "correct" else 1)
        (claimed,) = world.claim()
        assert claimed.act == {"correct": "tell"}.get(act, act)
        world.settle(claimed, Delivered(), "delivered")


def test_what_goes_back_unsent_is_no_attempt_and_is_claimed_again(world: World) -> None:
    patient = world.patient()
    world.tell(patient, 0)
    world.tell(patient, 1)
    first, second = world.claim()
    world.settle(first, Failed("refused"), "queued", LATER)
    world.settle(second, None, "queued")
    again = world.claim()
    assert [(c.number, c.attempts) for c in again] == [(2, 1), (2, 0)]


def test_messages_without_a_patient_keep_the_order_of_their_slot(world: World) -> None:
    first, second, other = world.forward(3), world.forward(3), world.forward(4)
    claimed = world.claim()
    assert [c.name for c in claimed if c.lane == -4] == [first, second]
    assert {c.name for c in claimed} == {first, second, other}
    assert {(c.act, c.stream, c.content == {}) for c in claimed} == {("forward", 1, True)}


def test_only_the_owner_claims_and_settles(world: World, engine_of: Callable[..., Engine]) -> None:
    world.tell(world.patient())
    (claimed,) = world.claim()
    world.out.disown(EHR)
    world.locks.close()
    other = Deliveries(engine_of("care"), open_locks(engine_of("care")))
    epoch = other.own(EHR, "host:2")
    assert epoch == world.epoch + 1
    with pytest.raises(Lost):
        world.claim()
    with pytest.raises(Lost):
        world.settle(claimed, Delivered(), "delivered")
    assert world.states() == ["sending"]
    other._locks.close()


@pytest.mark.parametrize(("safe", "state"), [(True, "queued"), (False, "doubtful")])
def test_at_a_takeover_what_was_being_sent_is_unclear(world: World, safe: bool, state: str) -> None:
    world.tell(world.patient())
    world.claim(LATER)
    world.out.disown(EHR)
    epoch = world.out.own(EHR, "host:2")
    assert epoch is not None
    take = world.out.take_over
    assert take(EHR, epoch, LATER, LATER, safe_to_repeat=safe) == 0  # it may still leave: not old enough
    assert take(EHR, epoch, LATER + timedelta(seconds=1), LATER, safe_to_repeat=safe) == 1
    assert world.states() == [state]
    with world.engine.begin() as connection:
        assert connection.execute(text("SELECT state, code FROM attempt")).one() == ("unclear", "owner_gone")


def test_an_attempt_is_settled_once(world: World) -> None:
    world.tell(world.patient())
    (claimed,) = world.claim()
    assert world.settle(claimed, Delivered(), "delivered") == []
    assert world.settle(claimed, Failed("late"), "queued", LATER) == [claimed.delivery]
    assert world.states() == ["delivered"]


@pytest.mark.parametrize("to", ["queued", "delivered", "given_up"])
def test_a_person_judges_what_is_doubtful(world: World, to: str) -> None:
    patient = world.patient()
    world.tell(patient, 0)
    (claimed,) = world.claim()
    with pytest.raises(OperationError):
        world.out.resolve(claimed.delivery, to, ANN)
    world.settle(claimed, Unclear("no_answer"), "doubtful")
    world.tell(patient, 1)
    world.out.resolve(claimed.delivery, to, ANN)
    assert world.states()[0] == to
    soon = world.care.now() + timedelta(seconds=1)
    assert len(world.claim(soon)) == (2 if to == "queued" else 1)


def test_a_paused_destination_claims_nothing(world: World) -> None:
    world.tell(world.patient())
    world.out.pause(EHR, ANN)
    with pytest.raises(Lost):
        world.claim()
    world.out.resume(EHR, ANN)
    assert len(world.claim()) == 1
