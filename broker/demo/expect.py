"""What must be so when the story has been played: looked up in the store, not in the broker. Floor 11."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broker.demo.beside import Beside
from broker.demo.play import Played
from broker.store.reads import CodeLine, DeliveryLine, MessageLine, TaskLine

__all__ = ["Expectation", "Found", "judge"]


@dataclass(frozen=True, slots=True)
class Found:
    """What the stores and the broker's destinations hold after the story."""

    played: Sequence[Played]
    messages: Sequence[MessageLine]
    tasks: Sequence[TaskLine]
    deliveries: Sequence[DeliveryLine]
    codes: Sequence[CodeLine]
    beside: Beside

    def became(self, played: Played) -> list[str]:
        """What became of the rows of one message of the story, in the order in which they came."""
        return [line.outcome for line in reversed(self.messages) if line.control_id == played.step.control_id]

    def tasks_of(self, number: str) -> set[str]:
        """The kinds of the open tasks of a patient."""
        return {task.kind for task in self.tasks if task.patient_number == number}


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
    wrong = [one for one in found.played if one.answered != one.step.answer]
    told = ", ".join(f"{one.step.title}: {one.answered}" for one in wrong)
    yield Expectation("every message was answered as it should be", not wrong, told)
    wrong = [one for one in found.played if one.step.becomes not in found.became(one)]
    told = ", ".join(f"{one.step.title}: {found.became(one)}" for one in wrong)
    yield Expectation("every message became what it should", not wrong, told)
    refused = sum(line.outcome == "refused" for line in found.messages)
    yield Expectation("nothing was refused", not refused, f"{refused} messages")
    codes = {(code.channel, code.code) for code in found.codes}
    yield Expectation("the unknown code is kept and listed", codes == {("lakeside", "RESP")}, str(codes))


def _tasks(found: Found) -> Iterator[Expectation]:
    return iter(())


def _telling(found: Found) -> Iterator[Expectation]:
    unsettled = [one for one in found.deliveries if one.state != "delivered"]
    told = ", ".join(f"{one.destination}: {one.state}" for one in unsettled)
    yield Expectation(
        "every delivery was delivered", bool(found.deliveries) and not unsettled, told or "none"
    )
    unproved = [one for one in found.deliveries if one.state == "delivered" and not one.proof]
    yield Expectation("every delivery has a proof", not unproved, f"{len(unproved)} have none")
