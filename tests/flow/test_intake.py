"""From a frame on a socket to a committed row and an honest answer, on both stores."""

from __future__ import annotations

import socket
import struct

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from broker.errors import ConfigErrors
from broker.hl7 import Message, frame
from broker.project import load_project
from broker.slots import slot_of


def adt(
    control_id: bytes = b"C1",
    msh: bytes = b"",
    number: bytes = b"MR1",
    event: bytes = b"A01",
    pid: bytes = b"P",
) -> bytes:
    """A small message; `msh` is what follows MSH-12."""
    return (
        b"MSH|^~\\&|EHR|NORTH|HUB|HERE|20260305101010||ADT^" + event + b"^ADT_A01|" + control_id + b"|" + pid
        + b"|2.5.1" + msh + b"\rEVN||20260305\rPID|1||" + number + b"^^^NMC^MR||SAMPLE^ANN\rPV1|1|I\r"
    )  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_a_message_is_on_disk_before_it_is_answered_yes(receive):
    hub = await receive()
    (answer,) = await hub.send(adt())
    assert (answer.code, answer.control_id) == ("AA", "C1")
    (row,) = hub.rows()
    assert row.raw == adt()
    assert row.slot == slot_of("north:NMC", "MR1")
    assert (row.channel, row.sender, row.control_id, row.message_type, row.event, row.version) == (
        "north", "EHR|NORTH", "C1", "ADT", "A01", "2.5.1",
    )  # fmt: skip
    assert (row.answer, row.cause, row.bundle, row.processing_id) == ("AA", "", "a-bundle", "P")
    assert row.peer.startswith("127.0.0.1:")


@pytest_twisted.ensureDeferred
async def test_pipelined_messages_are_answered_in_their_order_each_with_a_row(receive):
    hub = await receive()
    answers = await hub.send(*[adt(b"C%d" % n) for n in range(300)])
    assert [answer.control_id for answer in answers] == [f"C{n}" for n in range(300)]
    assert [row.control_id for row in hub.rows()] == [f"C{n}" for n in range(300)]


