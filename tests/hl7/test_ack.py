"""Acknowledgements: honest, in the sender's own terms, and read back."""

from datetime import UTC, datetime

import hl7 as python_hl7
import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import (
    Answer,
    Message,
    Problem,
    Unreadable,
    acknowledge,
    header,
    is_acknowledgement,
    mode,
    read_acknowledgement,
    wanted,
)
from broker.hl7.delimiters import read_delimiters

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
MISSING = Problem("101", "the patient's number is missing", "PID-3")


def msh(version="2.5.1", ack="|", event="ADT^A01^ADT_A01", charset="", control="C1", processing="P") -> bytes:
    text = f"MSH|^~\\&|APP|FAC^1.2^ISO|HUB|REGION & CO|20260305||{event}|{control}|{processing}|{version}"
    return f"{text}|||{ack}||{charset}\rPID|1\r".encode()


def answered(raw: bytes, code="AA", *problems: Problem) -> list[str]:
    ack = acknowledge(header(raw), Answer(code, problems), control_id="OWN1", now=NOW)
    assert ack.endswith(b"\r")
    return ack.decode().split("\r")[:-1]


def test_endpoints_are_swapped_and_what_was_sent_is_kept():
    assert answered(msh(processing="T^A", charset="UNICODE UTF-8")) == [
        "MSH|^~\\&|HUB|REGION & CO|APP|FAC^1.2^ISO|20260305141000+0000||ACK^A01^ACK|OWN1|T^A|2.5.1"
        "||||||UNICODE UTF-8",
        "MSA|AA|C1",
    ]


@pytest.mark.parametrize(
    ("version", "message_type"),
    [
        ("2.1", "ACK"),
        ("2.2", "ACK"),
        ("2.3", "ACK^A01"),
        ("2.3.1", "ACK^A01^ACK"),
        ("2.4", "ACK^A01^ACK"),
        ("2.5.1", "ACK^A01^ACK"),
        ("2.8", "ACK^A01^ACK"),
        ("2.9", "ACK^A01^ACK"),
        ("2.5.1^USA", "ACK^A01^ACK"),
    ],
)
def test_the_message_type_is_of_the_version(version, message_type):
    fields = answered(msh(version))[0].split("|")
    assert (fields[8], fields[11]) == (message_type, version)


def test_without_event_or_version_the_answer_is_well_formed_all_the_same():
    fields = answered(msh(version="", event="ADT"))[0].split("|")
    assert (fields[8], fields[11]) == ("ACK", "2.5.1")


def test_errors_of_v25_and_later_have_place_code_severity_and_a_sentence():
    problems = (
        MISSING,
        Problem("103", "no such class", "PV1[2]-2[3].4", "W"),
        Problem("207", "odd", "line 7"),
    )
    assert answered(msh("2.5.1"), "AE", *problems)[1:] == [
        "MSA|AE|C1|PID-3: the patient's number is missing",
        "ERR||PID^1^3|101^Required field missing^HL70357|E||||the patient's number is missing",
        "ERR||PV1^2^2^3^4|103^Table value not found^HL70357|W||||no such class",
        "ERR|||207^Application internal error^HL70357|E||||line 7: odd",
    ]


def test_a_place_in_a_component_names_the_repetition_too():
    line = answered(msh("2.7"), "AE", Problem("101", "x", "PID-3.4.1"))[2]
    assert line.startswith("ERR||PID^1^3^1^4^1|")


def test_v27_has_no_text_in_msa():
    assert answered(msh("2.7"), "AE", MISSING)[1] == "MSA|AE|C1"


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.4"])
def test_errors_up_to_v24_stand_in_err_1_and_msa_3(version):
    assert answered(msh(version), "AE", MISSING, Problem("102", "no date", "EVN-2"))[1:] == [
        "MSA|AE|C1|PID-3: the patient's number is missing",
        "ERR|PID^1^3^101&Required field missing~EVN^1^2^102&Data type error",
    ]


