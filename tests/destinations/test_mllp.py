"""MLLP out: one message outstanding, answers matched by MSA-2, silence never taken for success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from broker.demo.peers import RecordSystem
from broker.destinations import Parcel, Tools
from broker.destinations.mllp import Mllp, MllpDestination
from broker.hl7 import Deframer, Message, compose, frame
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear

ID = "5f1d2c3b0a494b588c67"
HOUR = 3600


class Wire(StringTransport):
    """A connection in memory, which ends when it is told to."""

    def abortConnection(self) -> None:
        super().abortConnection()
        self.end()

    def loseConnection(self) -> None:
        super().loseConnection()
        self.end()

    def end(self) -> None:
        protocol, self.protocol = self.protocol, None  # type: ignore[has-type]
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Peer:
    """An endpoint that connects to wires in memory; `refuses` so many attempts first."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.wires: list[Wire] = []
        self.protocols: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        if self.refuses:
            self.refuses -= 1
            return fail(ConnectionRefusedError())
        wire = Wire()
        protocol = factory.buildProtocol(None)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        self.wires.append(wire)
        self.protocols.append(protocol)
        return succeed(protocol)

    def says(self, data: bytes) -> None:
        self.protocols[-1].dataReceived(data)


def ack(code: str, control_id: str = ID) -> bytes:
    return frame(
        f"MSH|^~\\&|EHR|W|HANDOFF|N|20260305141001||ACK|1|P|2.5.1\rMSA|{code}|{control_id}\r".encode()
    )


def opened(peer: Peer, clock: Clock, **options: Any) -> MllpDestination:
    return MllpDestination(peer, Mllp.model_validate({"host": "ehr", "port": "6662"} | options), clock)


def started(result: Deferred[Outcome]) -> Callable[[], Outcome | None]:
    fired: list[Outcome] = []
    result.addCallback(fired.append)
    return lambda: fired[0] if fired else None


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AA", Delivered(f"AA {ID}")),
        ("CA", Delivered(f"CA {ID}")),
        ("AE", Rejected("AE")),
        ("CE", Rejected("CE")),
        ("AR", Failed("AR")),
        ("CR", Failed("CR")),
        ("XX", Unclear("unknown_answer")),
    ],
)
def test_an_answer_means_what_the_standard_says(parcel: Any, code: str, outcome: Outcome) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    assert peer.wires[0].value() == frame(parcel().payload)
    assert became() is None
    peer.says(ack(code))
    assert became() == outcome


def test_what_an_answer_means_is_a_setting(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock, answers={"AE": "later"}).deliver(parcel()))
    peer.says(ack("AE"))
    assert became() == Failed("AE")
    with pytest.raises(ValidationError):
        Mllp.model_validate({"host": "ehr", "port": "6662", "answers": {"AE": "retry"}})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_may_come_in_pieces(parcel: Any, size: int) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    answer = b"noise" + ack("AA")
    for at in range(0, len(answer), size):
        assert became() is None
        peer.says(answer[at : at + size])
    assert became() == Delivered(f"AA {ID}")


def test_an_answer_without_its_last_byte_counts_when_nothing_more_comes(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    peer.says(ack("AA")[:-1])
    clock.advance(0.1)
    assert became() == Delivered(f"AA {ID}")


def test_silence_after_sending_is_unclear_and_the_connection_ends(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock, answer_secs="60").deliver(parcel()))
    clock.advance(59.9)
    assert became() is None
    clock.advance(0.2)
    assert became() == Unclear("no_answer")
    assert peer.wires[0].disconnected


def test_a_late_answer_is_never_taken_for_the_next_message(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock)
    first, second = started(destination.deliver(parcel())), started(destination.deliver(parcel()))
    clock.advance(60)
    assert first() == Unclear("no_answer")
    peer.protocols[0].dataReceived(ack("AA"))  # too late, on the old connection
    assert second() is None
    clock.pump([1, 1, 1])
    assert len(peer.wires) == 2
    assert peer.wires[1].value() == frame(parcel().payload)
    peer.says(ack("AE"))
    assert second() == Rejected("AE")