@pytest_twisted.ensureDeferred
async def test_a_message_that_comes_again_is_a_row_again(receive):
    hub = await receive()
    answers = [*await hub.send(adt()), *await hub.send(adt())]
    assert [answer.code for answer in answers] == ["AA", "AA"]
    first, second = hub.rows()
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("wanted", "codes"),
    [
        (b"|||AL|AL", ["CA", "AA"]),
        (b"|||AL|NE", ["CA"]),
        (b"|||NE|AL", ["AA"]),
        (b"|||NE|NE", []),
        (b"|||SU|ER", ["CA"]),
        (b"|||ER|SU", ["AA"]),
        (b"|||AL|", ["CA"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_enhanced_mode_gets_what_it_asked_for(receive, wanted, codes):
    hub = await receive()
    # A second message, in original mode, shows that nothing else stands before its answer.
    got = await deferToThread(hub.ask, frame(adt(b"C1", wanted)) + frame(adt(b"C2")), len(codes) + 1)
    found = [(Message(answer).get("MSA-1"), Message(answer).get("MSA-2")) for answer in got]
    assert found == [(code, "C1") for code in codes] + [("AA", "C2")]
    assert hub.rows()[0].answer == " ".join(codes)


@pytest_twisted.ensureDeferred
async def test_an_application_answer_that_goes_elsewhere_is_noted_for_whoever_sends_it(receive):
    more = "answer_to: north/copy"
    hub = await receive(more=more)
    (answer,) = await hub.send(adt(msh=b"|||AL|AL"))
    assert answer.code == "CA"
    assert hub.rows()[0].answer == "CA >AA"


@pytest_twisted.ensureDeferred
async def test_what_is_no_hl7_is_kept_in_quarantine_and_answered_so(receive):
    hub = await receive()
    (answer,) = await hub.send(b"PID|1||no header\r")
    assert answer.code == "AE"
    assert answer.problems[0].where == "MSH"
    (row,) = hub.rows()
    assert (row.slot, row.raw, row.answer, row.cause) == (-1, b"PID|1||no header\r", "AE", "not_hl7")


@pytest_twisted.ensureDeferred
async def test_a_message_without_a_control_id_is_kept_and_answered_with_an_error(receive):
    hub = await receive()
    (answer,) = await hub.send(adt(control_id=b""))
    assert (answer.code, answer.problems[0].code, answer.problems[0].where) == ("AE", "101", "MSH-10")
    assert (hub.rows()[0].slot, hub.rows()[0].cause) == (-1, "no_control_id")


@pytest_twisted.ensureDeferred
async def test_two_messages_in_a_frame_are_kept_as_one_and_answered_with_one_error(receive):
    hub = await receive()
    (answer,) = await hub.send(adt(b"C1") + adt(b"C2"))
    assert (answer.code, answer.control_id) == ("AE", "C1")
    assert [(row.slot, row.cause) for row in hub.rows()] == [(-1, "several_messages")]


@pytest_twisted.ensureDeferred
async def test_in_enhanced_mode_what_is_not_taken_is_told_once_as_a_commit_error(receive):
    hub = await receive()
    two = adt(b"C1", b"|||AL|AL") + adt(b"C2")
    (answer,) = await hub.send(two)
    assert (answer.code, answer.control_id) == ("CE", "C1")


@pytest_twisted.ensureDeferred
async def test_an_acknowledgement_is_kept_and_never_acknowledged(receive):
    hub = await receive()
    ack = b"MSH|^~\\&|A|B|C|D|20260305||ACK^A01^ACK|C1|P|2.5.1\rMSA|AA|X\r"
    (answer,) = await deferToThread(hub.ask, frame(ack) + frame(adt(b"C2")), 1)
    assert Message(answer).get("MSA-2") == "C2"
    assert [(row.control_id, row.answer) for row in hub.rows()] == [("C1", ""), ("C2", "AA")]


@pytest_twisted.ensureDeferred
async def test_training_messages_are_answered_yes_unless_the_channel_says_no(receive):
    hub = await receive()
    (answer,) = await hub.send(adt(pid=b"T"))
    assert answer.code == "AA"


@pytest_twisted.ensureDeferred
async def test_a_channel_can_turn_away_what_is_of_no_use_to_it(receive):
    hub = await receive(more="answers: {unsupported_processing_id: AR, unsupported_version: AE}")
    training, old, enhanced = await hub.send(
        adt(b"C1", pid=b"T"), adt(b"C2").replace(b"2.5.1", b"9.9"), adt(b"C3", b"|||AL|NE", pid=b"T")
    )
    assert (training.code, training.problems[0].code) == ("AR", "202")
    assert (old.code, old.problems[0].code) == ("AE", "203")
    assert enhanced.code == "CR"
    assert [row.slot for row in hub.rows()] == [-1, -1, -1]


BATCH = (
    b"FHS|^~\\&|EHR|NORTH|HUB|HERE|20260305\rBHS|^~\\&|EHR|NORTH|HUB|HERE|20260305||||B1\r"
    + adt(b"C1") + adt(b"") + b"MSH|junk\r" + adt(b"C4") + b"BTS|4\rFTS|1\r"
)  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_a_batch_is_a_row_a_message_and_one_for_its_envelope_and_answered_by_a_batch(receive):
    hub = await receive()
    batch, after = await deferToThread(hub.ask, frame(BATCH) + frame(adt(b"C5")), 2)
    told = [line[:6] for line in batch.split(b"\r") if line[:3] not in (b"MSH", b"ERR", b"")]
    assert told == [
        b"FHS|^~", b"BHS|^~", b"MSA|AA", b"MSA|AE", b"MSA|AR", b"MSA|AA", b"BTS|4", b"FTS|1",
    ]  # fmt: skip
    assert Message(after).get("MSA-2") == "C5"
    envelope, *messages = hub.rows()
    assert (envelope.slot, envelope.control_id, envelope.answer) == (-2, "B1", "")
    assert [row.control_id for row in messages] == ["C1", "", "", "C4", "C5"]
    assert {row.batch_of for row in messages[:4]} == {f"{envelope.stream}.{envelope.seq}"}
    assert messages[4].batch_of == ""


@pytest_twisted.ensureDeferred
async def test_a_message_longer_than_a_part_is_whole_in_the_journal(receive):
    hub = await receive()
    long = adt() + b"OBX|1|ED|PDF||^^^^" + b"A" * 3_500_000 + b"\r"
    answers = await hub.send(adt(b"C0"), long, adt(b"C2"))
    assert [answer.control_id for answer in answers] == ["C0", "C1", "C2"]
    rows = hub.rows()
    assert [row.control_id for row in rows] == ["C0", "C1", "C2"]
    assert rows[1].raw == long
    assert rows[1].slot == slot_of("north:NMC", "MR1")


@pytest_twisted.ensureDeferred
async def test_a_second_message_deep_in_a_long_frame_is_found(receive):
    hub = await receive()
    long = adt() + b"OBX|1|ED|PDF||^^^^" + b"A" * 2_500_000 + b"\r" + adt(b"C2")
    (answer,) = await hub.send(long)
    assert (answer.code, answer.control_id) == ("AE", "C1")
    assert [(row.slot, row.size) for row in hub.rows()] == [(-1, len(long))]


@pytest_twisted.ensureDeferred
async def test_a_long_batch_is_cut_into_its_messages(receive):
    hub = await receive()
    body = b"".join(adt(b"C%d" % n) for n in range(3_000))
    (answer,) = await deferToThread(hub.ask, frame(b"BHS|^~\\&|A|B\r" + body + b"BTS|3000\r"), 1)
    assert answer.count(b"\rMSA|AA|") == 3_000


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_too_long_is_answered_rejected_and_not_kept(receive):
    hub = await receive(receive=", max_bytes: 2000000")
    answers = await deferToThread(hub.ask, b"\x0b" + adt() + b"OBX|" + b"A" * 3_000_000, 9)
    assert [Message(answer).get("MSA-1") for answer in answers] == ["AR"]
    assert Message(answers[0]).get("MSA-2") == "C1"
    assert hub.rows() == []


@pytest_twisted.ensureDeferred
async def test_the_answer_keeps_delimiters_character_set_and_versions_and_swaps_the_ends(receive):
    hub = await receive()
    odd = adt(msh=b"||||||8859/1").replace(b"|", b"$").replace(b"NORTH", b"SM\xd8R").replace(b"$P$", b"$T$")
    (answer,) = await deferToThread(hub.ask, frame(odd), 1)
    head = answer.split(b"\r")[0].split(b"$")
    assert head[1:6] == [b"^~\\&", b"HUB", b"HERE", b"EHR", b"SM\xd8R"]
    assert head[8] == b"ACK^A01^ACK" and head[10:12] == [b"T", b"2.5.1"] and head[17] == b"8859/1"


@pytest_twisted.ensureDeferred
async def test_every_answer_has_a_control_id_of_its_own(receive):
    hub = await receive()
    got = await deferToThread(hub.ask, frame(adt()) * 50, 50)
    assert len({Message(answer).get("MSH-10") for answer in got}) == 50


@pytest_twisted.ensureDeferred
async def test_a_sender_that_is_gone_before_its_answer_is_noted(receive):
    hub = await receive()

    def send_and_reset() -> None:
        with hub.dial() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.sendall(frame(adt()) * 20_000)

    await deferToThread(send_and_reset)
    counts = hub.service.intakes["north"].counts
    while hub.service.listeners["north"].lines or not counts.unanswered:
        await deferLater(reactor, 0.01)
    await hub.send(adt(b"C2"))  # the note is written with the next group
    assert counts.unanswered > 0


@pytest_twisted.ensureDeferred
async def test_a_stop_answers_what_was_received(receive):
    hub = await receive()
    wire = hub.dial()
    await deferToThread(wire.sendall, frame(adt()) * 100)
    while hub.service.intakes["north"].counts.received < 100:
        await deferLater(reactor, 0)
    stopped = hub.service.stopService()

    def rest() -> bytes:
        got = b""
        while piece := wire.recv(65536):
            got += piece
        wire.close()
        return got

    got = await deferToThread(rest)
    await stopped
    assert got.count(b"MSA|AA|C1\r") == 100
    assert len(hub.rows()) == 100


@pytest.mark.parametrize(
    ("receive_more", "said"),
    [
        (", host: 0.0.0.0", "plain MLLP beyond loopback"),
        (", allow: [10.1.0.0/99]", "not a network"),
        (", tls: {cert_file: hub.pem}", "key_file"),
    ],
)
def test_a_port_that_would_be_open_to_everybody_is_an_error_of_the_file(made_with, receive_more, said):
    with pytest.raises(ConfigErrors, match=said):
        load_project(made_with(receive_more))


@pytest.mark.parametrize(
    "receive_more",
    [
        ", host: 0.0.0.0, insecure_plain: yes",
        ", host: 0.0.0.0, allow: [10.1.0.0/16], tls: {cert_file: hub.pem, key_file: hub.key}",
    ],
)
def test_a_port_beyond_loopback_is_plain_by_name_or_over_tls(made_with, receive_more):
    load_project(made_with(receive_more))
