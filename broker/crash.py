"""Named points at which a process can be made to die, for the proof that nothing is lost. Floor 0.

`BROKER_CRASH=journal.before_commit` kills the process with SIGKILL when it comes to that point,
`journal.before_commit:7` when it comes there for the seventh time. Without the variable `at` does nothing
and costs a call.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

__all__ = ["at"]


def _nowhere(point: str) -> None:
    """No crash is asked for."""


def _armed(asked: str) -> Callable[[str], None]:
    name, _, times = asked.partition(":")
    left = int(times or 1)

    def at(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


at: Callable[[str], None] = _armed(os.environ["BROKER_CRASH"]) if os.environ.get("BROKER_CRASH") else _nowhere
