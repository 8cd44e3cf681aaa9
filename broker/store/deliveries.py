"""Deliveries: claimed before the first byte, settled by their owner, judged by people when in doubt. Floor 4.

One owner per destination, told by an epoch: a claim and a settlement count only under the epoch that stands
in `destination`. What may be sent is decided at the claim: what was never told is neither corrected nor
retracted, and what has been overtaken by a later version is not told any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Engine, insert, select, update

from broker.errors import OperationError
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.audit import append_entries
from broker.store.batch import AuditPut
from broker.store.care_sql import PUTS
from broker.store.claims import DUE_NOW, QUEUED, Claimed, Lane, lanes_with_work
from broker.store.delivery_tables import AttemptRow, DeliveryRow, DestinationRow
from broker.store.hot import Hot, database_time, translating
from broker.store.locks import DESTINATION, Locks, key_of
from broker.store.open import reading

__all__ = ["Claimed", "Deliveries", "Lost", "Paused", "Settlement"]

State = Literal["queued", "delivered", "rejected", "doubtful", "given_up", "withdrawn"]
UNDER_WAY = ("queued", "sending", "doubtful")
ATTEMPTED = {Delivered: "delivered", Failed: "failed", Unclear: "unclear", Rejected: "rejected"}


class Lost(Exception):
    """The destination has another owner now: nothing was claimed or settled."""


class Paused(Lost):
    """It is ours still, and a person has paused it: nothing was claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of one attempt, and with it of the delivery.

    `outcome` None: it was not attempted at all (an earlier one of its lane did not go out) and goes back.
    `not_before` is set where the delivery is queued again. `body` is what was sent.
    """

    delivery: int
    number: int
    outcome: Outcome | None
    state: State
    not_before: datetime | None = None
    body: bytes | None = None


class Deliveries:
    """The deliveries of all destinations. Safe to share between threads; each method is one transaction."""

    def __init__(self, engine: Engine, locks: Locks) -> None:
        self._engine, self._locks = engine, locks
        self._reading = reading(engine)

    def own(self, destination: str, owner: str) -> int | None:
        """Becomes the owner; returns the new epoch, or None while somebody else is.

        From now on what another epoch claims or settles does not count.
        """
        if not self._locks.take(DESTINATION, [key_of(destination)]):
            return None
        with translating(), self._engine.begin() as connection:
            now = database_time(Hot(connection))
            raised = (
                update(DestinationRow)
                .where(DestinationRow.destination == destination)
                .values(epoch=DestinationRow.epoch + 1, owner=owner, since=now)
                .returning(DestinationRow.epoch)
            )
            epoch = connection.execute(raised).scalar()
            if epoch is None:
                first = {"destination": destination, "epoch": 1, "owner": owner, "since": now}
                connection.execute(insert(DestinationRow), first)
                epoch = 1
        return epoch

    def disown(self, destination: str) -> None:
        """Lets another become the owner."""
        self._locks.release(DESTINATION, [key_of(destination)])

    def keep(self) -> bool:
        """Shows that this process lives. False: every ownership was lost, call `own` again."""
        return self._locks.keep()

    def claim(
        self, destination: str, epoch: int, limit: int, now: datetime, *, one_a_lane: bool = False
    ) -> list[Claimed]:
        """Claims what may be sent now, in the order of each lane, and commits the attempts as `sending`.

        A lane waits behind a delivery that is being sent, is doubtful, or is not due yet. `one_a_lane` is for
        a destination that may not repeat. Raises `Lost` when the epoch is not the destination's any more.
        """
        with translating(), self._engine.begin() as connection:
            self._require(connection, destination, epoch, paused_too=True)
            claimed: list[Claimed] = []
            ended: Counter[str] = Counter()
            for lane in lanes_with_work(Hot(connection), destination, now, limit):
                ended.update(self._withdraw(connection, lane, now))
                room = 1 if one_a_lane else limit
                claimed += lane.claimed(destination, epoch, min(room, limit - len(claimed)))
                if len(claimed) >= limit:
                    break
            self._begin(connection, claimed, now)
            _tally(connection, destination, ended, now)
        return claimed

    def settle(
        self, destination: str, epoch: int, settlements: Sequence[Settlement], now: datetime
    ) -> list[int]:
        """Writes what became of attempts; returns the deliveries whose attempt was not this owner's any more.

        Raises `Lost` when the epoch is not the destination's any more: a takeover has settled them all.
        """
        strangers = []
        with translating(), self._engine.begin() as connection:
            self._require(connection, destination, epoch)
            ended: Counter[str] = Counter()
            for one in settlements:
                if not self._settle(connection, epoch, one, now):
                    strangers.append(one.delivery)
                elif one.state not in UNDER_WAY:
                    ended[one.state] += 1
            _tally(connection, destination, ended, now)
        return strangers

    def take_over(
        self,
        destination: str,
        epoch: int,
        claimed_before: datetime,
        now: datetime,
        *,
        safe_to_repeat: bool,
    ) -> int:
        """Attempts of another epoch, claimed before a time, are unclear: nobody can tell what went out.

        Their deliveries are queued again where repeating is safe, else they are doubtful. Returns how many.
        """
        state: State = "queued" if safe_to_repeat else "doubtful"
        old = (
            select(AttemptRow.delivery, AttemptRow.number, AttemptRow.epoch)
            .join(DeliveryRow, DeliveryRow.id == AttemptRow.delivery)
            .where(DeliveryRow.destination == destination, DeliveryRow.state == "sending")
            .where(AttemptRow.state == "sending", AttemptRow.epoch != epoch)
            .where(AttemptRow.claimed_at < claimed_before)
        )
        with translating(), self._engine.begin() as connection:
            self._require(connection, destination, epoch)
            rows = connection.execute(old).all()
            for row in rows:
                unclear = Unclear("owner_gone")
                one = Settlement(
                    delivery=row.delivery, number=row.number, outcome=unclear, state=state, not_before=now
                )
                self._settle(connection, row.epoch, one, now)
        return len(rows)

    def resolve(
        self, delivery: int, state: Literal["queued", "delivered", "given_up"], audit: AuditPut
    ) -> None:
        """A person judges a delivery that is doubtful, rejected or given up.

        `queued` sends it again, `delivered` says that they have it, `given_up` that they will not get it.
        Raises `OperationError` ("not_open") when the delivery is in no such state.
        """
        with translating(), self._engine.begin() as connection:
            now = database_time(Hot(connection))
            asked = select(DeliveryRow.state).where(DeliveryRow.id == delivery).with_for_update()
            was = connection.execute(asked).scalar()
            judged = (
                update(DeliveryRow)
                .where(DeliveryRow.id == delivery)
                .where(DeliveryRow.state.in_(["doubtful", "rejected", "given_up"]))
                .values(state=state, not_before=now, settled_at=now)
                .returning(DeliveryRow.patient, DeliveryRow.destination)
            )
            if state == "delivered":
                judged = judged.values(reached=True)
            row = connection.execute(judged).first()
            if row is None or was is None:
                raise OperationError("the delivery is not for a person to judge now", code="not_open")
            moved: Counter[str] = Counter()
            for word, count in ((was, -1), (state, 1)):
                if word not in UNDER_WAY:
                    moved[word] += count
            _tally(connection, row.destination, moved, now)
            about = f"delivery/{delivery}"
            entry = audit._replace(
                about=about, patient=row.patient, detail=orjson.dumps({"to": state}).decode()
            )
            append_entries(Hot(connection), [entry], now)

    def pause(self, destination: str, audit: AuditPut) -> None:
        """Nothing more is claimed for the destination until it is resumed."""
        self._set_paused(destination, True, audit)

    def resume(self, destination: str, audit: AuditPut) -> None:
        """Deliveries go out again."""
        self._set_paused(destination, False, audit)

    def due(self, destinations: Iterable[str], now: datetime) -> set[str]:
        """Of these destinations, those for which something is queued that may go out now."""
        with translating(), self._reading.begin() as connection:
            hot = Hot(connection)
            at = hot.at(now)
            return {name for name in destinations if hot.ask(DUE_NOW, destination=name, now=at)}

    def queued(self) -> dict[str, int]:
        """How many deliveries are queued, by destination."""
        with translating(), self._reading.begin() as connection:
            return {destination: int(count) for destination, count in Hot(connection).ask(QUEUED)}

    def _require(
        self, connection: Connection, destination: str, epoch: int, paused_too: bool = False
    ) -> None:
        asked = select(DestinationRow.epoch, DestinationRow.paused).where(
            DestinationRow.destination == destination
        )
        row = connection.execute(asked.with_for_update()).first()
        if row is None or row.epoch != epoch:
            raise Lost(destination)
        if paused_too and row.paused:
            raise Paused(destination)

    def _withdraw(self, connection: Connection, lane: Lane, now: datetime) -> Iterator[str]:
        for row, code in lane.ended:
            state = "given_up" if row.reached else "withdrawn"
            yield state
            ended = {"state": state, "code": code, "settled_at": now}
            connection.execute(update(DeliveryRow).where(DeliveryRow.id == row.id).values(ended))

    def _begin(self, connection: Connection, claimed: Sequence[Claimed], now: datetime) -> None:
        if not claimed:
            return
        attempts = [
            {
                "delivery": one.delivery, "number": one.number, "epoch": one.epoch, "act": one.act,
                "version": one.version, "state": "sending", "claimed_at": now,
            }
            for one in claimed
        ]  # fmt: skip
        connection.execute(insert(AttemptRow), attempts)
        ids = [one.delivery for one in claimed]
        connection.execute(update(DeliveryRow).where(DeliveryRow.id.in_(ids)).values(state="sending"))

    def _settle(self, connection: Connection, epoch: int, one: Settlement, now: datetime) -> bool:
        outcome = one.outcome
        code, detail = _words(outcome)
        attempt = {
            "state": ATTEMPTED[type(outcome)] if outcome is not None else "unsent",
            "settled_at": now,
            "code": code,
            "detail": detail,
            "body": one.body,
            "body_digest": sha256(one.body).hexdigest() if one.body is not None else "",
        }
        hit = connection.execute(
            update(AttemptRow)
            .where(AttemptRow.delivery == one.delivery, AttemptRow.number == one.number)
            .where(AttemptRow.epoch == epoch, AttemptRow.state == "sending")
            .values(attempt)
        )
        if hit.rowcount == 0:
            return False
        delivery: dict[str, Any] = {"state": one.state, "settled_at": now}
        if one.not_before is not None:
            delivery["not_before"] = one.not_before
        if outcome is not None:
            delivery |= {"attempts": DeliveryRow.attempts + 1, "code": code}
        if isinstance(outcome, Delivered):
            delivery["proof"] = outcome.proof
        if isinstance(outcome, Delivered | Unclear):
            delivery["reached"] = True
        connection.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id == one.delivery, DeliveryRow.state == "sending")
            .values(delivery)
        )
        return True

    def _set_paused(self, destination: str, paused: bool, audit: AuditPut) -> None:
        with translating(), self._engine.begin() as connection:
            now = database_time(Hot(connection))
            set_to = {"paused": paused, "paused_by": audit.who, "paused_at": now, "why": audit.why}
            hit = connection.execute(
                update(DestinationRow).where(DestinationRow.destination == destination).values(set_to)
            )
            if hit.rowcount == 0:
                first = {"destination": destination, "epoch": 0, "owner": "", "since": now}
                connection.execute(insert(DestinationRow), first | set_to)
            append_entries(Hot(connection), [audit._replace(about=f"destination/{destination}")], now)


def _tally(connection: Connection, destination: str, ended: Counter[str], now: datetime) -> None:
    day = now.astimezone(UTC).date().isoformat()
    rows = [(day, destination, state, count) for state, count in sorted(ended.items()) if count]
    Hot(connection).put(PUTS.DELIVERY_TALLY, rows)


def _words(outcome: Outcome | None) -> tuple[str, str]:
    if outcome is None:
        return "", ""
    if isinstance(outcome, Delivered):
        return "", outcome.proof
    return outcome.code, outcome.detail
