"""Named points at which a process can be made to die, for the proof that nothing is lost. Floor 0.

`BROKER_CRASH=journal.before_commit` kills the process with SIGKILL when it comes to that point,
`journal.before_commit:7` when it comes there for the seventh time. `BROKER_CRASH=@FILE` reads the same from
a file that may come at any time; whoever dies of it takes it away first, so it is one death. Without the
variable `at` does nothing and costs a call.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

__all__ = ["armed", "at"]


def _nowhere(point: str) -> None:
    """No crash is asked for."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def armed(asked: str, die: Callable[[], None] = _die) -> Callable[[str], None]:
    """What `at` is where `asked` stands in the environment."""
    if not asked:
        return _nowhere
    if asked.startswith("@"):
        return _armed_by_file(Path(asked[1:]), die)
    name, _, times = asked.partition(":")
    left = int(times or 1)

    def at(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                die()

    return at


def _armed_by_file(file: Path, die: Callable[[], None]) -> Callable[[str], None]:
    """The file's text is `point`, `point:times` or `point:times:anything that tells it from the last one`."""
    known, name, left = "", "", 0

    def at(point: str) -> None:
        nonlocal known, name, left
        try:
            asked = file.read_text()
        except FileNotFoundError:
            known = ""
            return
        if asked != known:
            known = asked
            name, times, *_ = (*asked.split(":"), "1")
            left = int(times)
        if point == name:
            left -= 1
            if left == 0 and _taken(file):
                die()

    return at


def _taken(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


at: Callable[[str], None] = armed(os.environ.get("BROKER_CRASH", ""))
