"""One language of conditions: over messages, parts of them, and what notifications say."""

import time

import pytest

from broker.conditions import Condition
from broker.hl7 import Message
from broker.yaml_files import Wrong

RAW = (
    b"MSH|^~\\&|APP|NORTH|||20260305141000||ADT^A03|1|P|2.5.1\r"
    b"PID|1||7^^^NORTH^MR~E1^^^ENT^PI||Hollis^June||19480312\r"
    b'PV1|1|I|4W|||""||||MED\r'
    b"OBX|1|NM|K||6.9\rOBX|2|NM|NA||139\r"
)


def holds(said, tables=None):
    return Condition.read(said).holds(Message(RAW), tables or {})


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ({"PV1-2": "I"}, True),
        ({"PV1-2": "O"}, False),
        ({"PV1-2": ["I", "E"]}, True),
        ({"PV1-2": ["O", "E"]}, False),
        ({"PID-3.5": "PI"}, True),  # by any repetition
        ({"OBX-5": "139"}, True),  # by any segment
        ({"OBX[2]-5": "6.9"}, False),
        ({"PV1-2": "I", "MSH-9.1": "ORU"}, False),  # all must hold
        ({"PV1-44": ""}, True),  # nothing stands there
        ({"PV1-44": ["", "x"]}, True),
        ({"PV1-2": ""}, False),
        ({"PV1-2": {"present": "yes"}}, True),
        ({"PV1-44": {"present": "yes"}}, False),
        ({"PV1-44": {"present": "no"}}, True),
        ({"PV1-6": {"present": "yes"}}, False),  # deleted is not present
        ({"PV1-6": '""'}, True),
        ({"PID-5.1": {"starts_with": "Hol"}}, True),
        ({"PID-5.1": {"starts_with": "hol"}}, False),
        ({"PID-5.1": {"matches": "^H.*s$"}}, True),
        ({"PID-5.1": {"matches": "(?i)^hollis$"}}, True),
        ({"OBX-5": {"above": "100"}}, True),
        ({"OBX-5": {"below": "6.9"}}, False),
        ({"OBX-5": {"below": "6.90001"}}, True),
        ({"PID-5.1": {"above": "1"}}, False),  # no number
        ({"PV1-2": {"not": "O"}}, True),
        ({"PV1-2": {"not": ["I", "E"]}}, False),
        ({"PID-3.5": {"not": "PI"}}, False),
        ({"PID-5.1": {"not": {"starts_with": "Z"}}}, True),
        ({"PV1-2": {"in_table": "classes"}}, True),
        ({"PV1-10": {"in_table": "classes"}}, False),
        ({"any": [{"PV1-2": "O"}, {"PV1-10": "MED"}]}, True),
        ({"any": [{"PV1-2": "O"}, {"PV1-10": "SUR"}]}, False),
        ({"PV1-2": "O", "any": [{"PV1-10": "MED"}]}, False),
        ({"any": [{"any": [{"PV1-2": "I"}]}]}, True),
    ],
)
def test_a_condition_holds_or_not(said, held):
    assert holds(said, {"classes": {"I", "E"}}) is held


def test_a_part_of_a_message_is_asked_like_the_whole():
    first, second = Message(RAW).each("OBX")
    condition = Condition.read({"OBX-5": {"above": "100"}, "PV1-2": "I"})
    assert not condition.holds(first, {})
    assert condition.holds(second, {})


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ({"patient_class": "inpatient"}, True),
        ({"attending.npi": {"present": "yes"}}, True),
        ({"pcp.npi": {"present": "yes"}}, False),
        ({"diagnoses.code": "I50.23"}, True),
        ({"late": "no"}, True),
        ({"location": {"present": "yes"}}, False),
    ],
)
def test_what_a_notification_says_is_asked_by_our_words(said, held):
    content = {
        "patient_class": "inpatient", "attending": {"npi": "1"}, "pcp": {}, "late": False,
        "diagnoses": [{"code": "N18"}, {"code": "I50.23"}], "location": {"unit": "4W"},
    }  # fmt: skip
    condition = Condition.read(said)
    assert condition.holds(content, {}) is held
    assert condition.asks == "content"


def test_why_one_does_not_hold_is_told_by_each_test():
    condition = Condition.read({"PV1-2": ["O", "E"], "MSH-9.1": "ADT", "any": [{"PV1-10": "SUR"}]})
    assert condition.explain(Message(RAW), {}) == [
        "PV1-2 is O or E: found I",
        "none of any: PV1-10 is SUR: found MED",
    ]


@pytest.mark.parametrize(
    ("said", "text", "right", "at"),
    [
        ("I", "a condition is a mapping", "", ()),
        ({}, "a condition is a mapping", "", ()),
        ({"pv1-2": "I"}, "no path", "", ("pv1-2",)),
        ({"PV1-2": {"startswith": "I"}}, "no such test", "starts_with", ("PV1-2", "startswith")),
        ({"PV1-2": {"above": "high"}}, "a number", "", ("PV1-2", "above")),
        ({"PV1-2": {"present": "maybe"}}, "yes or no", "", ("PV1-2", "present")),
        ({"PV1-2": {"matches": "a{1001}"}}, "no pattern", "", ("PV1-2", "matches")),
        ({"PV1-2": {"matches": "x" * 501}}, "more than 500", "", ("PV1-2", "matches")),
        ({"PV1-2": {"not": {"abov": "1"}}}, "no such test", "above", ("PV1-2", "not", "abov")),
        ({"PV1-2": {"above": "1", "below": "2"}}, "one of", "", ("PV1-2",)),
        ({"PV1-2": None}, "a value, a list", "", ("PV1-2",)),
        ({"any": {"PV1-2": "I"}}, "a list of conditions", "", ("any",)),
        ({"any": [{"PV1-2": "I"}, {"PV1_2": "I"}]}, "no path", "", ("any", 1, "PV1_2")),
    ],
)
def test_what_is_no_condition_is_told_with_its_place(said, text, right, at):
    with pytest.raises(Wrong) as raised:
        Condition.read(said)
    assert text in raised.value.text
    assert raised.value.right == right
    assert raised.value.at == at


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_longer_than_its_text(pattern):
    hostile = RAW.replace(b"Hollis", b"a" * 30_000 + b"!")
    condition, message = Condition.read({"PID-5.1": {"matches": pattern}}), Message(hostile)
    began = time.process_time()
    condition.holds(message, {})
    assert time.process_time() - began < 1
