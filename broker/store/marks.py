"""How workers started and ended, and what they had in hand when they died. Floor 4."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, exists, insert, or_, select, update

from broker.store.care_tables import AsideRow, HandledRow
from broker.store.hot import Hot, database_time, translating
from broker.store.house_tables import InHandRow, SuspectRow, WorkerRow
from broker.store.locks import WORKER, Locks, key_of
from broker.store.open import reading

__all__ = ["Marks", "WorkerMarks"]


@dataclass(frozen=True, slots=True)
class Marks:
    """What earlier workers left behind.

    `unclean`: one of them has died, and what it had in hand is not known to be harmless. `deaths` counts, for
    a message (stream, seq) that is still to be worked, at how many deaths it was in hand, alone.
    """

    unclean: bool
    deaths: dict[tuple[int, int], int] = field(default_factory=dict)


class WorkerMarks:
    """Marks of start, clean end, and of what is in hand."""

    def __init__(self, engine: Engine, locks: Locks) -> None:
        self._engine, self._locks = engine, locks
        self._reading = reading(engine)
        self._owners: set[str] = set()

    def lock_again(self) -> None:
        """After a lost connection: shows anew that the workers of this process live."""
        self._locks.take(WORKER, {key_of(owner) for owner in self._owners})

    def started(self, owner: str) -> Marks:
        """Marks the start of a worker, and counts the deaths of those whose lock says that they have ended.

        Careful work goes on while any mark of a death is left.
        """
        self._owners.add(owner)
        self._locks.take(WORKER, [key_of(owner)])
        with translating(), self._reading.begin() as connection:
            running = connection.execute(select(WorkerRow.owner).where(WorkerRow.state == "running"))
            others = [other for (other,) in running if other != owner]
        taken = self._locks.take(WORKER, {key_of(other) for other in others})
        try:
            with translating(), self._engine.begin() as connection:
                now = database_time(Hot(connection))
                for other in others:
                    if key_of(other) in taken:
                        self._count_death(connection, other)
                connection.execute(insert(WorkerRow), {"owner": owner, "state": "running", "started_at": now})
                died = connection.execute(select(WorkerRow.owner).where(WorkerRow.state == "died")).first()
                rows = connection.execute(select(SuspectRow.stream, SuspectRow.seq, SuspectRow.deaths)).all()
        finally:
            self._locks.release(WORKER, taken)
        return Marks(died is not None, {(row.stream, row.seq): row.deaths for row in rows})

    def ended(self, owner: str) -> None:
        """Marks a clean end."""
        with translating(), self._engine.begin() as connection:
            now = database_time(Hot(connection))
            connection.execute(delete(InHandRow).where(InHandRow.owner == owner))
            connection.execute(
                update(WorkerRow).where(WorkerRow.owner == owner).values(state="ended", ended_at=now)
            )
        self._owners.discard(owner)
        self._locks.release(WORKER, [key_of(owner)])

    def take_in_hand(self, owner: str, stream: int, seq: int) -> None:
        """This message, and no other, is in hand from now on."""
        with translating(), self._engine.begin() as connection:
            connection.execute(delete(InHandRow).where(InHandRow.owner == owner))
            connection.execute(insert(InHandRow), {"owner": owner, "stream": stream, "seq": seq})

    def put_down(self, owner: str) -> None:
        """Nothing is in hand any more, and careful work has ended well: the marks of deaths go."""
        with translating(), self._engine.begin() as connection:
            connection.execute(delete(InHandRow).where(InHandRow.owner == owner))
            connection.execute(delete(SuspectRow).where(~_to_be_worked(SuspectRow)))
            connection.execute(update(WorkerRow).where(WorkerRow.state == "died").values(state="ended"))

    def _count_death(self, connection: Connection, owner: str) -> None:
        dead = update(WorkerRow).where(WorkerRow.owner == owner, WorkerRow.state == "running")
        if connection.execute(dead.values(state="died")).rowcount == 0:
            return
        held = connection.execute(
            select(InHandRow.stream, InHandRow.seq).where(InHandRow.owner == owner, _to_be_worked(InHandRow))
        ).first()
        connection.execute(delete(InHandRow).where(InHandRow.owner == owner))
        if held is None:
            return
        again = (
            update(SuspectRow)
            .where(SuspectRow.stream == held.stream, SuspectRow.seq == held.seq)
            .values(deaths=SuspectRow.deaths + 1)
        )
        if connection.execute(again).rowcount == 0:
            connection.execute(insert(SuspectRow), {"stream": held.stream, "seq": held.seq, "deaths": 1})


def _to_be_worked(row: type[InHandRow] | type[SuspectRow]) -> ColumnElement[bool]:
    """Whether the message is not worked yet, or is to be worked once more."""
    handled = exists().where(and_(HandledRow.stream == row.stream, HandledRow.seq == row.seq))
    ready = exists().where(
        and_(
            AsideRow.stream == row.stream, AsideRow.seq == row.seq, AsideRow.state.in_(["released", "paused"])
        )
    )
    return or_(~handled, ready)