def test_an_answer_to_another_message_is_passed_over(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    peer.says(ack("AA", "another") + ack("AA", ID + "0") + ack("AA", ""))
    assert became() is None
    peer.says(ack("AR"))
    assert became() == Failed("AR")


@pytest.mark.parametrize(
    "said",
    [
        frame(b"hello"),
        frame(b""),
        frame(b"MSH|^~\\&|EHR|W|||20260305141001||ACK|1|P|2.5.1\r"),
        b"x" * 3_000_000,
        b"\x0b" + b"x" * 3_000_000,
    ],
    ids=["no HL7", "nothing", "no MSA", "endless noise", "endless answer"],
)
def test_an_answer_that_is_none_is_unclear_and_the_connection_ends(parcel: Any, said: bytes) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    peer.says(said)
    outcome = became()
    assert isinstance(outcome, Unclear)
    assert outcome.code == "unreadable_answer"
    assert peer.wires[0].disconnected


def test_a_connection_that_ends_after_sending_is_unclear(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    peer.wires[0].end()
    assert became() == Unclear("connection_lost")


def test_a_peer_that_is_not_there_has_failed_and_is_tried_anew_by_the_next(parcel: Any) -> None:
    peer, clock = Peer(refuses=1), Clock()
    destination = opened(peer, clock)
    became = started(destination.deliver(parcel()))
    assert became() == Failed("unreachable", "ConnectionRefusedError")
    again = started(destination.deliver(parcel()))
    clock.pump([1, 1, 1])
    peer.says(ack("AA"))
    assert again() == Delivered(f"AA {ID}")


def test_a_connection_is_kept_and_its_messages_go_one_at_a_time(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock)
    first, second = started(destination.deliver(parcel())), started(destination.deliver(parcel()))
    assert peer.wires[0].value().count(b"\x0b") == 1
    peer.says(ack("AA"))
    assert first() and second() is None
    assert peer.wires[0].value().count(b"\x0b") == 2
    peer.says(ack("AA"))
    assert second()
    assert len(peer.wires) == 1


def test_lanes_have_connections_of_their_own(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock, connections="2")
    for lane in (0, 1, 2, 3):
        destination.deliver(parcel(lane=lane))
    assert [wire.value().count(b"\x0b") for wire in peer.wires] == [1, 1]


def test_nothing_leaves_after_the_claim_has_run_out(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock)
    first = started(destination.deliver(parcel()))
    second = started(destination.deliver(parcel(send_before=30)))
    clock.advance(31)
    peer.says(ack("AA"))
    assert first() and second() == Failed("too_late")
    assert peer.wires[0].value().count(b"\x0b") == 1


def test_a_commit_answer_is_only_half_of_it_where_the_application_is_awaited(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock, await_application="yes")
    became = started(destination.deliver(parcel()))
    peer.says(ack("CA"))
    assert became() is None
    peer.says(ack("AE"))
    assert became() == Rejected("AE")
    refused = started(destination.deliver(parcel()))
    peer.says(ack("CE"))
    assert refused() == Rejected("CE")
    silent = started(destination.deliver(parcel()))
    peer.says(ack("CA"))
    clock.advance(60)
    assert silent() == Unclear("no_answer")


@pytest.mark.parametrize(
    ("accept", "application", "secs"), [("NE", "NE", 1), ("ER", "NE", 60), ("NE", "ER", 60), ("", "NE", 1)]
)
def test_a_message_that_asks_for_no_answer_is_delivered_when_its_connection_stands(
    parcel: Any, accept: str, application: str, secs: float
) -> None:
    peer, clock = Peer(), Clock()
    fields = {"MSH-9.1": "ADT", "MSH-10": ID, "MSH-15": accept, "MSH-16": application}
    payload = compose(fields, version="2.5.1")
    destination = opened(peer, clock)
    became = started(destination.deliver(parcel(payload=payload)))
    clock.advance(secs - 0.1)
    assert became() is None
    clock.advance(0.2)
    assert became() == Delivered(f"no answer asked for {ID}")
    assert not peer.wires[0].disconnected
    lost = started(destination.deliver(parcel(payload=payload)))
    peer.wires[0].end()
    assert lost() == Unclear("connection_lost")


def test_why_they_said_no_is_kept_for_people(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel()))
    peer.says(
        frame(
            f"MSH|^~\\&|E|W|H|N|20260305||ACK|1|P|2.5.1\rMSA|AE|{ID}\r"
            "ERR||PID^1^3|204^Unknown key identifier^HL70357|E||||not our patient\r".encode()
        )
    )
    assert became() == Rejected("AE", "PID-3 204 not our patient")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, "no_payload"),
        (b"", "no_payload"),
        (b"hello", "unreadable_payload"),
        (b"MSH|^~\\&|A|B|C|D|20260305||ADT^A03||P|2.5.1\r", "no_control_id"),
        (
            b"MSH|^~\\&|A|B|C|D|20260305||ADT^A03|1|P|2.5.1\rNTE|1||x\x1c\r\x0bMSH|forged\r",
            "frame_characters",
        ),
    ],
)
def test_what_cannot_be_sent_is_rejected_without_a_connection(
    parcel: Any, payload: bytes | None, code: str
) -> None:
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(parcel(payload=payload)))
    outcome = became()
    assert isinstance(outcome, Rejected) and outcome.code == code
    assert peer.wires == []


