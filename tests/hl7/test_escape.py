"""Escape sequences: what they mean, what is kept, and that nothing written ends a segment or a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import STANDARD, Delimiters, Message, escape, unescape
from broker.hl7.delimiters import read_delimiters

WITH_TRUNCATION = Delimiters("|", "^", "~", "\\", "&", "#")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
MARKS = st.permutations(list("!#$%&*+,;:<=>?@^_`{|}~\\")).map(lambda marks: "".join(marks[:6]))


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two", "one\ntwo"),
        (r"a\X0D\\X0A\b", "a\r\nb"),
        (r"\X414243\ ", "ABC "),
        (r"caf\XC3A9\ ", "café "),
        (r"\E\F\E\ ".replace(" ", ""), r"\F" + "\\"),
        (r"\H\F\N\ ".replace(" ", ""), r"\H\F\N" + "\\"),
    ],
)
def test_known_sequences(text, means):
    assert unescape(text, STANDARD) == means


@pytest.mark.parametrize(
    "text",
    [
        r"\H\bold\N\ plain",
        r"\Z99\ ",
        r"\.in+4\ ",
        r"\.sp3\ ",
        r"\C2842\ ",
        r"\M244221\ ",
        r"a\X00D\c",
        r"\X\ ",
        r"\XZZ\ ",
        r"\X00\ ",
        r"\XE9\ ",
        r"C:\temp\new",
        "\\",
        "\\\\",
        r"\f\ ",
        r"\P\ ",
    ],
)
def test_what_is_unknown_is_kept_as_it_came(text):
    assert unescape(text, STANDARD) == text


def test_a_sequence_after_a_lone_escape_character_is_still_one():
    assert unescape(r"a\b\F\c", STANDARD) == r"a\b|c"


def test_hex_is_read_in_the_messages_character_set():
    assert unescape(r"\XE9\ ", STANDARD, "iso8859-1") == "é "


def test_the_truncation_character_has_a_sequence_where_it_is_declared():
    assert unescape(r"\P\ ", WITH_TRUNCATION) == "# "
    assert escape("#", WITH_TRUNCATION) == "\\P\\"


@given(TEXT)
def test_what_is_escaped_is_read_back(text):
    assert unescape(escape(text, STANDARD), STANDARD) == text


@given(TEXT, MARKS)
def test_what_is_escaped_is_read_back_with_any_delimiters(text, marks):
    delimiters = read_delimiters(marks[0], marks[1:])
    written = escape(text, delimiters)
    assert unescape(written, delimiters) == text
    assert not set(written) & set(marks.replace(delimiters.escape, ""))


@given(TEXT)
def test_nothing_written_ends_a_segment_or_a_frame(text):
    for delimiters in (STANDARD, WITH_TRUNCATION, Delimiters("|", "^", "~", "", "")):
        written = escape(text + "\x1c\r\x0bMSH|^~\\&|\n\x00", delimiters)
        assert not [character for character in written if character < " " or character == "\x7f"]
        assert "|" not in written and "^" not in written


@given(TEXT, TEXT)
def test_one_value_never_becomes_two(text, other):
    raw = b"MSH|^~\\&|A||||||ADT^A01|1|P|2.5||||||UNICODE UTF-8\rNTE|1||"
    raw += f"{escape(text, STANDARD)}^{escape(other, STANDARD)}|end\r".encode()
    message = Message(raw)
    assert message.segment_names == ["MSH", "NTE"]
    assert (message.get("NTE-3.1"), message.get("NTE-3.2"), message.get("NTE-4")) == (text, other, "end")
