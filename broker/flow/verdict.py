"""Mapping before the answer (`acknowledge: mapped`): a few child processes say whether a message can be used.

A child reads, routes and maps as the worker will, with a time limit, and writes nothing. If it dies or takes
too long, the message is answered as one that cannot be mapped, and a new child takes its place. Floor 8.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from struct import Struct
from typing import Any

import structlog
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from broker.hl7 import Problem

__all__ = ["HEADER", "Verdict", "Verdicts"]

log = structlog.get_logger()

HEADER = Struct(">I")  # before each piece on a pipe: its length
START_SECS = 30.0
REST_SECS = 1.0  # before a child that died is followed by another

Verdict = Problem | None
SLOW = Problem("207", "the mapping took too long, and was given up")
DIED = Problem("207", "the mapping failed in a way that nobody foresaw")


class Verdicts(Service):
    """`children` processes with the same project, each with one message at a time."""

    def __init__(self, files: Mapping[str, bytes], reactor: Any, *, children: int, limit_secs: float) -> None:
        self.reactor, self.limit_secs = reactor, limit_secs
        self.project = json.dumps({name: b64encode(body).decode() for name, body in files.items()}).encode()
        self.deaths = 0
        self._wanted = children
        self._children: set[_Child] = set()
        self._free: deque[_Child] = deque()
        self._waiting: deque[_Question] = deque()
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for _ in range(self._wanted):
            self._spawn()

    def stopService(self) -> Deferred[None] | None:
        super().stopService()  # type: ignore[no-untyped-call]
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            question.answer(DIED)
        if not self._children:
            return None
        self._stopped = Deferred()
        for child in tuple(self._children):
            child.kill()
        return self._stopped

    def ask(self, channel: str, raw: bytes) -> Deferred[Verdict]:
        """What is wrong with a message, by its channel's mappings; None: nothing. Never fails."""
        question = _Question(channel, raw)
        self._waiting.append(question)
        self._next()
        return question.verdict

    def _next(self) -> None:
        while self._waiting and self._free:
            self._free.popleft().ask(self._waiting.popleft())

    def _spawn(self) -> None:
        if not self.running:
            return
        child = _Child(self)
        self._children.add(child)
        self.reactor.spawnProcess(
            child,
            sys.executable,
            [sys.executable, "-m", "broker.flow.verdict_child"],
            env=dict(os.environ),
            childFDs={0: "w", 1: "r", 2: 2},
        )

    def free(self, child: _Child) -> None:
        """A child is ready for a message."""
        self._free.append(child)
        self._next()

    def ended(self, child: _Child) -> None:
        """A child is gone; another takes its place."""
        self._children.discard(child)
        if child in self._free:
            self._free.remove(child)
        if self.running:
            self.deaths += 1
            log.error("verdict.child_ended", deaths=self.deaths)
            self.reactor.callLater(0 if child.was_ready else REST_SECS, self._spawn)
            if not child.was_ready:
                # None of them may ever be: who waits must not wait for good.
                waiting, self._waiting = self._waiting, deque()
                for question in waiting:
                    question.answer(DIED)
        elif not self._children and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)


class _Question:
    def __init__(self, channel: str, raw: bytes) -> None:
        self.channel, self.raw = channel, raw
        self.verdict: Deferred[Verdict] = Deferred()

    def answer(self, verdict: Verdict) -> None:
        if not self.verdict.called:
            self.verdict.callback(verdict)


class _Child(ProcessProtocol):
    """One child: told the project at its start, then one message after another."""

    transport: Any

    def __init__(self, pool: Verdicts) -> None:
        self._pool = pool
        self._buffer = bytearray()
        self._question: _Question | None = None
        self._limit: Any = None
        self.was_ready = False

    def connectionMade(self) -> None:
        self._write(self._pool.project)
        self._limit = self._pool.reactor.callLater(START_SECS, self.kill)

    def ask(self, question: _Question) -> None:
        """Hands a message to the child."""
        self._question = question
        self._limit = self._pool.reactor.callLater(self._pool.limit_secs, self._too_slow)
        self._write(question.channel.encode() + b"\0" + question.raw)

    def _write(self, body: bytes) -> None:
        self.transport.write(HEADER.pack(len(body)) + body)

    def outReceived(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < HEADER.size + size:
                return
            body = bytes(self._buffer[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            self._said(json.loads(body))

    def _said(self, said: dict[str, str]) -> None:
        self._limit.cancel()
        self.was_ready = True
        question, self._question = self._question, None
        self._pool.free(self)
        if question is not None:
            question.answer(Problem(said["code"], said["text"], said["where"]) if said else None)

    def _too_slow(self) -> None:
        question, self._question = self._question, None
        self.kill()
        if question is not None:
            question.answer(SLOW)

    def kill(self) -> None:
        """Ends the child, whatever it does."""
        if self.transport.pid:
            self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        question, self._question = self._question, None
        self._pool.ended(self)
        if question is not None:
            question.answer(DIED)
