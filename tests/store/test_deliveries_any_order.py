"""Whatever happens in whatever order: what a destination has seen is a story that makes sense.

Two patients, two things told of each; a destination that receives, fails, rejects or stays silent; owners
that vanish; people who judge what is doubtful.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text

from broker.care.rows import Cause, DeliveryPut, NotificationPut
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.batch import AuditPut, Batch, RecordPut
from broker.store.care import CareStore, Saved
from broker.store.deliveries import Claimed, Deliveries, Settlement
from broker.store.locks import open_locks
from broker.store.open import migrate, open_engine

EHR = "westside/ehr"
NOW = datetime(2026, 3, 5, tzinfo=UTC)
ENDED = {"delivered", "rejected", "given_up", "withdrawn"}

_template: list[Path] = []


def template() -> Path:
    if not _template:
        folder = Path(tempfile.mkdtemp(prefix="handoff-test-"))
        migrate(f"sqlite:///{folder / 'care.db'}", "care")
        _template.append(folder)
    return _template[0]


def teardown_module() -> None:
    for folder in _template:
        shutil.rmtree(folder)


class Telling(RuleBasedStateMachine):
    @initialize(safe=st.booleans())
    def start(self, safe: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="handoff-test-"))
        shutil.copy(template() / "care.db", self.folder / "care.db")
        self.engine = open_engine(f"sqlite:///{self.folder / 'care.db'}", role="care")
        with self.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
        self.care = CareStore(self.engine)
        self.locks = open_locks(self.engine)
        self.out = Deliveries(self.engine, self.locks)
        self.safe = safe
        self.epoch = self.out.own(EHR, "one") or 0
        self.now = NOW
        self.asked = 0
        self.records = dict.fromkeys(self.care.reserve(2), 0)
        self.standing: dict[tuple[int, int], tuple[int, bool]] = {}  # (patient, n) -> version, told
        self.sending: list[Claimed] = []
        self.seen: list[
            tuple[str, int, int, str, int]
        ] = []  # what the other side has: id, whom, what, act, version
        for patient in self.records:
            self.save(patient, [])

    def save(self, patient: int, changes: list) -> None:
        version = self.records[patient]
        saved = self.care.save(Batch(records=[RecordPut(patient, version, patient, b"")], changes=changes))
        assert isinstance(saved, Saved)
        self.records[patient] = version + 1

    @rule(who=st.integers(0, 1), n=st.integers(0, 1), retract=st.booleans(), wait=st.sampled_from([0, 5]))
    def tell(self, who: int, n: int, retract: bool, wait: int) -> None:
        """The care core tells, corrects, retracts, tells again."""
        patient = list(self.records)[who]
        version, told = self.standing.get((patient, n), (0, False))
        if retract and not told:
            return
        act = "retract" if retract else ("correct" if told else "tell")
        version += 0 if retract else 1
        self.standing[patient, n] = (version, not retract)
        self.asked += 1
        cause = Cause(None)
        changes = [
            NotificationPut(
                patient=patient, n=n, name=UUID(int=n), version=version, encounter=0, kind="discharge",
                state="retracted" if retract else "standing", urgency="routine", about="1", occurred_at=NOW,
                content={"version": version}, verb=act, cause=cause,
            ),
            DeliveryPut(
                name=UUID(int=self.asked), patient=patient, notification=n, version=version, act=act,
                recipient="pcp", destination=EHR, address="a", not_before=self.now + timedelta(minutes=wait),
                cause=cause,
            ),
        ]  # fmt: skip
        self.save(patient, changes)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        claimed = self.out.claim(EHR, self.epoch, limit, self.now, one_a_lane=not self.safe)
        assert len(claimed) <= limit
        for one in claimed:
            version, told = self.standing[one.patient or 0, one.notification or 0]
            assert one.content == {"version": version}
            assert told or one.act == "retract"
        self.sending += claimed

    @precondition(lambda self: self.sending)
    @rule(how=st.sampled_from(["delivered", "failed", "rejected", "silent", "lost"]), gives_up=st.booleans())
    def answer(self, how: str, gives_up: bool) -> None:
        """The first of a group is answered; after anything but Delivered its patient's later ones go back."""
        one = self.sending.pop(0)
        outcome: Outcome
        state, again = "delivered", None
        if how in ("delivered", "silent"):
            self.seen.append((one.name, one.patient or 0, one.notification or 0, one.act, one.version))
        if how == "delivered":
            outcome = Delivered("ok")
        elif how == "rejected":
            outcome, state = Rejected("AE"), "rejected"
        elif how == "failed":
            outcome, state = Failed("refused"), "given_up" if gives_up else "queued"
        else:
            outcome, state = Unclear("no_answer"), "queued" if self.safe else "doubtful"
        if state == "queued":
            again = self.now + timedelta(minutes=1)
        held = [] if how == "delivered" else [c for c in self.sending if c.lane == one.lane]
        self.sending = [c for c in self.sending if c not in held]
        settlements = [
            Settlement(
                delivery=one.delivery, number=one.number, outcome=outcome, state=state, not_before=again
            )
        ] + [Settlement(delivery=c.delivery, number=c.number, outcome=None, state="queued") for c in held]
        assert self.out.settle(EHR, self.epoch, settlements, self.now) == []

    @rule(sent=st.integers(0, 2))
    def owner_vanishes(self, sent: int) -> None:
        """Some of what it had claimed went out; the new owner cannot tell."""
        for one in self.sending[:sent]:
            self.seen.append((one.name, one.patient or 0, one.notification or 0, one.act, one.version))
        self.sending = []
        self.epoch = self.out.own(EHR, "next") or 0
        self.out.take_over(
            EHR, self.epoch, self.now + timedelta(seconds=1), self.now, safe_to_repeat=self.safe
        )

    @rule(to=st.sampled_from(["queued", "delivered", "given_up"]))
    def person_judges(self, to: str) -> None:
        with self.engine.begin() as connection:
            found = connection.execute(text("SELECT min(id) FROM delivery WHERE state = 'doubtful'")).scalar()
        if found is not None:
            self.out.resolve(found, to, AuditPut("ann", "resolve"))
            self.now = max(self.now, self.care.now() + timedelta(seconds=1))

    @rule(minutes=st.sampled_from([1, 10]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def what_is_sending_is_what_was_claimed(self) -> None:
        if not hasattr(self, "engine"):
            return
        with self.engine.begin() as connection:
            sending = set(
                connection.execute(text("SELECT id FROM delivery WHERE state = 'sending'")).scalars()
            )
            attempts = set(
                connection.execute(text("SELECT delivery FROM attempt WHERE state = 'sending'")).scalars()
            )
        assert sending == attempts == {one.delivery for one in self.sending}

    @invariant()
    def what_was_seen_is_a_story(self) -> None:
        """Nothing is corrected or retracted that was never told; nothing goes back to an older version."""
        if not hasattr(self, "engine"):
            return
        known: dict[tuple[int, int], int] = {}
        for _, patient, n, act, version in self.seen:
            if act in ("correct", "retract"):
                assert (patient, n) in known or self.somebody_said_so(patient, n)
            assert version >= known.get((patient, n), 0)
            known[patient, n] = version

    def somebody_said_so(self, patient: int, n: int) -> bool:
        """An attempt that nobody answered, or a person, says that they may have it."""
        with self.engine.begin() as connection:
            sql = "SELECT count(*) FROM delivery WHERE patient = :p AND notification = :n AND reached"
            return bool(connection.execute(text(sql), {"p": patient, "n": n}).scalar())

    @invariant()
    def one_lane_is_never_out_of_order(self) -> None:
        lanes: dict[int, int] = {}
        for one in getattr(self, "sending", []):
            assert lanes.get(one.lane, 0) < one.delivery
            lanes[one.lane] = one.delivery

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.sending = []
        self.settle_everything()
        self.locks.close()
        self.care.close()
        self.engine.dispose()
        shutil.rmtree(self.folder)

    def settle_everything(self) -> None:
        """In the end, with a destination that answers, nothing is left, and they know how it stands."""
        self.epoch = self.out.own(EHR, "last") or 0
        self.now += timedelta(days=1)
        later = self.now + timedelta(days=1)
        self.out.take_over(EHR, self.epoch, later, self.now, safe_to_repeat=True)
        with self.engine.begin() as connection:
            doubtful = (
                connection.execute(text("SELECT id FROM delivery WHERE state = 'doubtful'")).scalars().all()
            )
        for number in doubtful:
            self.out.resolve(number, "queued", AuditPut("ann", "resolve"))
        self.now = max(later, self.care.now() + timedelta(days=1))
        for _ in range(100):
            self.sending = self.out.claim(EHR, self.epoch, 10, self.now)
            if not self.sending:
                break
            while self.sending:
                self.answer("delivered", False)
        with self.engine.begin() as connection:
            assert set(connection.execute(text("SELECT state FROM delivery")).scalars()) <= ENDED


Telling.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestTelling = Telling.TestCase
