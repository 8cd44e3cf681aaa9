"""What each process notes of itself in the data folder: that it is there, and when it last made progress.

Floor 4: it knows the file system and nothing of what the processes do. The note is a small file that is
locked for as long as its process lives, so nobody is taken for alive who is dead, whatever number the
operating system gives to whom. The supervisor reads it, and `broker status`, and /readyz.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from broker.errors import OperationError

__all__ = ["PARENT", "Presence", "Present", "die_with_parent", "present"]

PARENT = "HANDOFF_PARENT"  # in a process's environment: the process id that it must not outlive

# process id, port of /metrics, time of the last beat (this machine's monotonic clock), ready or not
_NOTE = struct.Struct("<qqd?")


class Presence:
    """This process's note. `name` is unique in a data folder: intake, web, deliver-1, work-1, ..."""

    def __init__(self, folder: Path, name: str, metrics_port: int = 0) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = open(folder / name, "a+b")  # noqa: SIM115 - held open: its lock says that we live
        if not _locked(self._file):
            self._file.close()
            raise OperationError(f"{name} runs already on this data folder", code="runs_already")
        self._file.truncate(_NOTE.size)
        self._map = mmap.mmap(self._file.fileno(), _NOTE.size)
        self._port, self._ready = metrics_port, False
        self.beat()

    def beat(self) -> None:
        """Notes that progress was made now. Takes a microsecond and never blocks."""
        _NOTE.pack_into(self._map, 0, os.getpid(), self._port, time.monotonic(), self._ready)

    def ready(self) -> None:
        """Notes that this process does its work from now on: what it listens on is open."""
        self._ready = True
        self.beat()

    def close(self) -> None:
        """Takes the note away. A process that is killed need not call it."""
        self._map.close()
        self._file.close()


def _locked(note: IO[bytes]) -> bool:
    """Takes the lock. Readers hold it for moments, so one who finds it taken looks again for a second."""
    until = time.monotonic() + 1
    while True:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Present:
    """A process as its note says. `beat_at` is in seconds of this machine's monotonic clock."""

    name: str
    pid: int
    metrics_port: int
    beat_at: float
    ready: bool


def present(folder: Path) -> Iterator[Present]:
    """The processes that live on this data folder, by name."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as note:
            try:
                fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                content = note.read(_NOTE.size)
                if len(content) == _NOTE.size:
                    yield Present(path.name, *_NOTE.unpack(content))


def die_with_parent() -> None:
    """Has the kernel end this process when the one that `PARENT` names, which started it, is gone.

    The end is a SIGTERM, so what is in hand is finished; the process itself sees to it that this ends. Linux
    only; does nothing where nobody is named.
    """
    parent = os.environ.get(PARENT)
    if parent is None or not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)
