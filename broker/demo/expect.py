"""What must be so when the story has been played: looked up in the store, not in the broker. Floor 11."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.demo.beside import Beside
from broker.demo.people import Person
from broker.demo.play import Played
from broker.demo.story import (
    BRANDT,
    CASTELLANOS,
    FAIRBANK,
    HOLLIS,
    MERCER,
    PEOPLE,
    SATO,
    UNKNOWN,
    VARGA,
)
from broker.store.patient_reads import Told
from broker.store.reads import CodeLine, DeliveryLine, MessageLine, PatientLine, TaskLine

__all__ = ["Expectation", "Found", "judge"]

ENDED = ("delivered", "withdrawn")


@dataclass(frozen=True, slots=True)
class Found:
    """What the stores and the broker's destinations hold after the story."""

    played: Sequence[Played]
    messages: Sequence[MessageLine]
    tasks: Sequence[TaskLine]
    notifications: Sequence[Told]
    deliveries: Sequence[DeliveryLine]
    codes: Sequence[CodeLine]
    patients: Mapping[int, PatientLine]
    beside: Beside

    def became(self, played: Played) -> str:
        """What became of a message of the story; of one that was sent twice, each time its own."""
        same = [one for one in self.played if one.step.control_id == played.step.control_id]
        rows = [line for line in reversed(self.messages) if line.control_id == played.step.control_id]
        number = next(number for number, one in enumerate(same) if one is played)
        return rows[number].outcome if number < len(rows) else "not worked"

    def tasks_of(self, who: Person) -> list[str]:
        """The kinds of the open tasks of a patient, each as often as it stands."""
        return sorted(task.kind for task in self.tasks if task.patient_number == who.number)

    def told(self) -> list[tuple[Told, list[DeliveryLine]]]:
        """Each notification with its deliveries, the earliest event first."""
        return [
            (
                one,
                [
                    line
                    for line in reversed(self.deliveries)
                    if (line.patient, line.notification) == (one.patient, one.n)
                ],
            )
            for one in reversed(self.notifications)
        ]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that must be so, in words, whether it is, and what is there instead."""

    words: str
    held: bool
    instead: str = ""


def judge(found: Found) -> list[Expectation]:
    """Every expectation of the demo."""
    return [*_answers(found), *_tasks(found), *_telling(found)]


def _answers(found: Found) -> Iterator[Expectation]:
    wrong = [f"{one.step.title}: {one.answered}" for one in found.played if one.answered != one.step.answer]
    yield Expectation("every message was answered as it should be", not wrong, "; ".join(wrong))
    became = [(one.step.title, found.became(one), one.step.becomes) for one in found.played]
    wrong = [f"{title}: {outcome}" for title, outcome, right in became if outcome != right]
    yield Expectation("every message became what it should", not wrong, "; ".join(wrong))
    codes = {(code.channel, code.code) for code in found.codes}
    yield Expectation("the unknown code is kept and listed", codes == {("lakeside", "RESP")}, str(codes))


HOME = {"post_discharge_call", "medication_reconciliation", "follow_up_visit", "discharge_summary"}
ONWARD = {"transfer_packet", "facility_watch"}


def _tasks(found: Found) -> Iterator[Expectation]:
    for who, needed in (
        (HOLLIS, HOME | {"corrected_result"}),
        (CASTELLANOS, HOME),
        (SATO, HOME),
        (VARGA, ONWARD),
        (BRANDT, ONWARD),
        (FAIRBANK, {"bereavement"}),
        (MERCER, {"merge_reconcile"}),
    ):
        tasks = found.tasks_of(who)
        words = f"{who.given} {who.family} has the tasks {', '.join(sorted(needed))}"
        yield Expectation(words, needed <= set(tasks), ", ".join(tasks))
    called = [who.family for who in (VARGA, BRANDT, FAIRBANK) if "post_discharge_call" in found.tasks_of(who)]
    yield Expectation("nobody calls who is in a facility or has died", not called, ", ".join(called))
    calls = found.tasks_of(HOLLIS).count("post_discharge_call")
    yield Expectation("of June Hollis's two discharges one call stands", calls == 1, str(calls))
    unsure = [task.kind for task in found.tasks if task.patient_number == SATO.number and task.verify]
    yield Expectation("what rests on the unknown code is to be verified", bool(unsure), "nothing is")
    persons = {one.person for one in found.patients.values() if one.number in (MERCER.number, UNKNOWN.number)}
    yield Expectation("the two records of Ruth Mercer are one person", len(persons) == 1, str(persons))


def _telling(found: Found) -> Iterator[Expectation]:
    open_ = [
        f"{one.destination} {one.state} {one.code}" for one in found.deliveries if one.state not in ENDED
    ]
    yield Expectation(
        "every delivery came to its end", bool(found.deliveries) and not open_, "; ".join(open_)
    )
    delivered = [one for one in found.deliveries if one.state == "delivered"]
    yield Expectation("every delivery has its proof", all(one.proof for one in delivered))
    arrived = len(found.beside.mails.taken) + len(found.beside.records.received)
    yield Expectation(
        "each arrived exactly once", arrived == len(delivered), f"{arrived} of {len(delivered)}"
    )
    for name in ("Okafor, Grace", "Bose, Anjali"):
        kinds = {
            told.kind for told, sent in found.told() for line in sent
            if line.recipient == name and line.state == "delivered"
        }  # fmt: skip
        yield Expectation(f"{name} was told of a discharge", "Discharge" in kinds, ", ".join(sorted(kinds)))
    retracted = [one for one in delivered if one.act == "retract" and one.recipient == "Okafor, Grace"]
    yield Expectation("the cancelled discharge was taken back", bool(retracted), "nothing was retracted")
    named = [who.family for who in PEOPLE for mail in found.beside.mails.taken if who.family in mail.text]
    yield Expectation("no mail names a patient", not named, ", ".join(sorted(set(named))))
