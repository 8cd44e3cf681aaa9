"""Processes are killed at random instants, under load and on a slow disk: nothing is lost, nothing doubled.

Issue 7 and RELIABILITY R2. A kill alone is too weak a test: where a sync takes no time, an answer that
leaves before its commit is not found out. `make crash CYCLES=100` does more than the default.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.proof.onslaught import Onslaught
from tests.proof.verdict import assert_all_is_well

SLOW_MS = 40
WINDOWS = (1, 1, 1, 6)  # how many messages are on their way at once, for each sender


@pytest.mark.slow
def test_what_was_acknowledged_is_there_and_its_effects_stand_once(
    attacked: Onslaught, tmp_path: Path
) -> None:
    assail(attacked, cycles=4, seed=7)
    assert_all_is_well(attacked, tmp_path)


@pytest.mark.crash
@pytest.mark.parametrize("seed", [1, 2])
def test_many_kills_lose_and_double_nothing(
    attacked: Onslaught, tmp_path: Path, cycles: int, seed: int
) -> None:
    assail(attacked, cycles, seed)
    assert_all_is_well(attacked, tmp_path)


def assail(attacked: Onslaught, cycles: int, seed: int) -> None:
    attacked.slow(SLOW_MS)
    attacked.trial.start()
    attacked.load(WINDOWS)
    attacked.kill_at_random(cycles, Random(seed))
    attacked.finish()
