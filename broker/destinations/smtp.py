"""Mail: what kind of event it is, and a link to it. Floor 5.

Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (TLS from the first byte), RFC 3834 (automatic mail).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from io import BytesIO
from typing import Any, Literal

from pydantic import Field, model_validator
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, connectionDone
from twisted.mail.smtp import ESMTPClient, LOGINAuthenticator, PLAINAuthenticator, SMTPClientError
from twisted.python.failure import Failure

from broker.destinations.base import (
    Destination,
    DestinationOptions,
    Parcel,
    SecretPlace,
    Tools,
    without_delay,
)
from broker.destinations.tls import TlsOptions, client_tls
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear

__all__ = ["Smtp", "compose_mail"]

ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", re.A
)
LOGIN_WANTED = frozenset({530, 534, 535, 538})
"""Replies about how we come, not about the mail (RFC 4954): our settings are wrong, the mail is not."""
ACTS = {"correct": "Corrected: ", "retract": "Withdrawn: "}
MAX_REPLY_LINES = 100
LONG_TEXT = 20_000
"""Characters. Beyond it base64, which costs a hundredth of quoted-printable in Python."""


class Smtp(DestinationOptions, TlsOptions):
    """Sends a mail: what kind of event it is, and a link. Patient data only where it is asked for."""

    host: str = Field(min_length=1, description="The mail server that takes our mail.")
    port: int = Field(
        default=587, ge=1, le=65535, description="587 with starttls, 465 with implicit, else 25."
    )
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls",
        description="Without TLS only where `none` is written: the mail goes in the clear.",
    )
    sender: str = Field(description="The address that our mail comes from.")
    helo: str = Field(
        default="localhost", pattern=r"^[A-Za-z0-9.\-]+$", description="The name we greet with."
    )
    user: str = Field(default="", description="To log in as; empty: no login.")
    password_from: SecretPlace | None = Field(
        default=None, description="Where the password stands: env:NAME or file:PATH."
    )
    body: Literal["link", "full"] = Field(
        default="link", description="`full` puts the content, patient data included, into the mail."
    )
    connect_secs: float = Field(default=10, gt=0, description="How long connecting may take.")
    answer_secs: float = Field(default=60, gt=0, description="How long each answer of the server may take.")

    @model_validator(mode="after")
    def _plausible(self) -> Smtp:
        if not ADDRESS.fullmatch(self.sender):
            raise ValueError("sender is no mail address")
        if bool(self.user) != (self.password_from is not None):
            raise ValueError("user and password_from go together")
        if self.user and self.tls == "none":
            raise ValueError("a password is never sent without TLS")
        return self

    def open(self, tools: Tools) -> Destination:
        creator: Any = None if self.tls == "none" else client_tls(self, self.server_name or self.host, tools)
        endpoint: Any = HostnameEndpoint(tools.reactor, self.host, self.port, timeout=self.connect_secs)
        if self.tls == "implicit":
            endpoint = wrapClientTLS(creator, endpoint)
        password = tools.secret(self.password_from) if self.password_from else ""
        return _MailServer(endpoint, self, creator, password, tools)


class _MailServer:
    """A connection for each mail, at most `connections` at once."""

    def __init__(self, endpoint: Any, options: Smtp, creator: Any, password: str, tools: Tools) -> None:
        self._endpoint, self._options, self._creator = endpoint, options, creator
        self._password, self._tools = password, tools
        self._turn = DeferredSemaphore(options.connections)
        self._under_way: set[Deferred[Any]] = set()
        self._sessions: set[_Session] = set()
        self._closed = False

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        work: Deferred[Outcome] = self._turn.run(lambda: Deferred.fromCoroutine(self._attempt(parcel)))
        return work

    async def _attempt(self, parcel: Parcel) -> Outcome:
        if self._closed:
            return Failed("closed")
        if not ADDRESS.fullmatch(parcel.address):
            return Rejected("bad_address")
        try:
            mail = compose_mail(parcel, self._options, self._tools.now())
        except (ValueError, LookupError, MessageError) as error:  # UnicodeError is a ValueError
            return Rejected("uncomposable", type(error).__name__)
        connecting = self._endpoint.connect(Factory.forProtocol(lambda: self._session(mail, parcel)))
        connecting.addTimeout(self._options.connect_secs, self._tools.reactor)
        self._under_way.add(connecting)
        try:
            session: _Session = await connecting
        except Exception as error:  # whatever name lookup, network and TLS come up with: nothing was sent
            return Failed("unreachable", type(error).__name__)
        finally:
            self._under_way.discard(connecting)
        self._sessions.add(session)
        session.gone.addCallback(lambda _: self._sessions.discard(session))
        return await session.ended

    def _session(self, mail: bytes, parcel: Parcel) -> _Session:
        return _Session(mail, parcel, self._options, self._creator, self._password, self._tools.reactor)

    def close(self) -> Deferred[None]:
        self._closed = True
        for connecting in list(self._under_way):
            connecting.cancel()
        sessions = list(self._sessions)
        for session in sessions:
            session.cut_off("closed")
        return DeferredList([session.gone for session in sessions]).addCallback(lambda _: None)


def compose_mail(parcel: Parcel, options: Smtp, now: datetime) -> bytes:
    """The mail's bytes, CRLF at every line's end and ASCII throughout."""
    mail = EmailMessage(policy=SMTP)
    domain = options.sender.rpartition("@")[2]
    words = plain_words(parcel.kind)
    mail["From"] = Address(addr_spec=options.sender)
    mail["To"] = Address(addr_spec=parcel.address)
    mail["Subject"] = f"{ACTS.get(parcel.act, '')}{words}"
    mail["Date"] = now
    mail["Message-ID"] = f"<{parcel.delivery}@{domain}>"
    if parcel.notification:
        mail["References"] = f"<{parcel.notification}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    text = _text(parcel, words, options)
    mail.set_content(text, cte="quoted-printable" if len(text) < LONG_TEXT else "base64")
    return mail.as_bytes()


def plain_words(kind: str) -> str:
    """`BedChange` or `bed_change` as a reader sees it: `Bed change`. Letters and digits only."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", " ", kind).lower().split()
    return " ".join(words).capitalize() or "Notification"


