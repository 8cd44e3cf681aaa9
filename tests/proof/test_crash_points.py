"""Processes die at each of their named points, under load and on a slow disk (RELIABILITY R3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.proof.hospital import Sender, Sent, histories
from tests.proof.onslaught import Onslaught
from tests.proof.verdict import assert_all_is_well

SLOW_MS = 40
POINTS = (
    "journal.before_begin", "journal.between_inserts", "journal.before_commit", "journal.after_commit",
    "journal.long_part", "intake.before_answer", "intake.after_answer",
    "worker.after_load", "worker.before_save", "care.after_begin", "care.after_cursors", "care.before_commit",
    "care.after_commit", "worker.after_save", "worker.in_hand",
    "sender.before_claim", "sender.after_claim", "sender.before_send", "sender.after_send",
    "sender.before_settle", "sender.after_settle",
)  # fmt: skip
A_FEW = (
    "journal.before_commit", "intake.before_answer", "care.after_cursors", "worker.after_save",
    "sender.after_send",
)  # fmt: skip
LONG = b"ZZZ|" + b"x" * (5 << 19) + b"\r"  # a frame of several parts


@pytest.mark.slow
def test_a_death_at_a_few_points(onslaught: Callable[..., Onslaught], tmp_path: Path) -> None:
    attacked = onslaught()
    die(attacked, A_FEW, hits=1)
    assert_all_is_well(attacked, tmp_path)


@pytest.mark.crash
def test_deaths_at_every_point(attacked: Onslaught, tmp_path: Path, cycles: int) -> None:
    send_long_frames(attacked)
    die(attacked, POINTS, hits=max(1, cycles // 12))
    assert_all_is_well(attacked, tmp_path)


def die(attacked: Onslaught, points: Sequence[str], hits: int) -> None:
    random = Random(len(points))
    attacked.slow(SLOW_MS)
    attacked.trial.start()
    attacked.load((1, 1, 6))
    for point in points:
        for _ in range(hits):
            attacked.die_at(point, random.randint(1, 3))
    attacked.finish()


def send_long_frames(attacked: Onslaught) -> None:
    """One more hospital, whose messages are long ones."""

    def long() -> Iterator[Sent]:
        for control_id, message in histories("L"):
            yield control_id, message + LONG

    sender = Sender(attacked.port, long(), window=1, rest_secs=0.5)
    attacked.senders.append(sender)
    sender.start()
