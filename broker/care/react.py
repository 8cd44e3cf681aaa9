"""What follows when facts come or go: the one way into the care core. Floor 3: pure.

Facts are put into the records, what should stand is asked without and with them, and the difference is
returned. An undo, a merge, a late, released, repeated or replayed message are no cases of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from broker.care.acts import apply_act
from broker.care.evaluation import evaluate
from broker.care.facts import Act, Fact
from broker.care.given import Given
from broker.care.placing import Placing
from broker.care.record import Record, micros
from broker.care.rows import Change

__all__ = ["Reaction", "react"]


class Reaction(NamedTuple):
    """The records that were touched, as they are now, and what is to be stored beside them."""

    records: dict[int, Record]
    changes: tuple[Change, ...]


def react(
    came: Sequence[Fact], gone: Sequence[Fact], records: Mapping[int, Record], given: Given
) -> Reaction:
    """What the coming and going of facts changes; without either, what time alone does.

    `records` holds every patient that the facts name, whoever holds a visit that they name, and
    everybody who is one person with these; it is not changed. Raises `OperationError` for an act that
    is not possible, and `MissingRecords` where more records are needed.
    """
    placing = Placing(records, given, micros(given.now))
    changes: list[Change] = []
    for fact in gone:
        placing.take(fact)
    for fact in came:
        if isinstance(fact.said, Act):
            maker = apply_act(placing.writable(fact.patient), fact.said, fact.id, given, placing.now)
            changes += maker.changes
        else:
            placing.put(fact)
    placing.settle()
    trigger = came[-1].id if came else gone[-1].id if gone else None
    changes += evaluate(placing, trigger)
    return Reaction(placing.changed, tuple(changes))
