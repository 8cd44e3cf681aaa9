"""Mail: what it says, what it never says, and what a server's replies mean."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from broker.destinations import Parcel, Tools
from broker.destinations.smtp import Smtp, compose_mail
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear

OPTIONS: dict[str, Any] = {"host": "127.0.0.1", "sender": "handoff@north.example", "safe_to_repeat": "yes"}


class Kept:
    """Takes every mail, and keeps what came with it."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 Ok: queued as 4XyZ12"


def without_words(outcome: Outcome) -> Outcome:
    """The outcome without what the server said, which is for people."""
    return outcome if isinstance(outcome, Delivered) else replace(outcome, detail="")


def read(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw.replace(b"\r\n", b"\n"), policy=policy.default)  # type: ignore[return-value]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def server(kept: Kept, self_signed: Any, request: pytest.FixtureRequest) -> Iterator[Controller]:
    """A real SMTP server of another make (aiosmtpd), in a thread, with what the test asks for."""
    asked = getattr(request, "param", "starttls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed.cert_file, self_signed.key_file)
    named: dict[str, Any] = {"data_size_limit": 5_000_000}
    if asked == "implicit":
        named["ssl_context"] = context

    class Server(Controller):
        def factory(self) -> SMTP:
            more: dict[str, Any] = {}
            if asked == "starttls":
                more = {"tls_context": context, "require_starttls": True}
            if asked == "login":
                more = {
                    "tls_context": context,
                    "auth_required": True,
                    "authenticator": lambda server, session, envelope, mechanism, login: AuthResult(
                        success=login.password == b"sesame", handled=False
                    ),
                }
            return SMTP(self.handler, **self.SMTP_kwargs, **more)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # aiosmtpd wants to know its port beforehand
    running = Server(kept, hostname="127.0.0.1", port=port, **named)
    running.start()
    yield running
    running.stop()


async def sent(tools: Tools, by_hand: Any, parcel: Any, **options: Any) -> Outcome:
    mail = Smtp.model_validate(OPTIONS | options).open(tools)
    try:
        return await by_hand.until(mail.deliver(parcel), step=0)
    finally:
        await mail.close()


@ensureDeferred
async def test_a_mail_goes_over_starttls_and_the_queue_reply_is_the_proof(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    outcome = await sent(
        tools, by_hand, parcel(), port=server.port, server_name="localhost", trust_file=self_signed.cert_file
    )
    assert outcome == Delivered("2.0.0 Ok: queued as 4XyZ12")
    [(sender, recipients, raw)] = kept.mails
    assert (sender, recipients) == ("handoff@north.example", ["dr.west@westside.example"])
    assert read(raw)["Message-ID"] == f"<{parcel().delivery}@north.example>"


@pytest.mark.parametrize("server", ["implicit"], indirect=True)
@ensureDeferred
async def test_a_mail_goes_over_tls_from_the_first_byte(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    outcome = await sent(
        tools,
        by_hand,
        parcel(),
        port=server.port,
        tls="implicit",
        server_name="localhost",
        trust_file=self_signed.cert_file,
    )
    assert isinstance(outcome, Delivered)
    assert len(kept.mails) == 1


@ensureDeferred
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any
) -> None:
    assert await sent(tools, by_hand, parcel(), port=server.port) == Failed("tls_failed")
    assert kept.mails == []


@pytest.mark.parametrize("server", ["plain"], indirect=True)
@ensureDeferred
async def test_a_server_without_tls_gets_a_mail_only_where_plain_was_asked_for_by_name(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any
) -> None:
    outcome = await sent(tools, by_hand, parcel(), port=server.port)
    assert without_words(outcome) == Failed("smtp_502")
    assert kept.mails == []
    assert isinstance(await sent(tools, by_hand, parcel(), port=server.port, tls="none"), Delivered)
    assert len(kept.mails) == 1


@pytest.mark.parametrize("server", ["login"], indirect=True)
@ensureDeferred
async def test_the_password_comes_from_where_the_options_say_and_goes_over_tls_alone(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    secure = {"port": server.port, "server_name": "localhost", "trust_file": self_signed.cert_file}
    outcome = await sent(tools, by_hand, parcel(), user="broker", password_from="env:SMTP_PASSWORD", **secure)
    assert isinstance(outcome, Delivered)
    (tools.folder / "secret").write_text("wrong\n")
    outcome = await sent(tools, by_hand, parcel(), user="broker", password_from="file:secret", **secure)
    assert without_words(outcome) == Failed("smtp_535")  # nothing is wrong with the mail
    with pytest.raises(ValidationError):
        Smtp.model_validate(OPTIONS | {"tls": "none", "user": "broker", "password_from": "env:SMTP_PASSWORD"})
    with pytest.raises(ValidationError):
        Smtp.model_validate(OPTIONS | {"user": "broker", "password_from": "sesame"})


def test_by_default_a_mail_says_what_kind_of_event_it_is_and_nothing_of_the_patient(
    parcel: Any, tools: Tools
) -> None:
    raw = compose_mail(parcel(), Smtp.model_validate(OPTIONS), tools.now())
    mail = read(raw)
    assert mail["Subject"] == "Discharge"
    assert "https://handoff.example/n/0b7c" in mail.get_content()
    for word in (b"Erika", b"Muster", b"123", b"home"):
        assert word not in raw


def test_the_whole_content_is_told_only_where_full_was_asked_for_by_name(parcel: Any, tools: Tools) -> None:
    full = Smtp.model_validate(OPTIONS | {"body": "full"})
    content = {"patient": "Erika Muster", "diagnoses": [{"code": "I21.4", "text": "NSTEMI"}], "flags": ["a"]}
    mail = read(compose_mail(parcel(payload=None, content=content), full, tools.now()))
    assert mail["Subject"] == "Discharge"
    assert "Patient: Erika Muster\nDiagnoses:\n  - Code: I21.4\n" in mail.get_content()
    composed = read(compose_mail(parcel(payload="Entlassen: Jürgen\r".encode()), full, tools.now()))
    assert "Entlassen: Jürgen\n" in composed.get_content()


@pytest.mark.parametrize(
    ("act", "subject", "words"),
    [
        ("tell", "Bed status change", "There is news about a patient"),
        ("correct", "Corrected: Bed status change", "has been corrected"),
        ("retract", "Withdrawn: Bed status change", "no longer holds"),
    ],
)
def test_a_correction_and_a_withdrawal_say_so_and_join_the_first_mail(
    parcel: Any, tools: Tools, act: str, subject: str, words: str
) -> None:
    mail = read(
        compose_mail(parcel(act=act, kind="BedStatusChange"), Smtp.model_validate(OPTIONS), tools.now())
    )
    assert mail["Subject"] == subject
    assert words in mail.get_content()
    assert mail["References"] == f"<{parcel().notification}@north.example>"


@given(
    text=st.text(max_size=200)
    | st.sampled_from(["a\r\nBcc: x@y.example", "\n.\n", "\r.\r\nMAIL FROM:<a@b.c>"])
)
def test_nothing_that_content_holds_becomes_a_header_or_ends_the_mail(text: str) -> None:
    parcel = Parcel(
        delivery="5f1d2c3b-0a49-4b58-8c67-1d2e3f405162",
        content={text: text, "list": [text, {text: [text]}]},
        kind=text,
        address="dr.west@westside.example",
        link="https://handoff.example/n/1",
    )
    options = Smtp.model_validate(OPTIONS | {"body": "full"})
    try:
        raw = compose_mail(parcel, options, datetime(2026, 3, 5, tzinfo=UTC))
    except UnicodeError:
        return  # half a surrogate: the delivery is rejected, nothing is sent
    assert raw.isascii()
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    mail = read(raw)
    assert set(mail.keys()) <= {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
    assert mail["To"] == "dr.west@westside.example"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "dr.west",
        "a@b.example, c@d.example",
        "a@b.example\r\nRCPT TO:<c@d.example>",
        "<a@b.example>",
        'x" <c@d.example>',
        "a@b.example\0",
        "a..b@c.example",
        "ärztin@westside.example",
        "a@b.example " + "x" * 300,
    ],
)
@ensureDeferred
async def test_an_address_that_is_not_one_plain_address_gets_no_mail(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any, address: str
) -> None:
    outcome = await sent(tools, by_hand, parcel(address=address), port=server.port)
    assert isinstance(outcome, Rejected)
    assert kept.mails == []


@ensureDeferred
async def test_dots_and_lines_arrive_as_they_were_written(
    server: Controller, kept: Kept, tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    content = {"note": "\n".join([".", "..", "x" * 3000, ".\r", "\r.\r\nQUIT"]), "long": "ü" * 100_000}
    outcome = await sent(
        tools,
        by_hand,
        parcel(payload=None, content=content),
        body="full",
        port=server.port,
        server_name="localhost",
        trust_file=self_signed.cert_file,
    )
    assert isinstance(outcome, Delivered)
    [(_, recipients, raw)] = kept.mails
    assert recipients == ["dr.west@westside.example"]
    assert "ü" * 100_000 in read(raw).get_content()


class Scripted(LineReceiver):
    """A server that says what a script has for each command; None: hangs up; "": says nothing."""

    def connectionMade(self) -> None:
        self.in_mail = False
        self.say("greeting", "220 ready")

    def say(self, verb: str, otherwise: str) -> None:
        reply = self.factory.script.get(verb, otherwise)  # type: ignore[attr-defined]
        if reply is None:
            self.transport.abortConnection()
        elif reply:
            self.transport.write(reply.encode() + b"\r\n")
        else:
            self.factory.fell_silent.callback(None)  # type: ignore[attr-defined]

    def lineReceived(self, line: bytes) -> None:
        if self.in_mail:
            if line == b".":
                self.in_mail = False
                self.say(".", "250 queued")
            return
        verb = line.split()[0].split(b":")[0].decode().upper()
        self.in_mail = verb == "DATA" and self.factory.script.get("DATA", "354") == "354"  # type: ignore[attr-defined]
        self.say(verb, "354 go on" if verb == "DATA" else "250 fine")


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ({"greeting": "554 no service here"}, Failed("smtp_554")),
        ({"greeting": ""}, Failed("no_answer")),
        ({"greeting": "SSH-2.0-OpenSSH_9.2"}, Failed("unreadable_answer")),
        ({"greeting": None}, Failed("connection_lost")),
        ({"EHLO": "502 what?"}, Failed("smtp_502")),
        ({"EHLO": "\r\n".join(["250-more"] * 500)}, Failed("unreadable_answer")),
        ({"MAIL": "451 later"}, Failed("smtp_451")),
        ({"MAIL": "530 sign in first"}, Failed("smtp_530")),
        ({"MAIL": "550 not you"}, Rejected("smtp_550")),
        ({"RCPT": "450 greylisted"}, Failed("smtp_450")),
        ({"RCPT": "550 unknown here"}, Rejected("smtp_550")),
        ({"DATA": "452 disk full"}, Failed("smtp_452")),
        ({"DATA": "354"}, Delivered("queued")),
        ({"DATA": None}, Failed("connection_lost")),
        ({".": "451 later"}, Failed("smtp_451")),
        ({".": "554 spam"}, Rejected("smtp_554")),
        ({".": None}, Unclear("connection_lost")),
        ({".": ""}, Unclear("no_answer")),
        ({".": "hm"}, Unclear("unreadable_answer")),
        ({"QUIT": ""}, Delivered("queued")),
    ],
)
@ensureDeferred
async def test_every_reply_has_its_meaning(
    tools: Tools, by_hand: Any, parcel: Any, script: dict[str, str | None], outcome: Outcome
) -> None:
    factory: Any = Factory.forProtocol(Scripted)
    factory.script, factory.fell_silent = script, Deferred()
    port = await TCP4ServerEndpoint(by_hand, 0, interface="127.0.0.1").listen(factory)
    mail = Smtp.model_validate(OPTIONS | {"tls": "none", "port": str(port.getHost().port)}).open(tools)
    became = mail.deliver(parcel())
    if "" in script.values():
        await by_hand.until(factory.fell_silent, step=0)
    happened = await by_hand.until(became, step=7 if "" in script.values() else 0)
    assert without_words(happened) == outcome
    if isinstance(outcome, Rejected):
        assert happened.detail == next(iter(script.values()))[4:]
    await mail.close()
    await port.stopListening()


@ensureDeferred
async def test_no_content_leaves_after_the_claim_has_run_out(tools: Tools, by_hand: Any, parcel: Any) -> None:
    factory: Any = Factory.forProtocol(Scripted)
    factory.script = {}
    port = await TCP4ServerEndpoint(by_hand, 0, interface="127.0.0.1").listen(factory)
    mail = Smtp.model_validate(OPTIONS | {"tls": "none", "port": str(port.getHost().port)}).open(tools)
    by_hand.clock.advance(31)
    assert await by_hand.until(mail.deliver(parcel(send_before=30)), step=0) == Failed("too_late")
    await mail.close()
    await port.stopListening()
