"""Whole frames out of a stream, however it is split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import Deframer, LongFrame, Unreadable, frame

PAYLOAD = st.binary(max_size=60).map(lambda raw: b"MSH|" + raw.replace(b"\x1c", b"").replace(b"\x0b", b""))
NOISE = st.binary(max_size=10).map(lambda raw: raw.replace(b"\x0b", b" "))


def fed(deframer: Deframer, stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found: list[bytes] = []
    for start, stop in pairwise(places):
        found += deframer.feed(stream[start:stop])
    return found


@given(st.lists(PAYLOAD, max_size=5), st.lists(st.integers(0, 1000), max_size=20))
def test_frames_survive_any_split(payloads, cuts):
    stream = b"".join(frame(payload) for payload in payloads)
    deframer = Deframer()
    assert fed(deframer, stream, cuts) == payloads
    assert (deframer.noise, deframer.pending, deframer.in_frame) == (0, 0, False)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000])
def test_frames_survive_pieces_of_every_size(size):
    payloads = [b"MSH|one\r", b"MSH|two\rPID|1", b"MSH|three\r"]
    stream = b"".join(frame(payload) for payload in payloads)
    deframer = Deframer()
    found = [one for at in range(0, len(stream), size) for one in deframer.feed(stream[at : at + size])]
    assert found == payloads


@given(st.lists(st.tuples(NOISE, PAYLOAD), max_size=5), NOISE, st.lists(st.integers(0, 1000), max_size=9))
def test_bytes_between_frames_are_dropped_and_counted(pieces, last, cuts):
    stream = b"".join(noise + frame(payload) for noise, payload in pieces) + last
    deframer = Deframer()
    assert fed(deframer, stream, cuts) == [payload for _, payload in pieces]
    assert deframer.noise == len(last) + sum(len(noise) for noise, _ in pieces)


@given(st.lists(st.integers(0, 1000), max_size=9))
def test_a_file_separator_inside_a_frame_is_content_at_every_split(cuts):
    payload = b"MSH|a\x1cb\x1c\x1cc|\r"
    assert fed(Deframer(), frame(payload), cuts) == [payload]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_start_block_repeated_at_the_beginning_is_passed_over(size):
    stream = b"\x0b" + frame(b"MSH|a\r") + b"\x1c\r"
    deframer = Deframer()
    found = [one for at in range(0, len(stream), size) for one in deframer.feed(stream[at : at + size])]
    assert found == [b"MSH|a\r"]
    assert deframer.noise == 2


def test_a_start_block_inside_a_frame_is_content():
    assert Deframer().feed(frame(b"MSH|a\x0bMSH|b\r")) == [b"MSH|a\x0bMSH|b\r"]


def test_a_frame_without_its_last_cr_is_ended_by_the_next_one():
    deframer = Deframer()
    assert deframer.feed(b"\x0bMSH|a\x1c") == []
    assert deframer.feed(b"\x0bMSH|b\x1c\n") == [b"MSH|a", b"MSH|b"]
    assert deframer.noise == 1


def test_a_frame_without_its_last_cr_is_given_to_whoever_has_waited():
    deframer = Deframer()
    assert deframer.feed(b"\x0bMSH|a\x1c") == []
    assert deframer.half_ended
    assert deframer.finish() == [b"MSH|a"]
    assert deframer.finish() == []
    assert deframer.feed(b"\r") == []
    assert deframer.feed(frame(b"MSH|b")) == [b"MSH|b"]
    assert deframer.noise == 0


def test_utf16_frames_end_too_so_that_their_sender_gets_an_answer():
    stream = "\x0bMSH|a\x1c\r".encode("utf-16-be")
    assert Deframer().feed(stream) == [stream[2:-4] + b"\0"]


def test_an_empty_frame_is_a_frame():
    assert Deframer().feed(frame(b"") + frame(b"MSH|a")) == [b"", b"MSH|a"]


@pytest.mark.parametrize("size", [1, 3, 4000])
def test_a_frame_that_is_too_long_ends_the_stream_but_not_what_came_before(size):
    stream = frame(b"MSH|good") + b"\x0bMSH|" + b"x" * 200
    deframer = Deframer(max_bytes=100)
    found: list[bytes] = []
    with pytest.raises(Unreadable) as caught:
        for at in range(0, len(stream), size):
            found += deframer.feed(stream[at : at + size])
    assert found + caught.value.frames == [b"MSH|good"]
    assert caught.value.code == "too_long"
    assert caught.value.beginning.startswith(b"MSH|xxx")
    assert deframer.feed(frame(b"MSH|later")) == []
    assert deframer.pending == 0


@pytest.mark.parametrize("stream", [frame(b"x" * 101), frame(b"x" * 101) + frame(b"y")])
def test_a_whole_frame_that_is_too_long_is_refused_as_well(stream):
    with pytest.raises(Unreadable, match="longer than 100"):
        Deframer(max_bytes=100).feed(stream)
    assert Deframer(max_bytes=101).feed(stream)[0] == b"x" * 101


def test_endless_noise_is_refused():
    deframer = Deframer(max_noise=100)
    deframer.feed(frame(b"MSH|a") + b"x" * 100)
    with pytest.raises(Unreadable) as caught:
        deframer.feed(b"y")
    assert caught.value.code == "noise"


@given(st.integers(1, 50), st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=20))
def test_a_long_frame_leaves_in_parts_and_nothing_is_lost(size, content, cuts):
    payload = b"MSH|" + content.replace(b"\x1c", b"").replace(b"\x0b", b"")
    stream = frame(payload) + frame(b"MSH|next")
    places = [0, *sorted(cut % len(stream) for cut in cuts), len(stream)]
    deframer = Deframer()
    parts: list[bytes] = []
    found: list[bytes] = []
    for start, stop in pairwise(places):
        found += deframer.feed(stream[start:stop])
        while not found and (part := deframer.take_part(size)) is not None:
            parts.append(part)
    whole, last = found
    if parts:
        assert isinstance(whole, LongFrame)
        assert (whole.taken, whole.parts) == (size * len(parts), len(parts))
    assert b"".join(parts) + whole == payload
    assert last == b"MSH|next"


def test_parts_that_were_taken_count_towards_the_limit():
    deframer = Deframer(max_bytes=100)
    deframer.feed(b"\x0bMSH|" + b"x" * 90)
    assert deframer.take_part(50) is not None
    with pytest.raises(Unreadable):
        deframer.feed(b"x" * 20)


def test_a_second_message_in_a_long_frame_is_counted_though_it_is_cut():
    deframer = Deframer()
    deframer.feed(b"\x0bMSH|a\rPID|1\rMSH")
    assert deframer.take_part(13) is not None
    (rest,) = deframer.feed(b"|b\r\x1c\r")
    assert isinstance(rest, LongFrame)
    assert rest.messages == 1


def test_a_batch_is_not_taken_in_parts():
    deframer = Deframer()
    deframer.feed(b"\x0b\r\nFHS|^~\\&|" + b"x" * 100)
    assert deframer.take_part(10) is None


def test_what_is_unfinished_at_the_end_is_counted():
    deframer = Deframer()
    deframer.feed(b"\x0bMSH|abc")
    assert deframer.take_part(4) == b"MSH|"
    assert deframer.end() == 7
    assert not deframer.in_frame
