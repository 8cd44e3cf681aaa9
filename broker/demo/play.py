"""Plays the story to a broker over real MLLP, and waits until everything has followed from it. Floor 11."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from broker.demo.story import Step
from broker.errors import OperationError
from broker.mllp_line import MllpLine
from broker.trial import Trial

__all__ = ["Played", "play", "settled"]

WAITING = ("queued", "sending")


@dataclass(frozen=True, slots=True)
class Played:
    """A message of the story and what it was answered."""

    step: Step
    answered: str


def play(
    steps: Iterable[Step],
    trial: Trial,
    ports: Mapping[str, int],
    told: Callable[[Step], None],
    pause_secs: float = 0.15,
) -> list[Played]:
    """Sends each message over its hospital's connection and waits for its answer, as hospitals do."""
    lines = {hospital: MllpLine("127.0.0.1", port, 30) for hospital, port in ports.items()}
    played = []
    try:
        for step in steps:
            told(step)
            if step.later:
                settled(trial)
            answer = lines[step.hospital].ask(step.message)
            played.append(Played(step, answer.get("MSA-1")))
            time.sleep(pause_secs)
    finally:
        for line in lines.values():
            line.close()
    return played


def settled(trial: Trial, wait_secs: float = 60) -> None:
    """Waits until every message is worked and every delivery has come to an end."""
    until = time.monotonic() + wait_secs
    while True:
        status = trial.status()
        waits = sum(states.get(state, 0) for states in status["deliveries"].values() for state in WAITING)
        if not status["backlog"] and not waits:
            return
        if time.monotonic() > until:
            raise OperationError(
                f"{status['backlog']} messages are not worked and {waits} deliveries are under way",
                code="not_settled",
            )
        time.sleep(0.1)
