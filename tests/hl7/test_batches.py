"""Batches: cut into messages, put together again, answered by a batch."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import (
    Answer,
    Unreadable,
    acknowledge,
    compose_batch,
    header,
    read_acknowledgement,
    reassemble,
    split_batch,
)
from broker.hl7.unreadable import MAX_MESSAGES

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
FHS = b"FHS|^~\\&|APP|FAC|HUB|REGION|20260305||file||F1\r"
BHS = b"BHS|^~\\&|APP|FAC|HUB|REGION|20260305||name||B1\r"


def one(number: int) -> bytes:
    return f"MSH|^~\\&|APP|FAC|HUB|REGION|20260305||ADT^A01|M{number}|P|2.5\rPID|1||{number}\r".encode()


def test_a_file_with_a_batch():
    frame = FHS + BHS + one(1) + one(2) + b"BTS|2\rFTS|1\r"
    batch = split_batch(frame)
    assert batch.messages == (one(1), one(2))
    assert batch.envelope == FHS + BHS + b"BTS|2\rFTS|1\r"
    assert (batch.control_id, batch.declared, batch.complete) == ("B1", 2, True)


@pytest.mark.parametrize("trailer", [b"", b"BTS|\r", b"BTS||text\r"])
def test_a_batch_may_leave_out_its_count(trailer):
    batch = split_batch(BHS + one(1) + trailer)
    assert (batch.messages, batch.declared, batch.complete) == ((one(1),), None, True)


def test_a_count_that_does_not_fit_is_seen():
    assert not split_batch(BHS + one(1) + b"BTS|2\r").complete


def test_several_batches_in_a_file_are_counted_together():
    frame = FHS + BHS + one(1) + b"BTS|1\r" + BHS + one(2) + one(3) + b"BTS|2\rFTS|2\r"
    batch = split_batch(frame)
    assert [header(message).control_id for message in batch.messages] == ["M1", "M2", "M3"]
    assert batch.complete


def test_a_batch_without_messages():
    assert split_batch(FHS + BHS + b"BTS|0\rFTS|1\r").messages == ()


@pytest.mark.parametrize("frame", [one(1), one(1) + b"BTS|1\r", b"", b"EVN|A01\r"])
def test_what_begins_otherwise_is_no_batch(frame):
    assert split_batch(frame) is None


@pytest.mark.parametrize("opening", [b"FHS", b"BHS|", b"BHS|^^\\&|A\r", b"FHSA^~\\&"])
def test_a_batch_whose_header_cannot_be_read_is_refused(opening):
    with pytest.raises(Unreadable):
        split_batch(opening + b"\r" + one(1))


PIECE = st.sampled_from(
    [BHS, one(1), one(2).replace(b"\r", b"\n"), b"BTS|1\r", b"\r\n", b"ZZZ|1\r", b"FTS|1\r"]
)


@given(st.lists(PIECE, max_size=12), st.sampled_from([b"", b"\xef\xbb\xbf", b"\r\n"]))
def test_a_batch_that_was_cut_is_put_together_again(pieces, before):
    frame = before + FHS + b"".join(pieces)
    batch = split_batch(frame)
    assert reassemble(batch.envelope, batch.messages, batch.places) == frame
    assert len(batch.messages) == sum(piece.startswith(b"MSH") for piece in pieces)


def test_a_batch_is_answered_by_a_batch():
    batch = split_batch(FHS + BHS + one(1) + one(2) + b"BTS|2\rFTS|1\r")
    acks = [
        acknowledge(header(message), Answer("AA"), control_id=f"A{number}", now=NOW)
        for number, message in enumerate(batch.messages)
    ]
    answer = compose_batch(batch, acks, control_id="X1", now=NOW)
    assert answer.startswith(
        b"FHS|^~\\&|HUB|REGION|APP|FAC|20260305141000+0000||||X1|F1\rBHS|^~\\&|HUB|REGION|APP|FAC|"
    )
    assert answer.endswith(b"BTS|2\rFTS|1\r")
    answered = split_batch(answer)
    assert [read_acknowledgement(ack).control_id for ack in answered.messages] == ["M1", "M2"]
    assert answered.complete


def test_a_batch_without_a_file_is_answered_without_one():
    batch = split_batch(b"BHS$%~\\!$APP$FAC$HUB$REG\r" + one(1))
    answer = compose_batch(batch, [b"MSH|...\r"], control_id="X1", now=NOW)
    assert answer == b"BHS$%~\\!$HUB$REG$APP$FAC$20260305141000+0000$$$$X1\rMSH|...\rBTS$1\r"


def test_a_batch_past_its_limit_is_refused_with_the_limits_name():
    with pytest.raises(Unreadable, match="MAX_MESSAGES"):
        split_batch(BHS + b"MSH|\r" * (MAX_MESSAGES + 1))