HOSTILE = st.text(
    alphabet=st.sampled_from("\x0b\x1c\r\n\\|^~&XFSTRE.br0D1C0BMSH\x00 é") | st.characters(codec="utf-8"),
    max_size=60,
)


@given(values=st.lists(HOSTILE, min_size=10, max_size=10))
def test_no_value_becomes_a_frame_or_a_segment(values: list[str]) -> None:
    fields = {"MSH-9.1": "ADT", "MSH-9.2": "A03", "MSH-10": ID, "PID-5.1": "first", "PV1-2": "I"}
    hostile = {f"NTE-{number}": value for number, value in enumerate(values, 3)}
    payload = compose(fields | hostile | {"ZZZ-1": "last"}, version="2.5.1")
    peer, clock = Peer(), Clock()
    became = started(opened(peer, clock).deliver(Parcel(delivery="1", content={}, payload=payload)))
    [received] = Deframer().feed(peer.wires[0].value())
    assert received == payload
    names = [line[:3] for line in received.removesuffix(b"\r").split(b"\r")]
    assert names == [b"MSH", b"PID", b"PV1"] + ([b"NTE"] if any(values) else []) + [b"ZZZ"]
    read = Message(received)
    for number, value in enumerate(values, 3):
        assert "\0" in value or read.get(f"NTE-{number}") == value
    peer.says(ack("AA"))
    assert became() == Delivered(f"AA {ID}")


def test_closing_settles_what_is_under_way(parcel: Any) -> None:
    peer, clock = Peer(), Clock()
    destination = opened(peer, clock)
    sent, waiting = started(destination.deliver(parcel())), started(destination.deliver(parcel()))
    closed = started(destination.close())  # type: ignore[arg-type]
    assert sent() == Unclear("closed")
    assert waiting() == Failed("closed")
    assert peer.wires[0].disconnected
    assert closed() is None
    assert started(destination.deliver(parcel()))() == Failed("closed")
    assert clock.getDelayedCalls() == []


async def delivered(tools: Tools, by_hand: Any, parcel: Parcel, **options: Any) -> Outcome:
    destination = Mllp.model_validate({"host": "localhost"} | options).open(tools)
    try:
        return await by_hand.until(destination.deliver(parcel), step=0)
    finally:
        await destination.close()


@ensureDeferred
async def test_over_a_real_socket_the_record_system_has_the_message(
    tools: Tools, by_hand: Any, parcel: Any
) -> None:
    system = RecordSystem()
    port = await system.listen(by_hand)
    outcome = await delivered(tools, by_hand, parcel(), port=port.getHost().port, host="127.0.0.1")
    assert outcome == Delivered(f"AA {ID}")
    assert system.received == [parcel().payload]
    await port.stopListening()
    await system.hang_up()


@ensureDeferred
async def test_with_mutual_tls_both_sides_are_known(
    tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    system = RecordSystem()
    port = await system.listen(by_hand, tls=self_signed.mutual)
    secure = {
        "port": port.getHost().port,
        "host": "127.0.0.1",
        "server_name": "localhost",
        "tls": "yes",
        "trust_file": self_signed.cert_file,
    }
    own = {"cert_file": self_signed.cert_file, "key_file": self_signed.key_file}
    assert await delivered(tools, by_hand, parcel(), **secure, **own) == Delivered(f"AA {ID}")
    assert system.received == [parcel().payload]
    await port.stopListening()
    await system.hang_up()


@ensureDeferred
async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    tools: Tools, by_hand: Any, parcel: Any, self_signed: Any
) -> None:
    system = RecordSystem()
    port = await system.listen(by_hand, tls=self_signed.server)
    outcome = await delivered(tools, by_hand, parcel(), port=port.getHost().port, host="127.0.0.1", tls="yes")
    assert isinstance(outcome, Failed) and outcome.code == "unreachable"
    assert system.received == []
    await port.stopListening()
    await system.hang_up()


def test_options_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError):
        Mllp.model_validate({"host": "ehr", "port": "6662", "cert_file": "x.pem"})
    with pytest.raises(ValidationError):
        Mllp.model_validate({"host": "ehr", "port": "6662", "prot": "x"})


def test_a_frame_is_read_back_whole(parcel: Any) -> None:
    assert Deframer().feed(frame(parcel().payload)) == [parcel().payload]
