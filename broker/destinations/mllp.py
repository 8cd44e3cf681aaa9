"""MLLP out: kept connections, one message outstanding on each, answers matched by MSA-2. Floor 5.

Source: HL7 v2.5.1, chapter 2.9 (original and enhanced acknowledgement) and appendix C.4 (MLLP).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from broker.destinations.base import Destination, DestinationOptions, Parcel, Tools, without_delay
from broker.destinations.tls import TlsOptions, client_tls
from broker.errors import Hl7Error
from broker.hl7 import Acknowledged, Deframer, frame, header, read_acknowledgement, wanted
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear

__all__ = ["Mllp", "MllpDestination", "MllpWire"]

Code = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
Meaning = Literal["delivered", "rejected", "later"]
AS_THE_STANDARD_SAYS: dict[Code, Meaning] = {
    "AA": "delivered",
    "CA": "delivered",
    "AE": "rejected",
    "CE": "rejected",
    "AR": "later",
    "CR": "later",
}
UNASKED_SECS = 1.0
"""How long a connection must stand after a message whose own MSH-15 and MSH-16 ask for no answer."""
HALF_ENDED_SECS = 0.1
"""A frame whose FS has come and whose CR has not is whole after this time."""


class Mllp(DestinationOptions, TlsOptions):
    """Sends HL7 messages to another system over MLLP and reads its answers."""

    needs_payload: ClassVar[bool] = True

    host: str = Field(min_length=1, description="Name or address of their system.")
    port: int = Field(ge=1, le=65535, description="Their MLLP port.")
    tls: bool = Field(default=False, description="TLS from the first byte. Their certificate is verified.")
    connect_secs: float = Field(default=10, gt=0, description="How long connecting may take.")
    answer_secs: float = Field(
        default=60, gt=0, description="How long they may take to answer; then the connection is dropped."
    )
    answers: dict[Code, Meaning] = Field(
        default=AS_THE_STANDARD_SAYS,
        description="What an answer code means: delivered, rejected (a person decides) or later (try again).",
    )
    await_application: bool = Field(
        default=False,
        description="After CA, wait for the application's answer (AA, AE, AR) on the same connection.",
    )
    max_answer_bytes: int = Field(default=1_048_576, ge=1024, description="A longer answer is none.")

    @field_validator("answers", mode="after")
    @classmethod
    def _whole(cls, answers: dict[Code, Meaning]) -> dict[Code, Meaning]:
        return AS_THE_STANDARD_SAYS | answers

    def open(self, tools: Tools) -> Destination:
        endpoint: Any = HostnameEndpoint(tools.reactor, self.host, self.port, timeout=self.connect_secs)
        if self.tls:
            endpoint = wrapClientTLS(client_tls(self, self.host, tools), endpoint)
        return MllpDestination(endpoint, self, tools.reactor)


class MllpDestination:
    """`connections` kept connections; a parcel goes by the one of its lane."""

    def __init__(self, endpoint: IStreamClientEndpoint, options: Mllp, clock: Any) -> None:
        self._lanes = [_Lane(endpoint, options, clock) for _ in range(options.connections)]

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        return self._lanes[parcel.lane % len(self._lanes)].deliver(parcel)

    def close(self) -> Deferred[None]:
        return DeferredList([lane.close() for lane in self._lanes]).addCallback(lambda _: None)


class _Lane:
    """One kept connection and the turn to use it."""

    def __init__(self, endpoint: IStreamClientEndpoint, options: Mllp, clock: Any) -> None:
        self._options, self._clock = options, clock
        self._turn: DeferredLock = DeferredLock()
        self._closed = False
        self._wire: MllpWire | None = None
        self._kept = ClientService(
            endpoint,
            Factory.forProtocol(lambda: MllpWire(clock, options.max_answer_bytes)),
            retryPolicy=backoffPolicy(
                initialDelay=0.25, maxDelay=max(options.connect_secs / 2, 0.25), factor=2
            ),
            clock=clock,
        )

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        problem = unsendable(parcel.payload)
        if problem is not None:
            ended: Deferred[Outcome] = Deferred()
            ended.callback(problem)
            return ended
        return self._turn.run(lambda: Deferred.fromCoroutine(self._attempt(parcel)))

    async def _attempt(self, parcel: Parcel) -> Outcome:
        if self._closed:
            return Failed("closed")
        wire = await self._connected()
        if isinstance(wire, Failed):
            return wire
        if self._clock.seconds() > parcel.send_before:
            return Failed("too_late")
        if not wire.usable:
            return Failed("connection_lost")
        payload = parcel.payload or b""
        sent = header(payload)
        awaits_application = self._options.await_application and wanted(sent, "application", True)
        reading = Answers(sent.control_id, self._options.answers, awaits_application)
        secs, silence = self._options.answer_secs, None
        if not (wanted(sent, "accept", True) or wanted(sent, "application", True)):
            silence = Delivered(f"no answer asked for {sent.control_id}")
            if not (wanted(sent, "accept", False) or wanted(sent, "application", False)):
                secs = min(secs, UNASKED_SECS)
        return await wire.ask(frame(payload), reading.judge, secs, silence)

    async def _connected(self) -> MllpWire | Failed:
        """The kept connection, or the next one; Failed when the next attempt does not succeed."""
        try:
            wire = await self._next_wire()
            if not wire.usable:  # it has just ended, and ClientService is told after us
                await deferLater(self._clock, 0)
                wire = await self._next_wire()
            handshake = wire.when_ready()
            handshake.addTimeout(self._options.connect_secs, self._clock)
            await handshake
        except Exception as error:  # whatever name lookup, network and TLS come up with: nothing was sent
            return Failed("unreachable", type(error).__name__)
        return wire

    async def _next_wire(self) -> MllpWire:
        waiting = self._kept.whenConnected(failAfterFailures=1)
        if not self._kept.running:
            self._kept.startService()
        waiting.addTimeout(self._options.connect_secs, self._clock)
        self._wire = wire = cast(MllpWire, await waiting)
        return wire

    def close(self) -> Deferred[None]:
        self._closed = True
        if not self._kept.running:
            return _fired()
        if self._wire is not None:
            self._wire.cut_off(Unclear("closed"))
        return self._kept.stopService().addCallback(lambda _: self._turn.run(_fired))


def _fired() -> Deferred[None]:
    fired: Deferred[None] = Deferred()
    fired.callback(None)
    return fired


def unsendable(payload: bytes | None) -> Rejected | None:
    """Why these bytes cannot go by MLLP, if so: the frame's own characters within, or nothing to match by."""
    if not payload:
        return Rejected("no_payload")
    if b"\x0b" in payload or b"\x1c" in payload:
        return Rejected("frame_characters")
    try:
        return None if header(payload).control_id else Rejected("no_control_id")
    except Hl7Error as error:
        return Rejected("unreadable_payload", error.code)