def test_nothing_readable_is_answered_with_an_empty_msa_2():
    ack = acknowledge(None, Answer("AE", (Problem("100", "no MSH", "MSH"),)), control_id="OWN1", now=NOW)
    assert ack.decode().split("\r")[:3] == [
        "MSH|^~\\&|||||20260305141000+0000||ACK|OWN1|P|2.5.1",
        "MSA|AE||MSH: no MSH",
        "ERR||MSH^1|100^Segment sequence error^HL70357|E||||no MSH",
    ]


@pytest.mark.parametrize("code", ["AA", "AE", "AR"])
def test_an_applications_answer_in_enhanced_mode_wants_no_answer(code):
    assert answered(msh(ack="AL|AL"), code)[0].endswith("|2.5.1|||NE|NE")
    assert answered(msh(ack="AL|AL"), "CA")[0].endswith("|2.5.1")
    assert answered(msh(), code)[0].endswith("|2.5.1")


@pytest.mark.parametrize("control", ["A&B", "a\\T\\b", " 1 ", "1^2~3", "Ü1", "", "x" * 199])
def test_the_control_id_is_echoed_byte_for_byte(control):
    ack = acknowledge(header(msh(control=control)), Answer("AA"), control_id="OWN1", now=NOW)
    echoed = ack.split(b"\r")[1].split(b"|")[2:]
    assert echoed == ([control.encode()] if control else [])
    assert read_acknowledgement(ack).control_id == header(msh(control=control)).control_id


def test_the_senders_delimiters_are_used_throughout():
    raw = b"MSH$%~\\!$APP$FAC$HUB$REG$2026$$ADT%A01%ADT_A01$C1$P$2.5.1\r"
    assert answered(raw, "AE", Problem("101", "costs $5 | ^", "PID-3"))[1:] == [
        "MSA$AE$C1$PID-3: costs \\F\\5 | ^",
        "ERR$$PID%1%3$101%Required field missing%HL70357$E$$$$costs \\F\\5 | ^",
    ]


def test_texts_are_written_in_the_senders_character_set():
    problem = Problem("207", "Zoë – 1")
    last = acknowledge(header(msh(charset="8859/1")), Answer("AE", (problem,)), control_id="1", now=NOW)
    assert last.endswith("Zoë ? 1\r".encode("latin-1"))
    last = acknowledge(header(msh()), Answer("AE", (problem,)), control_id="1", now=NOW)
    assert last.endswith(b"Zo? ? 1\r")


def test_two_feeds_never_get_each_others_answer():
    first, second = msh(), msh().replace(b"APP", b"OTHER")
    assert answered(first)[0].split("|")[4] == "APP"
    assert answered(second)[0].split("|")[4] == "OTHER"
    assert answered(first, "AE")[1] == "MSA|AE|C1"
    assert answered(first)[1] == "MSA|AA|C1"


@pytest.mark.parametrize(
    ("ack", "level", "positive", "expected"),
    [
        ("|", "accept", True, False),
        ("|", "application", True, True),
        ("|", "application", False, True),
        ("AL|NE", "accept", True, True),
        ("AL|NE", "application", False, False),
        ("AL|", "application", True, False),
        ("|AL", "accept", True, False),
        ("|AL", "application", True, True),
        ("ER|SU", "accept", True, False),
        ("ER|SU", "accept", False, True),
        ("ER|SU", "application", True, True),
        ("ER|SU", "application", False, False),
        ("NE|NE", "accept", False, False),
        ("al|YES", "accept", True, True),
        ("al|YES", "application", True, True),
        ('""|""', "application", True, True),
    ],
)
def test_an_answer_is_given_when_the_message_wants_it(ack, level, positive, expected):
    assert wanted(header(msh(ack=ack)), level, positive) is expected


def test_the_mode_follows_from_msh_15_and_16():
    assert mode(header(msh())) == "original"
    assert mode(header(msh(ack="NE|"))) == mode(header(msh(ack="|AL"))) == "enhanced"


def test_an_answer_is_known_as_one():
    ack = acknowledge(header(msh()), Answer("AA"), control_id="OWN1", now=NOW)
    assert is_acknowledgement(header(ack))
    assert is_acknowledgement(header(msh(event="ORR^O02^ORR_O02")))
    assert is_acknowledgement(header(msh(event="ZZZ^Z01")), msh() + b"MSA|AA|1\r")
    assert not is_acknowledgement(header(msh()), msh())


