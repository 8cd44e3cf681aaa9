"""Answers as they go over the wire, many a second. Floor 8.

`acknowledge` composes each kind of answer once a second; the others of that second differ from it only in
their own MSH-10 and in the MSA-2 that they echo, and are put together from its pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import cast

from broker.hl7.ack import AckCode, Answer, Problem, acknowledge
from broker.hl7.framing import END, START
from broker.hl7.header import Header

__all__ = ["Answers"]

# Stand for the two control ids in a composed answer; no delimiter and no escape is a letter or a digit.
OWN, ECHOED = "0own0own0own0own0", "0ech0ech0ech0ech0"
MAX_PATTERNS = 2000

Pattern = tuple[bytes, bytes, bytes]


class Answers:
    """Composes framed answers. `name`, of this process and start only, begins each answer's own MSH-10."""

    def __init__(self, name: str, now: Callable[[], datetime], seconds: Callable[[], float]) -> None:
        self._own = f"{name}%d"
        self._numbers = count(1)
        self.now, self._seconds = now, seconds
        self._patterns: dict[object, Pattern] = {}
        self._until = 0.0
        self._time = now()

    def accept(self, header: Header, codes: tuple[str, ...]) -> bytes:
        """The framed answers, one a code, of a message with which nothing is wrong."""
        if len(codes) == 1:
            return self._plain(header, codes[0])
        return b"".join([self._plain(header, code) for code in codes])

    def _plain(self, header: Header, code: str) -> bytes:
        if self._seconds() >= self._until:
            self._patterns.clear()
            self._time, self._until = self.now(), self._seconds() + 1.0
        fields = header.fields
        # All of MSH that `acknowledge` reads, but MSH-10.
        key = (code, fields[1:7], fields[9], fields[11:13], fields[15:19], header.old_event)
        pattern = self._patterns.get(key)
        if pattern is None:
            pattern = self._patterns[key] = self._pattern(header, code)
        before, between, after = pattern
        own = self._own % next(self._numbers)
        return b"%b%b%b%b%b" % (before, own.encode(), between, fields[10].encode("latin-1"), after)

    def _pattern(self, header: Header, code: str) -> Pattern:
        if len(self._patterns) >= MAX_PATTERNS:
            self._patterns.clear()
        fields = header.fields
        bare = replace(header, fields=(*fields[:10], ECHOED, *fields[11:]))
        composed = acknowledge(bare, Answer(cast(AckCode, code)), control_id=OWN, now=self._time)
        before, rest = composed.split(OWN.encode(), 1)
        between, after = rest.rsplit(ECHOED.encode(), 1)
        return START + before, between, after + END

    def payload(self, header: Header | None, code: str, problems: tuple[Problem, ...] = ()) -> bytes:
        """One answer without its frame, to any message, or to one of which nothing could be read."""
        answer = Answer(cast(AckCode, code), problems)
        return acknowledge(header, answer, control_id=self.next_id(), now=self.now())

    def next_id(self) -> str:
        """A control id that we have not used before."""
        return self._own % next(self._numbers)
