"""Whether a message has the structure that its version says, as hl7apy sees it (`validate: yes`). Floor 8.

hl7apy builds everything it reads, slowly, and can be led astray: it runs in a child process with a limit of
time and memory, which is begun when it is first asked for. Its texts can hold what stood in a field, so they
are told only as far as they name places.
"""

from __future__ import annotations

import re
import resource
import select
import subprocess
import sys
from struct import Struct
from typing import IO

from broker.hl7 import Message, Problem, Unreadable

__all__ = ["StructureCheck", "structure_problem"]

SIZE = Struct(">I")
LIMIT_SECS = 10.0
MEMORY_BYTES = 1024**3

_MISSING = re.compile(r"Missing required child ([A-Z0-9_]+(?:\.[A-Z0-9_]+)?)")
_TOO_MANY = re.compile(r"Child limit exceeded ([A-Z0-9_]+(?:\.[A-Z0-9_]+)?)")
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})_([0-9]{1,3})\b")


def structure_problem(raw: bytes, default_charset: str | None = None) -> Problem | None:
    """What hl7apy finds wrong first; None: nothing. To be called in a process of its own."""
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message
    from hl7apy.validation import Validator

    try:
        codec = Message(raw, default_charset=default_charset).charset
    except Unreadable as error:
        return Problem(error.ack_code, error.text, error.where)
    text = raw.decode(codec, "replace").replace("\r\n", "\r").replace("\n", "\r")
    try:
        parsed = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
        Validator.validate(parsed)
    except HL7apyException as error:
        return _told(str(error))
    except Exception:  # hl7apy trips over much that it does not foresee
        return Problem("207", "hl7apy cannot read the structure of this message")
    return None


def _told(said: str) -> Problem:
    if found := _MISSING.search(said):
        return Problem("101", f"{found[1]} is required by the structure of this version", _where(found[1]))
    if found := _TOO_MANY.search(said):
        return Problem("198", f"{found[1]} stands more often than the structure allows", _where(found[1]))
    where = _where(said)
    return Problem("199", "the structure is not that of this message's type and version", where)


def _where(text: str) -> str:
    found = _PLACE.search(text)
    return f"{found[1]}-{int(found[2])}" if found else ""


class StructureCheck:
    """Asks a child process; blocks for at most `limit_secs`. After one that dies or hangs comes another."""

    def __init__(self, limit_secs: float = LIMIT_SECS) -> None:
        self._limit_secs = limit_secs
        self._child: subprocess.Popen[bytes] | None = None

    def problem(self, raw: bytes, default_charset: str | None = None) -> Problem | None:
        """What is wrong with the structure of a message; None: nothing."""
        child = self._child = self._child or self._begin()
        assert child.stdin is not None and child.stdout is not None
        asked = (default_charset or "").encode() + b"\0" + raw
        try:
            child.stdin.write(SIZE.pack(len(asked)) + asked)
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], self._limit_secs)
            said = _read(child.stdout) if ready else None
        except OSError:
            said = None
        if said is None:
            self.close()
            return Problem("207", "hl7apy took too long over the structure of this message, or failed")
        code, text, where = said.decode().split("\0")
        return Problem(code, text, where) if code else None

    def _begin(self) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "broker.flow.structure"]
        child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert child.stdout is not None
        _read(child.stdout)  # it is ready: its imports do not count
        return child

    def close(self) -> None:
        """Ends the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def _read(source: IO[bytes]) -> bytes | None:
    """The next piece; None at the end."""
    size = _exactly(source, SIZE.size)
    return None if size is None else _exactly(source, SIZE.unpack(size)[0])


def _exactly(source: IO[bytes], count: int) -> bytes | None:
    got = b""
    while len(got) < count:
        piece = source.read(count - len(got))
        if not piece:
            return None
        got += piece
    return got


def main() -> None:
    """The child: answers until its parent closes the pipe."""
    import hl7apy.parser
    import hl7apy.validation  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _write(sink, b"")
    while (asked := _read(source)) is not None:
        charset, _, raw = asked.partition(b"\0")
        found = structure_problem(raw, charset.decode() or None)
        words = (found.code, found.text, found.where) if found else ("", "", "")
        _write(sink, "\0".join(words).encode())


def _write(sink: IO[bytes], said: bytes) -> None:
    sink.write(SIZE.pack(len(said)) + said)
    sink.flush()


if __name__ == "__main__":
    main()
