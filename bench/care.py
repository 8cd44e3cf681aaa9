"""What the care core costs: a stay folded anew, and one message decided, from bytes to bytes.

Run from the repository's root: python bench/care.py
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from broker.care.codec import decode, encode
from broker.care.holding import held_of
from broker.care.react import react
from broker.care.stays import fold
from broker.notices import Diagnosis, Location
from tests.care.people import World, admitted, left, says


def micros_of(work: Callable[[], object], secs: float = 1.0) -> float:
    """Microseconds a call, the best of many short rounds, so that who else is at work matters little."""
    best = float("inf")
    until = time.perf_counter() + secs
    count = 5
    while time.perf_counter() < until:
        start = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - start) / count)
    return best * 1e6


def twenty() -> list[object]:
    """A stay of twenty facts, with a discharge."""
    updates = [
        says("VisitUpdate", at, patient_class="inpatient", location=Location(unit="3W", bed=str(at)))
        for at in range(1, 18)
    ]
    ends = [left(300), says("VisitUpdate", 310, diagnoses=(Diagnosis(code="I50", kind="F"),))]
    return [admitted(0), *updates, *ends]


def stays(count: int) -> World:
    """A patient with so many stays, years apart but for the last."""
    world = World()
    for n in range(count):
        at = (n - count) * 60 * 24 * 90
        world.hear(admitted(at, visit=f"V{n}"))
        world.hear(left(at + 3000, visit=f"V{n}"))
    world.hear(admitted(0, visit="V", attending=None))
    return world


def main() -> None:
    """Prints the table."""
    gc.disable()
    world = World()
    facts = [saying.fact(world) for saying in twenty()]  # type: ignore[attr-defined]
    held = sorted((held_of(fact) for fact in facts), key=lambda fact: fact[:8])
    print(f"{'a stay of 20 facts folded':44} {micros_of(lambda: fold(held, 1)):8.1f} us")
    print(f"{'a notice made a fact':44} {micros_of(lambda: held_of(facts[5])):8.1f} us")
    for count in (0, 4, 19):
        world = stays(count)
        for name, saying in (
            ("an update that changes nothing", says("VisitUpdate", 10, visit="V")),
            ("an update of the location", says("VisitUpdate", 10, visit="V", location=Location(unit="4E"))),
            ("a discharge: 2 told, 2 tasks, the plan", left(300, visit="V")),
        ):
            fact = saying.fact(world)
            stored = world.records[1]
            given = world.given

            def decide(fact=fact, stored=stored, given=given) -> None:  # type: ignore[no-untyped-def]
                reaction = react([fact], [], {1: decode(stored)}, given)
                for record in reaction.records.values():
                    encode(record)

            size = len(stored.head) + max(map(len, stored.stays.values()))
            print(f"{count + 1:3} stays, {name:40} {micros_of(decide):8.1f} us   ({size} bytes)")


if __name__ == "__main__":
    main()
