"""The other side, for the demo and the tests: a mail server that keeps what comes, and a PCP's record system.

Real servers on real sockets, with Twisted; they hold what they were sent in memory, and write it to a
folder when they are given one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.mail.smtp import ESMTP, IMessage, IMessageDelivery, User
from zope.interface import implementer

from broker.errors import Hl7Error
from broker.hl7 import Answer, Deframer, Header, acknowledge, frame, header

__all__ = ["CaughtMail", "MailCatcher", "RecordSystem"]


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One mail as it came: envelope, bytes, and how it reads."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def mail(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def text(self) -> str:
        return str(self.mail.get_content())


class MailCatcher(Factory):
    """An SMTP server that takes every mail and brings it nowhere.

    `tls` is a server's certificate options for STARTTLS; None: it offers none. `taken` has what came,
    oldest first; `told` is called with each.
    """

    def __init__(
        self,
        folder: Path | None = None,
        tls: Any = None,
        told: Callable[[CaughtMail], None] = lambda mail: None,
    ) -> None:
        self.taken: list[CaughtMail] = []
        self._folder, self._tls, self._told = folder, tls, told
        self._open: set[Any] = set()

    def listen(self, reactor: Any, port: int = 0, host: str = "127.0.0.1") -> Deferred[IListeningPort]:
        """Opens the port (0: a free one). The listening port's `stopListening` closes it."""
        endpoint = TCP4ServerEndpoint(reactor, port, interface=host)
        listening: Deferred[IListeningPort] = endpoint.listen(self)
        return listening

    def buildProtocol(self, addr: Any) -> Any:
        session: Any = _MailSession(None, self._tls)
        session.delivery = _Envelope(self)
        session.factory = self
        session.host = "catcher.example"
        return session

    def keep(self, mail: CaughtMail) -> None:
        self.taken.append(mail)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{len(self.taken):06}.eml").write_bytes(mail.raw)
        self._told(mail)

    def hang_up(self) -> Deferred[None]:
        """Ends every connection; fires when they are gone."""
        return _end_all(self._open)


_Untyped: Any = ESMTP  # Twisted's mail is not annotated


class _MailSession(_Untyped):  # type: ignore[misc]
    timeout = 300

    def connectionMade(self) -> None:
        self.factory._open.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        _gone(self, self.factory._open)

    def _messageHandled(self, results: Any) -> None:
        if all(well for well, _ in results):
            self.sendCode(250, f"2.0.0 {results[0][1]}".encode())
        else:
            super()._messageHandled(results)


@implementer(IMessageDelivery)
class _Envelope:
    """Who sends, to whom: everybody may, to everybody."""

    def __init__(self, catcher: MailCatcher) -> None:
        self._catcher = catcher
        self.sender = ""
        self.letter: _Letter | None = None

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        self.sender, self.letter = str(origin), None
        return origin

    def validateTo(self, user: User) -> Callable[[], _Letter]:
        if self.letter is None:
            self.letter = _Letter(self._catcher, self.sender)
        letter = self.letter
        letter.recipients.append(str(user.dest))
        return lambda: letter


@implementer(IMessage)
class _Letter:
    """The mail while it comes. One for all recipients, so a mail is kept once."""

    def __init__(self, catcher: MailCatcher, sender: str) -> None:
        self._catcher, self._sender = catcher, sender
        self.recipients: list[str] = []
        self._lines = BytesIO()
        self._kept = False

    def lineReceived(self, line: bytes) -> None:
        self._lines.write(line + b"\r\n")

    def eomReceived(self) -> Deferred[str]:
        if not self._kept:
            self._kept = True
            self._catcher.keep(CaughtMail(self._sender, tuple(self.recipients), self._lines.getvalue()))
        return succeed(f"queued as {len(self._catcher.taken):06}")

    def connectionLost(self) -> None:
        self._lines.close()


class RecordSystem(Factory):
    """A practice's record system: takes HL7 messages over MLLP and answers each AA.

    `received` has what came, oldest first; `told` is called with each. `answer` makes the answer's
    bytes from a message (None: it stays silent).
    """

    def __init__(
        self,
        answer: Callable[[bytes], bytes | None] | None = None,
        told: Callable[[bytes], None] = lambda message: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.received: list[bytes] = []
        self._answer = answer or self._accept
        self._told, self.clock = told, now
        self._open: set[Any] = set()

    def listen(self, reactor: Any, port: int = 0, host: str = "127.0.0.1", tls: Any = None) -> Deferred[Any]:
        """Opens the port (0: a free one), with TLS where `tls` is a server's certificate options."""
        if tls is not None:
            return succeed(reactor.listenSSL(port, self, tls, interface=host))
        listening: Deferred[Any] = TCP4ServerEndpoint(reactor, port, interface=host).listen(self)
        return listening

    def buildProtocol(self, addr: Any) -> Any:
        return _RecordLine(self)

    def take(self, message: bytes) -> bytes | None:
        self.received.append(message)
        self._told(message)
        return self._answer(message)

    def hang_up(self) -> Deferred[None]:
        """Ends every connection; fires when they are gone."""
        return _end_all(self._open)

    def _accept(self, message: bytes) -> bytes:
        try:
            read: Header | None = header(message)
        except Hl7Error:
            read = None
        answer = Answer("AA" if read else "AE")
        return acknowledge(read, answer, control_id=f"P{len(self.received):09}", now=self.clock())


class _RecordLine(Protocol):
    """One connection to the record system."""

    transport: Any

    def __init__(self, system: RecordSystem) -> None:
        self._system = system
        self._deframer = Deframer()

    def connectionMade(self) -> None:
        self._system._open.add(self)

    def dataReceived(self, data: bytes) -> None:
        for message in self._deframer.feed(data):
            answer = self._system.take(message)
            if answer is not None:
                self.transport.write(frame(answer))

    def connectionLost(self, reason: Any = None) -> None:
        _gone(self, self._system._open)


def _gone(line: Any, lines: set[Any]) -> None:
    lines.discard(line)
    waiting = getattr(line, "ended", None)
    if waiting is not None:
        waiting.callback(None)


def _end_all(lines: set[Any]) -> Deferred[None]:
    async def all_gone() -> None:
        for line in list(lines):
            line.ended = Deferred()
            line.transport.abortConnection()
            await line.ended

    return Deferred.fromCoroutine(all_gone())
