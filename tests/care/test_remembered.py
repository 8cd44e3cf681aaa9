"""Records that are kept between decisions decide as those that are read anew each time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from broker.care.given import Due
from broker.care.record import Record
from tests.care.people import GIVEN, RULES, Saying, Stored, World, minutes, rule
from tests.care.test_properties import NUMBERS, histories, small


@dataclass
class Remembering(World):
    """A world that reads a record only where another than it left is stored."""

    kept: dict[int, tuple[Stored, Record]] = field(default_factory=dict)

    def read(self, stored: Stored) -> Record:
        kept = self.kept.get(stored.patient)
        return kept[1] if kept and kept[0] is stored else super().read(stored)

    def write(self, record: Record) -> None:
        super().write(record)
        record.written = frozenset()
        self.kept[record.patient] = self.records[record.patient], record


def both() -> tuple[World, Remembering]:
    made = World(replace(GIVEN, now=minutes(4000))), Remembering(replace(GIVEN, now=minutes(4000)))
    for one in made:
        for number in NUMBERS:
            one.patient(number)
    return made


@small
@given(histories(least=2, most=12), st.data())
def test_what_is_remembered_decides_as_what_is_read_anew(history: list[Saying], data: st.DataObject):
    reading, remembering = both()
    for saying in history:
        assert remembering.hear(saying) == reading.hear(saying)
        if data.draw(st.integers(0, 3)) == 0:
            at = reading.given.now + timedelta(hours=data.draw(st.integers(1, 60)))
            assert remembering.tick(at) == reading.tick(at)
    assert remembering.records == reading.records


@small
@given(histories(least=2), st.data())
def test_it_does_so_too_when_a_fact_goes_or_rules_change(history: list[Saying], data: st.DataObject):
    reading, remembering = both()
    for saying in history:
        assert remembering.hear(saying) == reading.hear(saying)
    gone = data.draw(st.sampled_from(history))
    assert remembering.hear(gone=[gone.fact(remembering)]) == reading.hear(gone=[gone.fact(reading)])
    rules = [one for one in RULES if data.draw(st.booleans())]
    rules.append(rule("new_one", Due(days=1), status=("in_progress", "discharged")))
    for one in (reading, remembering):
        one.given = replace(one.given, rules=tuple(rules))
    again = replace(data.draw(st.sampled_from(history)), place=99)
    assert remembering.hear(again) == reading.hear(again)
    assert remembering.records == reading.records