@pytest.mark.parametrize(
    ("payload", "code", "control", "text"),
    [
        (b"MSH|^~\\&|A|B|||2026||ACK|1|P|2.3\rMSA|AA|C1\r", "AA", "C1", ""),
        (b"MSH|^~\\&|A|B|||2026||ACK|1|P|2.3\nMSA|AE|C1|oh no\\T\\co\n", "AE", "C1", "oh no&co"),
        (b"\r\nMSH|^~\\&|A|B|||2026|||1|P|2.3\r\n MSA | AR |C1", "AR", "C1", ""),
        (b"MSH$%~\\!$A$B$$$2026$$ACK$1$P$2.3\rMSA$CA$C 1$\r", "CA", "C 1", ""),
        (b"MSH|^~\\&|||||||ACK^A01|1|P|2.5\rSFT|x\rMSA|CE|\r", "CE", "", ""),
    ],
)
def test_answers_of_other_systems_are_read(payload, code, control, text):
    payload = payload.replace(b" MSA | ", b"MSA| ")
    found = read_acknowledgement(payload)
    assert (found.code, found.control_id, found.text) == (code, control, text)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "no_msh"),
        (b"\x06", "no_msh"),
        (b"MSH|^~\\&|A|B|||2026||ACK|1|P|2.3\r", "no_msa"),
        (b"MSH|^~\\&|A|B|||2026||ACK|1|P|2.3\rMSA\r", "no_msa"),
        (b"MSH|^~\\&|A|B|||2026||ACK|1|P|2.3\rMSA|AA|1\rMSH|^~\\&|\rMSA|AA|2\r", "several_messages"),
    ],
)
def test_what_is_no_answer_is_refused(payload, code):
    with pytest.raises(Unreadable) as caught:
        read_acknowledgement(payload)
    assert caught.value.code == code


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
VERSIONS = ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.9"]
MARKS = st.permutations(list("#$%&*+,;:<=>?@^_`{|}~\\")).map(lambda marks: "".join(marks[:5]))


@given(
    st.sampled_from(VERSIONS),
    st.sampled_from(["AA", "AE", "AR", "CA", "CE", "CR"]),
    MARKS,
    TEXT,
    st.sampled_from(["PID-3", "MSH-9", "OBX[3]-5", "PV1-44", "EVN"]),
    st.text("abcAZ019 -", max_size=20),
)
def test_an_answer_that_is_written_is_read_back(version, code, marks, text, where, control):
    field, component, delimiters = marks[0], marks[1], read_delimiters(marks[0], marks[1:])
    raw = field.join(["MSH", marks[1:], "A", "B", "C", "D", "20260305", "", f"ADT{component}A01", control])
    raw += field.join(["", "P", version, "", "", "", "", "", "UNICODE UTF-8"])
    came = header(raw.encode())
    ack = acknowledge(came, Answer(code, (Problem("103", text, where),)), control_id="OWN", now=NOW)
    assert b"\x0b" not in ack and b"\x1c" not in ack
    answer = Message(ack)
    assert answer.header.delimiters == delimiters
    assert answer.segment_names == (
        ["MSH", "MSA", "ERR"] if version >= "2.5" or code not in ("AA", "CA") else ["MSH", "MSA"]
    )
    found = read_acknowledgement(ack)
    assert (found.code, found.control_id) == (code, control)
    for problem in found.problems:
        assert (problem.code, problem.where) == ("103", where)
        assert version < "2.5" or problem.text == text


@pytest.mark.parametrize("version", ["2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"])
@pytest.mark.parametrize("code", ["AA", "AE"])
def test_other_libraries_agree_with_our_answers(version, code):
    problems = (MISSING,) if code == "AE" else ()
    came = header(msh(version).replace(b" & ", b" and "))
    ack = acknowledge(came, Answer(code, problems), control_id="OWN1", now=NOW).decode()
    theirs = python_hl7.parse(ack)
    assert str(theirs.segment("MSA")(1)) == code
    assert str(theirs.segment("MSA")(2)) == "C1"
    parsed = parse_message(ack, find_groups=False)
    assert parsed.msa.msa_2.value == "C1"
    if version >= "2.3.1":
        assert parse_message(ack).validate()
