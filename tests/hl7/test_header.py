"""The header of a frame: what is read, and what is refused with a place and something to answer to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import Unreadable, header
from broker.hl7.unreadable import MAX_HEADER_BYTES

MSH = b"MSH|^~\\&|APP|FAC^1.2^ISO|HUB|REGION & CO|20260305141000-0500|sec|ADT^A03^ADT_A03|M 1|P^T|2.5.1^USA"
MSH += b"|||AL|NE||8859/1~UNICODE UTF-8"


def refused(frame: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        header(frame)
    return caught.value


def test_the_fields_of_msh():
    found = header(MSH + b"\rEVN|A03\r")
    assert (found.sending_application, found.sending_facility) == ("APP", "FAC^1.2^ISO")
    assert (found.receiving_application, found.receiving_facility) == ("HUB", "REGION & CO")
    assert (found.time, found.security) == ("20260305141000-0500", "sec")
    assert (found.message_type, found.event, found.structure) == ("ADT", "A03", "ADT_A03")
    assert (found.control_id, found.processing_id, found.version) == ("M 1", "P", "2.5.1")
    assert (found.accept_ack, found.application_ack) == ("AL", "NE")
    assert found.charsets == ("8859/1", "UNICODE UTF-8")
    assert found.fields[0:3] == ("MSH", "|", "^~\\&")
    assert found.fields[12] == "2.5.1^USA"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_text_of_the_header_gives_back_the_senders_bytes(text):
    raw = text.encode().replace(b"|", b"")
    found = header(b"MSH|^~\\&|" + raw + b"||||||ACK|" + raw + b"|P|2.5\r")
    assert found.sending_application.encode("latin-1") == raw
    assert found.control_id.encode("latin-1") == raw


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n \r", b"\x00\x00", b"\x0b", b"\xef\xbb\xbf\n"])
def test_a_byte_order_mark_and_blanks_before_msh_are_passed_over(before):
    assert header(before + MSH + b"\r").control_id == "M 1"


@pytest.mark.parametrize("end", [b"", b"\r", b"\n", b"\r\n", b"\nPID|1\n", b"\rPID|1"])
def test_msh_ends_where_the_line_ends(end):
    assert header(MSH + end).charsets == ("8859/1", "UNICODE UTF-8")


def test_unusual_delimiters_are_the_messages_own():
    found = header(b"MSH$%~\\!$APP$$$$$$ADT%A01%ADT_A01$C1$P$2.5.1\r")
    assert (found.field, found.component, found.subcomponent) == ("$", "%", "!")
    assert (found.message_type, found.event) == ("ADT", "A01")


def test_the_truncation_character_is_known_and_splits_nothing():
    found = header(b"MSH|^~\\&#|A#B||||||ADT^A01|C#1|P|2.7\r")
    assert (found.truncation, found.sending_application, found.control_id) == ("#", "A#B", "C#1")


def test_three_encoding_characters_are_taken_by_their_position():
    found = header(b"MSH|^~&|A||||||ADT^A01|C1|P|2.3\r")
    assert (found.escape, found.subcomponent) == ("&", "")


def test_an_old_version_names_its_event_in_evn():
    assert header(b"MSH|^~\\&|A||||||ADT|1|P|2.1\rEVN|A03|20260305\r").event == "A03"
    assert header(b"MSH|^~\\&|A||||||ADT|1|P|2.5\rEVN|A03|20260305\r").event == ""


def test_the_null_value_of_a_header_field_reads_as_empty():
    assert header(b'MSH|^~\\&|A||||||ACK|1|P|2.5|||""|""||""\r').accept_ack == ""


def test_a_name_in_kanji_does_not_shift_the_header():
    app = b"\x1b$BB|^~\x1b(B"  # two characters
    found = header(b"MSH|^~\\&|" + app + b"|F|||20260305||ADT^A01|K1|P|2.5||||||~ISO IR87\r")
    assert (found.sending_facility, found.control_id, found.charsets) == ("F", "K1", ("", "ISO IR87"))
    assert found.sending_application.encode("latin-1") == app


@pytest.mark.parametrize("frame", [b"", b"  \r\n", b"EVN|A01\rPID|1\r", b"hello", b"\x00", b"msh|^~\\&|"])
def test_a_frame_that_begins_with_something_else_is_refused(frame):
    error = refused(frame)
    assert (error.code, error.where, error.ack_code, error.partial) == ("no_msh", "MSH", "100", None)


@pytest.mark.parametrize(
    ("msh", "where"),
    [
        (b"MSH", "MSH-1"),
        (b"MSHA^~\\&A", "MSH-1"),
        (b"MSH\x01^~\\&\x01", "MSH-1"),
        (b"MSH ^~\\& ", "MSH-1"),
        (b"MSH\xc2\xa6^~\\&\xc2\xa6A", "MSH-1"),
        (b"MSH^~\\&|SEND|FAC|HUB|GEN|2025||ADT^A01^ADT_A01|C1|P|2.5.1", "MSH-1"),
        (b"MSH|0|||||||00|||2.7", "MSH-2"),
        (b"MSH||A", "MSH-2"),
        (b"MSH|", "MSH-2"),
        (b"MSH|^~\\\\&|A", "MSH-2"),
        (b"MSH|^^\\&|A", "MSH-2"),
        (b"MSH|^|\\&|A", "MSH-2"),
        (b"MSH|^~\\a|A", "MSH-2"),
        (b"MSH|^~\\&#!|A", "MSH-2"),
        (b"MSH|^~\\\x1c|A", "MSH-2"),
    ],
)
def test_illegal_delimiters_are_refused_where_they_stand(msh, where):
    error = refused(msh + b"\rPID|1\r")
    assert (error.code, error.where) == ("illegal_delimiters", where)
    assert error.partial is not None


def test_what_could_be_read_beside_illegal_delimiters_serves_the_answer():
    error = refused(b"MSH^~\\&|SEND|FAC|HUB|GEN|2025||ADT^A01^ADT_A01|C1|P|2.5.1\r")
    assert error.partial.control_id == "C1"
    assert error.partial.sending_application == "SEND"
    error = refused(b"MSH|^~\\\\&|SEND|FAC|||2025||ADT^A01|C2|P|2.5.1\r")
    assert (error.partial.control_id, error.partial.version) == ("C2", "2.5.1")


def test_a_message_without_a_type_is_refused_at_msh_9():
    error = refused(b"MSH|^~\\&|A||||||^A01|C1|P|2.5.1\r")
    assert (error.code, error.where, error.ack_code) == ("missing", "MSH-9", "101")
    assert error.partial.control_id == "C1"


@pytest.mark.parametrize("between", [b"\r", b"\n", b"\r\n", b"\r \t", b"\x0b", b"\r\xef\xbb\xbf", b"\r\x00"])
def test_a_second_message_in_the_frame_is_refused(between):
    error = refused(MSH + b"\rPID|1" + between + MSH.replace(b"M 1", b"M 2") + b"\r")
    assert (error.code, error.where) == ("several_messages", "MSH")
    assert error.partial.control_id == "M 1"


@pytest.mark.parametrize(
    "inside", [b"see MSH|^~\\&|", "\u00bfMSH|".encode(), b"a\x00MSH|", b"\rMSHX|1", b" MSH", b"\rMSH"]
)
def test_text_that_only_mentions_msh_is_no_second_message(inside):
    assert header(MSH + b"\rNTE|1||" + inside).control_id == "M 1"


@pytest.mark.parametrize("name", [b"FHS", b"BHS"])
def test_a_batch_is_no_single_message(name):
    assert refused(name + b"|^~\\&|A\r" + MSH).code == "batch"


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "utf-16"])
def test_utf16_is_refused_with_its_control_id(codec):
    error = refused(MSH.decode("latin-1").encode(codec))
    assert error.code == "utf16"
    assert error.partial.control_id == "M 1"
    assert error.partial.charsets == ()


def test_a_header_beyond_its_limit_is_refused_with_the_limits_name():
    error = refused(b"MSH|^~\\&|" + b"|" * MAX_HEADER_BYTES)
    assert error.code == "too_many"
    assert "MAX_HEADER_BYTES" in error.text


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(raw):
    for frame in (raw, b"MSH" + raw, b"MSH|^~\\&|" + raw):
        try:
            header(frame)
        except Unreadable as error:
            assert error.code