def _text(parcel: Parcel, words: str, options: Smtp) -> str:
    opening = {
        "correct": f"An earlier message to you ({words.lower()}) has been corrected.",
        "retract": f"An earlier message to you ({words.lower()}) no longer holds. Please disregard it.",
    }.get(parcel.act, f"There is news about a patient in your care: {words.lower()}.")
    parts = [opening]
    if parcel.content.get("incomplete"):
        parts.append("Messages about this patient wait to be mended: what we know may be incomplete.")
    if options.body == "full":
        parts.append(_whole(parcel))
    if parcel.link:
        parts.append(f"Read it here, after signing in:\n{parcel.link}")
    parts.append("This mail was sent automatically.")
    return "\n\n".join(parts) + "\n"


def _whole(parcel: Parcel) -> str:
    if parcel.payload is not None:
        return re.sub(r"\r\n?", "\n", parcel.payload.decode("utf-8", "replace"))
    return "\n".join(_lines(parcel.content))


def _lines(content: Mapping[str, object], indent: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in content.items():
        name = plain_words(str(key))
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, (list, tuple)):
            lines.append(f"{indent}{name}:")
            for one in value:
                inner = _lines(one, indent + "    ") if isinstance(one, Mapping) else [f"{indent}    {one}"]
                lines += [f"{indent}  - {inner[0].strip()}", *inner[1:]] if inner else []
        elif value is not None and value != "":
            lines.append(f"{indent}{name}: {value}")
    return lines


_Untyped: Any = ESMTPClient  # Twisted's mail is not annotated


