"""Waits double with jitter and end; a destination that is down rests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.channel import Retry
from broker.flow.retry import Pause, next_attempt

DAY = timedelta(days=1)
RETRY = Retry(first_secs=5, give_up_hours=36)


@pytest.mark.parametrize(("attempts", "secs"), [(1, 5), (2, 10), (3, 20), (7, 300), (500, 300)])
def test_each_wait_is_twice_the_one_before_up_to_the_longest(attempts: int, secs: float) -> None:
    assert next_attempt(RETRY, attempts, DAY, lambda: 1.0) == timedelta(seconds=secs)
    assert next_attempt(RETRY, attempts, DAY, lambda: 0.0) == timedelta(seconds=secs / 2)


def test_what_is_older_than_it_may_become_is_given_up() -> None:
    assert next_attempt(RETRY, 9, 2 * DAY, lambda: 1.0) is None


def test_one_failed_attempt_is_never_the_end() -> None:
    assert next_attempt(RETRY, 1, 3 * DAY, lambda: 1.0) == timedelta(seconds=5)


def test_a_destination_rests_longer_and_longer_once_three_patients_in_a_row_have_failed() -> None:
    pause = Pause(first_secs=5)
    rests = []
    for lane in range(8):
        pause.failed(lane)
        rests.append(pause.secs(lambda: 1.0))
    assert rests == [0, 0, 5, 10, 20, 40, 60, 60]
    pause.answered()
    assert pause.secs(lambda: 1.0) == 0


def test_one_patients_failures_are_no_reason_to_rest() -> None:
    pause = Pause(first_secs=5)
    for _ in range(20):
        pause.failed(7)
    assert not pause.down
