"""The MLLP listener, without a socket and without waiting: a transport of strings and a clock of our own."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from broker.hl7.framing import LongFrame, frame
from broker.sources import line as line_module
from broker.sources.mllp import Limits, Line, Listener, Turn


class Echo:
    """Answers each frame at once, or keeps its turn to be answered by the test."""

    def __init__(self, at_once: bool = True) -> None:
        self.at_once = at_once
        self.frames: list[bytes] = []
        self.parts: list[bytes] = []
        self.open: list[Turn] = []
        self.gave_up: list[tuple[str, bytes]] = []
        self.lost = 0
        self.not_answered: list[Turn] = []

    def receive(self, line: Line, whole: bytes) -> None:
        self.frames.append(whole)
        turn = Turn()
        line.expect(turn)
        if self.at_once:
            line.give(turn, frame(whole))
            line.flush()
        else:
            self.open.append(turn)

    def part(self, line: Line, part: bytes) -> None:
        self.parts.append(part)

    def broken(self, line: Line, cause: str, beginning: bytes) -> None:
        self.gave_up.append((cause, beginning))
        turn = Turn()
        line.expect(turn)
        line.give(turn, frame(b"NO"))

    def part_lost(self, line: Line) -> None:
        self.lost += 1

    def unanswered(self, turn: Turn) -> None:
        self.not_answered.append(turn)


class World:
    """A listener with its clock, and connections to it."""

    def __init__(self, receiver: Echo | None = None, **limits: object) -> None:
        self.clock = Clock()
        self.receiver = receiver or Echo()
        self.listener = Listener("north", self.receiver, Limits(**limits), self.clock)  # type: ignore[arg-type]

    def dial(self, host: str = "127.0.0.1") -> tuple[Line, StringTransport]:
        line = self.listener.buildProtocol(IPv4Address("TCP", host, 40000))
        assert line is not None
        wire = StringTransport()
        line.makeConnection(wire)
        return line, wire

    def wait(self, secs: float) -> None:
        self.clock.advance(secs)
        self.listener.sweep()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000])
def test_a_stream_is_answered_alike_however_it_is_split(size: int) -> None:
    world = World()
    line, wire = world.dial()
    stream = b"junk" + frame(b"one") + b"\n" + frame(b"two") + frame(b"three")
    for at in range(0, len(stream), size):
        line.dataReceived(stream[at : at + size])
    assert wire.value() == frame(b"one") + frame(b"two") + frame(b"three")
    assert world.listener.noise == 5


@given(
    st.lists(st.binary(min_size=1).filter(lambda raw: not set(raw) & {11, 13, 28, 10, 0}), max_size=5),
    st.data(),
)
def test_every_frame_is_answered_in_its_order_at_any_split(
    payloads: list[bytes], draw: st.DataObject
) -> None:
    world = World()
    line, wire = world.dial()
    stream = b"".join(frame(payload) for payload in payloads)
    at = 0
    while at < len(stream):
        size = draw.draw(st.integers(1, 9))
        line.dataReceived(stream[at : at + size])
        at += size
    assert world.receiver.frames == payloads
    assert wire.value() == stream


def test_answers_leave_in_the_order_of_the_frames_whatever_the_order_they_are_known_in() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"1") + frame(b"2") + frame(b"3"))
    first, second, third = world.receiver.open
    line.give(third, b"c")
    line.give(first, b"a")
    line.flush()
    assert wire.value() == b"a"
    line.give(second, b"b")
    line.flush()
    assert wire.value() == b"abc"


def test_a_frame_that_is_to_have_no_answer_does_not_hold_up_the_others() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"1") + frame(b"2"))
    line.give(world.receiver.open[1], b"b")
    line.give(world.receiver.open[0], b"")
    line.flush()
    assert wire.value() == b"b"


def test_a_frame_whose_last_cr_never_comes_is_taken_after_a_moment() -> None:
    world = World()
    line, wire = world.dial()
    line.dataReceived(b"\x0bone\x1c")
    assert wire.value() == b""
    world.clock.advance(0.1)
    assert wire.value() == frame(b"one")


def test_a_frame_that_is_too_long_is_answered_and_the_line_hung_up() -> None:
    world = World(max_bytes=100)
    line, wire = world.dial()
    line.dataReceived(frame(b"fits") + b"\x0b" + b"x" * 102)
    assert world.receiver.frames == [b"fits"]
    assert [cause for cause, _ in world.receiver.gave_up] == ["too_long"]
    assert wire.value() == frame(b"fits") + frame(b"NO")
    assert wire.disconnecting
    assert world.listener.ended["too_long"] == 1


def test_a_trickling_frame_is_given_up_at_its_deadline_though_bytes_keep_coming() -> None:
    world = World(frame_secs=10)
    line, wire = world.dial()
    line.dataReceived(b"\x0bMSH|")
    for _ in range(11):
        line.dataReceived(b"x")
        assert not wire.disconnecting
        world.wait(1)
    assert world.receiver.gave_up == [("never_ending", b"MSH|" + b"x" * 11)]
    assert wire.disconnecting


def test_each_frame_of_a_steady_stream_has_its_own_deadline() -> None:
    world = World(frame_secs=10)
    line, wire = world.dial()
    line.dataReceived(b"\x0bstart")
    for _ in range(30):
        world.wait(1)
        line.dataReceived(b"\x1c\r\x0bnext")
    assert not wire.disconnecting
    assert world.receiver.gave_up == []


def test_a_silent_line_is_closed_and_noise_is_silence() -> None:
    world = World(idle_secs=60)
    line, wire = world.dial()
    for _ in range(7):
        line.dataReceived(b"^K")
        world.wait(10)
    assert wire.disconnecting
    assert wire.value() == b""
    assert world.listener.ended["idle"] == 1


def test_a_line_that_waits_for_its_answer_is_not_idle() -> None:
    world = World(Echo(at_once=False), idle_secs=60)
    line, wire = world.dial()
    line.dataReceived(frame(b"1"))
    world.wait(1000)
    assert not wire.disconnecting


def test_noise_without_end_is_cut_off() -> None:
    world = World()
    line, wire = world.dial()
    for _ in range(17):
        line.dataReceived(b"GET / HTTP/1.1\r\n" * 4096)
    assert wire.disconnecting
    assert world.listener.ended["noise"] == 1


def test_one_connection_too_many_is_refused_and_counted_and_a_place_is_free_again_later() -> None:
    world = World(max_connections=2)
    line, _ = world.dial()
    world.dial()
    assert world.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40001)) is None
    assert world.listener.refused["full"] == 1
    line.connectionLost()
    world.dial()


def test_only_addresses_on_the_list_may_connect() -> None:
    world = World(allow=(ip_network("10.1.0.0/16"), ip_network("::1/128")))
    world.dial("10.1.2.3")
    assert world.listener.buildProtocol(IPv4Address("TCP", "10.2.0.1", 40000)) is None
    assert world.listener.refused["address"] == 1


def test_a_long_frame_leaves_in_parts_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "PART", 1000)
    world = World()
    line, _ = world.dial()
    payload = bytes(65 + n % 26 for n in range(3500))
    whole = frame(payload)
    for at in range(0, len(whole), 700):
        line.dataReceived(whole[at : at + 700])
    (rest,) = world.receiver.frames
    assert isinstance(rest, LongFrame)
    assert rest.parts == len(world.receiver.parts) == 3
    assert b"".join(world.receiver.parts) + rest == payload


def test_the_receiver_hears_that_the_rest_of_a_long_frame_will_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_module, "PART", 1000)
    world = World()
    line, _ = world.dial()
    line.dataReceived(b"\x0b" + b"x" * 1500)
    line.connectionLost()
    assert len(world.receiver.parts) == 1
    assert world.receiver.lost == 1
    assert world.listener.ended["unfinished"] == 1


def test_nothing_of_a_held_line_is_handed_over_before_it_is_released() -> None:
    world = World()
    line, wire = world.dial()
    line.hold()
    line.dataReceived(frame(b"1") + frame(b"2"))
    assert world.receiver.frames == []
    assert wire.producerState == "paused"
    line.release()
    assert world.receiver.frames == [b"1", b"2"]
    assert wire.producerState == "producing"


def test_time_spent_unread_does_not_count_against_the_sender() -> None:
    world = World(frame_secs=10, idle_secs=60)
    line, wire = world.dial()
    line.dataReceived(b"\x0bMSH|")
    line.stop_reading("store")
    world.wait(100)
    line.go_on_reading("store")
    world.wait(5)
    assert not wire.disconnecting
    world.wait(6)
    assert wire.disconnecting


def test_a_peer_that_does_not_read_its_answers_is_not_read_either() -> None:
    world = World()
    line, wire = world.dial()
    line.pauseProducing()
    line.dataReceived(frame(b"1"))
    assert wire.producerState == "paused"
    assert wire.value() == b""
    line.resumeProducing()
    assert wire.value() == frame(b"1")
    assert wire.producerState == "producing"


def test_a_line_with_too_many_open_answers_is_not_read_until_half_are_given() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"x") * 1001)
    assert wire.producerState == "paused"
    for turn in world.receiver.open[:501]:
        line.give(turn, b"a")
    line.flush()
    assert wire.producerState == "producing"


def test_answers_that_no_longer_reach_anybody_are_told() -> None:
    world = World(Echo(at_once=False))
    line, _ = world.dial()
    line.dataReceived(frame(b"1") + frame(b"2"))
    first, second = world.receiver.open
    line.give(second, b"b")
    line.connectionLost()
    assert world.receiver.not_answered == [second]
    line.give(first, b"a")
    assert world.receiver.not_answered == [second, first]


def test_a_line_hung_up_answers_what_it_owes_and_drops_what_still_comes() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"1"))
    line.hang_up()
    line.dataReceived(frame(b"2"))
    assert not wire.disconnecting
    line.give(world.receiver.open[0], b"a")
    line.flush()
    assert wire.value() == b"a"
    assert wire.disconnecting
    assert world.receiver.frames == [b"1"]


def test_a_peer_that_keeps_a_hung_up_line_open_is_cut_off() -> None:
    world = World()
    line, wire = world.dial()
    line.hang_up()
    world.wait(6)
    assert wire.disconnected


def test_a_cut_line_sends_what_is_answered_and_forgets_the_rest() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"1") + frame(b"2"))
    line.give(world.receiver.open[0], b"a")
    line.cut()
    assert wire.value() == b"a"
    assert wire.disconnecting


def test_a_peer_that_sends_no_more_still_gets_its_answers() -> None:
    world = World(Echo(at_once=False))
    line, wire = world.dial()
    line.dataReceived(frame(b"1"))
    line.readConnectionLost()
    assert not wire.disconnecting
    line.give(world.receiver.open[0], b"a")
    line.flush()
    assert wire.value() == b"a"
    assert wire.disconnecting
    assert world.receiver.not_answered == world.receiver.open