class Answers:
    """Reads the answers to one message. A CA may only be the first half of the answer."""

    def __init__(self, control_id: str, meanings: Mapping[Code, Meaning], await_application: bool) -> None:
        self._control_id, self._meanings, self._await_application = control_id, meanings, await_application
        self.accepted = False

    def judge(self, payload: bytes) -> Outcome | None:
        """What the answer means for our message; None when it is another's, or more is to come."""
        try:
            answer = read_acknowledgement(payload)
        except Hl7Error as error:
            return Unclear("unreadable_answer", error.code)
        if answer.control_id != self._control_id:
            return None
        if answer.code == "CA" and self._await_application:
            self.accepted = True
            return None
        match self._meanings.get(cast(Code, answer.code)):
            case "delivered":
                return Delivered(f"{answer.code} {answer.control_id}")
            case "rejected":
                return Rejected(answer.code, why(answer))
            case "later":
                return Failed(answer.code, why(answer))
            case _:
                return Unclear("unknown_answer")


def why(answer: Acknowledged) -> str:
    """What they say is wrong: for people who may see it, since it may hold a patient's; never logged."""
    said = [f"{one.where} {one.code} {one.text}".strip() for one in answer.problems]
    return "; ".join(said or [answer.text])[:300]


@implementer(IHandshakeListener)
class MllpWire(Protocol):
    """One connection. Answers that nobody waits for, and noise between frames, are dropped and counted."""

    transport: Any

    def __init__(self, clock: Any, max_answer_bytes: int) -> None:
        self._clock = clock
        self._deframer = Deframer(max_answer_bytes)
        self._judge: Callable[[bytes], Outcome | None] | None = None
        self._asked: Deferred[Outcome] | None = None
        self._timer: Any = None
        self._half: Any = None
        self._ending: Outcome = Unclear("connection_lost")
        self._ready: list[Deferred[None]] = []
        self._shaken = self._gone = False
        self.usable = False
        self.stray = 0

    def connectionMade(self) -> None:
        self.usable = True
        without_delay(self.transport)
        if not isinstance(self.transport, TLSMemoryBIOProtocol):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        self._shaken = True
        waiting, self._ready = self._ready, []
        for one in waiting:
            one.callback(None)

    def when_ready(self) -> Deferred[None]:
        """Fires when bytes may be sent (after the TLS handshake); fails when that did not come about."""
        ready: Deferred[None] = Deferred(lambda _: self._drop())
        if self._shaken or not self.usable:
            ready.callback(None)
        else:
            self._ready.append(ready)
        return ready

    def ask(
        self,
        framed: bytes,
        judge: Callable[[bytes], Outcome | None],
        answer_secs: float,
        silence: Outcome | None = None,
    ) -> Deferred[Outcome]:
        """Sends one frame. Fires with what `judge` makes of the answers.

        When none comes: with `silence`, where the message asks for none; else with Unclear, and the
        connection ends.
        """
        self._judge = judge
        asked: Deferred[Outcome] = Deferred()
        self._asked = asked
        end, outcome = (self._settle, silence) if silence else (self.cut_off, Unclear("no_answer"))
        self._timer = self._clock.callLater(answer_secs, end, outcome)
        self.transport.write(framed)
        return asked

    def dataReceived(self, data: bytes) -> None:
        try:
            answers = self._deframer.feed(data)
        except Hl7Error as error:
            self.cut_off(Unclear("unreadable_answer", error.code))
            return
        self._take(answers)
        if self._half is not None and self._half.active():
            self._half.cancel()
        if self._deframer.half_ended and self.usable:
            self._half = self._clock.callLater(HALF_ENDED_SECS, self._finish)

    def _finish(self) -> None:
        self._take(self._deframer.finish())

    def _take(self, answers: list[bytes]) -> None:
        for answer in answers:
            outcome = self._judge(answer) if self._judge else None
            if outcome is None:
                self.stray += 1
            elif isinstance(outcome, Unclear):
                self.cut_off(outcome)
            else:
                self._settle(outcome)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.usable, self._gone = False, True
        waiting, self._ready = self._ready, []
        for one in waiting:
            if not one.called:
                one.errback(reason)
        self._settle(self._ending)

    def cut_off(self, outcome: Outcome) -> None:
        """Whatever comes later on this connection could be taken for another message's answer: it ends."""
        self._ending = outcome
        self._drop()
        self._settle(outcome)

    def _drop(self) -> None:
        self.usable = False
        if not self._gone:
            self.transport.abortConnection()

    def _settle(self, outcome: Outcome) -> None:
        asked, self._asked, self._judge = self._asked, None, None
        for timer in (self._timer, None if self.usable else self._half):
            if timer is not None and timer.active():
                timer.cancel()
        if asked is not None:
            asked.callback(outcome)
