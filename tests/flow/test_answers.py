"""Answers that are put together from pieces say what `acknowledge` says."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from broker.flow.answers import Answers
from broker.hl7 import Answer, acknowledge, frame, header

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="|^~\\&\x7f\x85\xa0"), max_size=9
)


def answers(seconds: list[float]) -> Answers:
    return Answers("own", lambda: NOW, lambda: seconds[0])


@given(
    st.lists(TEXT, min_size=4, max_size=4),
    TEXT.filter(bool),
    st.sampled_from(["P", "T", "", "P^T"]),
    st.sampled_from(["2.1", "2.2", "2.3", "2.4", "2.5.1", "2.7", "2.8", "", "9"]),
    st.sampled_from(["", "|||AL|NE", "||||AL", "||||||8859/1", "||||||UNICODE UTF-8~8859/1"]),
    st.sampled_from(["AA", "CA"]),
)
def test_a_quick_answer_is_the_thorough_one(ends, control_id, processing, version, rest, code):
    raw = (
        f"MSH|^~\\&|{'|'.join(ends)}|2026||ADT^A01^ADT_A01|{control_id}|{processing}|{version}{rest}\rPID|1\r"
    )
    came = header(raw.encode("latin-1"))
    quick = answers([0.0])
    # Twice, since the second comes from the pieces of the first.
    for number in (1, 2):
        whole = acknowledge(came, Answer(code), control_id=f"own{number}", now=NOW)
        assert quick.accept(came, (code,)) == frame(whole)


def test_the_pieces_are_made_anew_each_second():
    times = [NOW, NOW.replace(second=1), NOW.replace(second=2)]
    seconds = [0.0]
    quick = Answers("own", lambda: times[int(seconds[0])], lambda: seconds[0])
    came = header(b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|2.5.1\r")
    said = []
    for second in (0.0, 0.9, 1.0, 2.5):
        seconds[0] = second
        said.append(quick.accept(came, ("AA",)).split(b"|")[6])
    assert said == [b"20260305141000+0000"] * 2 + [b"20260305141001+0000", b"20260305141002+0000"]


def test_two_answers_to_one_message_leave_as_two_frames():
    came = header(b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|2.5.1|||AL|AL\r")
    both = answers([0.0]).accept(came, ("CA", "AA"))
    assert both.count(b"\x0bMSH") == 2 and both.index(b"MSA|CA|C1") < both.index(b"MSA|AA|C1")
