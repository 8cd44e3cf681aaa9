"""A message made from paths and values."""

import pytest
from hl7apy.parser import parse_message

from broker.errors import Hl7Error
from broker.hl7 import NULL, Delimiters, Message, compose

FIELDS = {
    "MSH-3": "HANDOFF",
    "MSH-7": "20260305141000-0500",
    "MSH-9.1": "ADT",
    "MSH-9.2": "A03",
    "MSH-9.3": "ADT_A03",
    "MSH-10": "D1",
    "MSH-11": "P",
    "EVN-2": "20260305141000-0500",
    "PID-3[1].1": "100",
    "PID-3[1].4.1": "NORTH",
    "PID-3[2].1": "200",
    "PID-5.1": "O&NEIL",
    "PID-13": NULL,
    "PV1-2": "I",
    "DG1-1": "1",
    "DG1-3.1": "J18.9",
    "DG1[2]-1": "2",
    "DG1[2]-3.1": "E11.9",
    "IN1-3": "",
}


def test_segments_stand_in_the_order_in_which_they_are_named():
    assert compose(FIELDS, version="2.5.1").decode().split("\r") == [
        "MSH|^~\\&|HANDOFF||||20260305141000-0500||ADT^A03^ADT_A03|D1|P|2.5.1||||||UNICODE UTF-8",
        "EVN||20260305141000-0500",
        'PID|||100^^^NORTH~200||O\\T\\NEIL||||||||""',
        "PV1||I",
        "DG1|1||J18.9",
        "DG1|2||E11.9",
        "",
    ]


def test_the_same_input_gives_the_same_bytes():
    assert compose(FIELDS, version="2.5.1") == compose(dict(FIELDS), version="2.5.1")


def test_a_list_is_the_repetitions_of_a_field():
    text = compose({"MSH-9": "ACK", "PID-3.1": ["1", "", "3"], "PID-13": ["a", "b", ""]}, version="2.5")
    assert text.split(b"\r")[1] == b"PID|||1~~3||||||||||a~b"


def test_repeated_segments_interleave_as_they_are_named():
    fields = {"MSH-9": "ORU", "OBX-1": "1", "NTE-3": "a", "OBX[2]-1": "2", "NTE[2]-3": "b"}
    assert Message(compose(fields, version="2.5")).segment_names == ["MSH", "OBX", "NTE", "OBX", "NTE"]


def test_another_character_set_and_other_delimiters():
    text = compose(
        {"MSH-9.1": "ADT", "MSH-9.2": "A01", "PID-5": "MÜLLER$"},
        version="2.4",
        charset="8859/1",
        delimiters=Delimiters("$", "%", "~", "\\", "!"),
    )
    assert text == "MSH$%~\\!$$$$$$$ADT%A01$$$2.4$$$$$$8859/1\rPID$$$$$MÜLLER\\F\\\r".encode("latin-1")
    assert b"ASCII" not in compose({"MSH-9": "ACK"}, version="2.4", charset="ASCII")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"PID-3[5=MR].1": "1"}, "bad_path"),
        ({"OBX[3.1=X]-5": "1"}, "bad_path"),
        ({"PV1/ROL-4": "1"}, "bad_path"),
        ({"MSH-2": "1"}, "bad_path"),
        ({"PID": "1"}, "bad_path"),
        ({"PID-99999": "1"}, "too_many"),
        ({"PID-5": "\u0141"}, "charset"),
    ],
)
def test_what_cannot_be_written_is_refused(fields, code):
    with pytest.raises(Hl7Error) as caught:
        compose(fields, version="2.5", charset="8859/1")
    assert caught.value.code == code


def test_an_unknown_character_set_is_refused():
    with pytest.raises(Hl7Error) as caught:
        compose({}, version="2.5", charset="KLINGON")
    assert caught.value.code == "charset"


def test_another_library_finds_the_same_values_and_a_valid_structure():
    fields = {**FIELDS, "EVN-1": "A03", "DG1-6": "F", "DG1[2]-6": "F"}
    text = compose(fields, version="2.5.1").decode()
    parsed = parse_message(text)
    assert parsed.validate()
    assert parsed.pid.pid_3[1].pid_3_1.value == "200"
    assert parsed.pid.pid_5.pid_5_1.value == "O\\T\\NEIL"
    assert [one.dg1_3.dg1_3_1.value for one in parsed.dg1] == ["J18.9", "E11.9"]
