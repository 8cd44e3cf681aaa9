"""Bytes to text by MSH-18, and then by what is likely: nothing is dropped for its character set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import Message
from broker.hl7.charset import codec_of, decode


def named(charset: str, name: bytes, default: str | None = None) -> Message:
    msh = f"MSH|^~\\&|A||||||ADT^A01|1|P|2.5||||||{charset}\r".encode()
    return Message(msh + b"PID|1||5^^^^MR||" + name + b"^B\rPV1|1|I\r", default_charset=default)


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("8859/1", "iso8859-1"),
        ("8859/2", "iso8859-2"),
        ("8859/5", "iso8859-5"),
        ("8859/9", "iso8859-9"),
        ("8859/15", "iso8859-15"),
        ("ISO-8859-1", "iso8859-1"),
        ("GB 18030-2000", "gb18030"),
        ("BIG-5", "big5hkscs"),
        ("KS X 1001", "cp949"),
    ],
)
def test_each_character_set_by_its_name(charset, codec):
    name = {
        "iso8859-2": "ŁUKASZ",
        "iso8859-5": "ИВАН",
        "iso8859-9": "IŞIK",
        "iso8859-15": "CŒUR €",
        "gb18030": "王丂",
        "big5hkscs": "許功蓋",
        "cp949": "김철수",
    }.get(codec, "MÜLLER")
    read = named(charset, name.encode(codec))
    assert (read.get("PID-5.1"), read.get("PID-5.2"), read.get("PV1-2")) == (name, "B", "I")
    assert read.warnings == ()


def test_kanji_are_decoded_before_the_text_is_split():
    name = b"\x1b$BB|B^B~B\\B&\x1b(B"  # every second byte would be a delimiter
    read = named("~ISO IR87", name)
    assert read.get("PID-5.1") == name.decode("iso2022_jp")
    assert (read.get("PID-5.2"), read.get("PV1-2"), read.warnings) == ("B", "I", ())


def test_other_sets_beside_kanji():
    assert named("8859/1~ISO IR87", b"M\xdcLLER \x1b$B2~ED\x1b(B \xe9").get("PID-5.1") == "MÜLLER 改田 é"
    assert named("~ISO IR159", b"\x1b$(D0!\x1b(B").get("PID-5.1") == "丂"
    assert named("~KS X 1001", b"Kim^\x1b$)C\xb1\xe8").get("PID-5.2") == "김"
    assert named("ISO IR14~ISO IR87", b"\xd4\xcf\xc0\xde \x1b$B;3\x1b(J").get("PID-5.1") == "ﾔﾏﾀﾞ 山"


def test_a_kanji_run_that_is_not_closed_ends_with_its_segment():
    read = named("~ISO IR87", b"\x1b$B2~ED")
    assert (read.segment_names, read.get("PV1-2")) == (["MSH", "PID", "PV1"], "I")


def test_the_channels_default_holds_where_nothing_is_declared():
    assert named("", "É".encode("iso8859-1"), "8859/1").get("PID-5.1") == "É"
    assert named("ASCII", "Ł".encode("iso8859-2"), "8859/2").get("PID-5.1") == "Ł"
    assert named("UNICODE UTF-8", "É".encode(), "8859/2").get("PID-5.1") == "É"


@pytest.mark.parametrize(
    ("charset", "name", "text", "warnings"),
    [
        ("", b"M\xdcLLER", "MÜLLER", ("charset_guessed",)),
        ("UNICODE UTF-8", b"M\xdcLLER", "MÜLLER", ("charset_wrong", "charset_guessed")),
        ("ASCII", "MÜLLER".encode(), "MÜLLER", ("charset_wrong",)),
        ("KLINGON", "MÜLLER".encode(), "MÜLLER", ("charset_unknown",)),
        ("CNS 11643-1992", b"M\xdcLLER", "MÜLLER", ("charset_unknown", "charset_guessed")),
        ("8859/1", b"it\x92s \x80", "it’s €", ()),
        ("", b"\x81\x8d\x90\x9d", "\x81\x8d\x90\x9d", ("charset_guessed",)),
    ],
)
def test_what_does_not_fit_is_read_all_the_same_and_counted(charset, name, text, warnings):
    read = named(charset, name)
    assert (read.get("PID-5.1"), read.warnings) == (text, warnings)


def test_names_are_compared_without_blanks_and_hyphens():
    assert codec_of("iso_8859-15") == codec_of("8859/15") == "iso8859-15"
    assert codec_of("rot13") is None


@given(st.binary(), st.lists(st.sampled_from(["", "ASCII", "8859/7", "UTF-8", "ISO IR87", "KS X 1001"])),
       st.none() | st.sampled_from(["8859/1", "UTF-8", "nonsense"]))  # fmt: skip
def test_any_bytes_become_text(raw, declared, default):
    decoded = decode(raw, tuple(declared), default)
    assert decoded.codec
    assert "\0" not in decoded.text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1b")),
       st.sampled_from(["UNICODE UTF-8", "GB 18030-2000"]))  # fmt: skip
def test_text_that_is_encoded_is_read_back(text, charset):
    codec = codec_of(charset)
    assert codec is not None
    assert decode(text.encode(codec), (charset,)).text == text
