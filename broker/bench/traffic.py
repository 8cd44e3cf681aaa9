"""Made-up admissions, moves and discharges without end, for the bench. Floor 11."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from broker.demo.people import LINDQVIST, North, Person
from broker.hl7 import frame

__all__ = ["traffic"]

WARD = {2: "I", 3: "4W^412^A^NORTH", 7: LINDQVIST, 18: "IP"}
EVENTS: tuple[tuple[str, str, dict[int, str]], ...] = (
    ("A01", "ADT_A01", {}),
    ("A08", "ADT_A01", {}),
    ("A02", "ADT_A02", {3: "ICU^07^1^NORTH", 6: "4W^412^A^NORTH"}),
    ("A03", "ADT_A03", {36: "01"}),
)


def traffic(start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Control ids and framed messages: each patient is admitted, updated, moved and discharged.

    The patients are spread, so that no two messages of one come close after each other. `start` keeps runs
    on one store apart.
    """
    templates = [_template(*event) for event in EVENTS]
    numbers = count(start)
    apart = 256
    while True:
        group = next(numbers)
        for round_, (first, second, third, last) in enumerate(templates):
            for n in range(apart):
                patient = b"B%d" % (group * apart + n)
                control_id = b"%s%c" % (patient, 65 + round_)
                yield control_id, b"".join((first, control_id, second, patient, third, patient, last))


def _template(event: str, structure: str, visit: dict[int, str]) -> tuple[bytes, bytes, bytes, bytes]:
    """A message cut where its control id, its patient's number and its visit's number stand."""
    at = datetime.now(UTC) - timedelta(hours=1)
    who = Person("@NUMBER@", "Load", "Test", "19500101", "F", "eng", "1512873401^Okafor^Grace", "@VISIT@")
    times = {44: North().time(at - timedelta(days=2))} | ({45: North().time(at)} if event == "A03" else {})
    message = frame(North().adt(event, structure, who, at, {**WARD, **visit, **times}))
    first, rest = message.split(b"N900001", 1)
    second, rest = rest.split(b"@NUMBER@", 1)
    third, last = rest.split(b"@VISIT@", 1)
    return first, second, third, last