class _Session(_Untyped):  # type: ignore[misc]
    """One connection that brings one mail.

    `ended` fires once: with what the server's replies mean, or, when the connection ends without one,
    with Failed before the mail's last line and Unclear after it.
    """

    debug = False  # the dialogue would be kept, content and all
    heloFallback = False

    def __init__(
        self, mail: bytes, parcel: Parcel, options: Smtp, creator: Any, password: str, clock: Any
    ) -> None:
        super().__init__(password.encode(), creator, options.helo)
        self.callLater = clock.callLater
        self.timeout = options.answer_secs
        self.requireTransportSecurity = options.tls != "none"
        self.requireAuthentication = bool(options.user)
        if options.user:
            self.registerAuthenticator(PLAINAuthenticator(options.user.encode()))
            self.registerAuthenticator(LOGINAuthenticator(options.user.encode()))
        self.ended: Deferred[Outcome] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._mail, self._clock, self._send_before = mail, clock, parcel.send_before
        self._sender: bytes | None = options.sender.encode()
        self._to = parcel.address.encode()
        self._about_the_mail = self._all_sent = False
        self._code = "connection_lost"

    def connectionMade(self) -> None:
        without_delay(self.transport)
        super().connectionMade()

    def lineReceived(self, line: bytes) -> Any:
        if len(self.resp) > MAX_REPLY_LINES:
            self._code = "unreadable_answer"
            self.transport.abortConnection()
            return None
        return super().lineReceived(line)

    def esmtpState_starttls(self, code: int, resp: bytes) -> None:
        if self.clearLineBuffer():  # replies slipped in before TLS would count as said within it
            self._code = "tls_failed"
            self.transport.abortConnection()
            return
        self._code = "tls_failed"  # until the server's first words within TLS
        super().esmtpState_starttls(code, resp)

    def esmtpState_serverConfig(self, code: int, resp: bytes) -> None:
        self._code = "connection_lost"
        super().esmtpState_serverConfig(code, resp)

    def getMailFrom(self) -> bytes | None:
        sender, self._sender = self._sender, None
        self._about_the_mail = True
        return sender

    def getMailTo(self) -> list[bytes]:
        return [self._to]

    def smtpState_data(self, code: int, resp: bytes) -> None:
        if self._clock.seconds() > self._send_before:
            self.cut_off("too_late")
            return
        super().smtpState_data(code, resp)

    def getMailData(self) -> BytesIO:
        return BytesIO(re.sub(rb"(?m)^\.", b"..", self._mail))

    def transformChunk(self, chunk: bytes) -> bytes:
        self.resetTimeout()
        return chunk  # lines end in CRLF and dots are doubled already, which Twisted does chunk by chunk

    def finishedFileTransfer(self, lastsent: bytes) -> None:
        self._all_sent = True
        super().finishedFileTransfer(lastsent)

    def sentMail(self, code: int, resp: bytes, numOk: int, addresses: Any, log: Any) -> None:
        if code == 250 and numOk:
            self._end(Delivered(_printable(resp)))
        else:
            refused = addresses[-1][2] if addresses and not numOk else resp
            self._end(self._meaning(code, refused))

    def smtpState_msgSent(self, code: int, resp: bytes) -> None:
        self.sentMail(code, resp, len(self.successAddresses), self.toAddressesResult, self.log)
        self._disconnectFromServer()

    def sendError(self, exc: Any) -> None:
        code = getattr(exc, "code", -1)
        if isinstance(code, int) and code > 0:
            self._end(self._meaning(code, getattr(exc, "resp", b"")))
        self.cut_off(self._code if not isinstance(exc, SMTPClientError) else "unreadable_answer")

    def timeoutConnection(self) -> None:
        self.cut_off("no_answer")

    def cut_off(self, code: str) -> None:
        """Ends the connection, and the attempt as it then stands."""
        self._end(Unclear(code) if self._all_sent else Failed(code))
        if not self.gone.called:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._end(Unclear(self._code) if self._all_sent else Failed(self._code))
        if not self.gone.called:
            self.gone.callback(None)

    def _meaning(self, code: int, reply: bytes | str) -> Outcome:
        """4xx is "later"; 5xx is "no" where it is about the mail, else our settings or theirs are wrong."""
        words = _printable(reply)
        if code >= 500 and self._about_the_mail and code not in LOGIN_WANTED:
            return Rejected(f"smtp_{code}", words)
        return Failed(f"smtp_{code}", words)

    def _end(self, outcome: Outcome) -> None:
        if not self.ended.called:
            self.ended.callback(outcome)


def _printable(reply: bytes | str) -> str:
    """The server's words, ASCII, one line."""
    text = reply if isinstance(reply, str) else reply.decode("ascii", "replace")
    return re.sub(r"[^ -~]+", " ", text)[:200]
