"""What leaves: a notification's content as a message, by the same small language the other way."""

import json
from datetime import UTC, datetime

import pytest

from broker.errors import MappingError
from broker.hl7 import Message
from broker.mapping import compose_for
from broker.mapping.content_words import LISTS, WORDS
from broker.notices import Address, Diagnosis, Location, Observation
from broker.validate import structure_of, validate
from tests.care.people import DR_LUND, DR_OKAFOR, World, admitted, left, minutes, says
from tests.mapping.projects import FIXTURES, HERE, errors_of, project

CONTENT = json.loads((FIXTURES / "westside/discharge.json").read_text())
NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
CHANNEL = """\
channel: To a practice
receive: {notifications: [Discharge]}
deliver: {ehr: {to: mllp, host: ehr.example.org, port: 6662, map: {Discharge: tried}}}
"""
HEAD = "mapping: On trial\nfrom: Discharge\nproduces: ADT^A03^ADT_A03\n"
TAIL = "examples: [{name: x, given: westside/discharge.json, expect: {MSH-9.2: A03}}]\n"


def text_of(fields, more=""):
    lines = "".join(f"  {line}\n" for line in fields.strip().splitlines())
    return f"{HEAD}{more}fields:\n{lines}{TAIL}"


def in_files(text):
    return {"channels/north.yaml": CHANNEL, "mappings/tried.yaml": text}


def composed(fields, more="", content=CONTENT, **given):
    made = project(in_files(text_of(fields, more)))
    return compose_for(
        made.mappings["tried"], content, made.tables, **{"control_id": "C1", "now": NOW, **given}
    )


def test_words_of_the_content_are_written_at_paths():
    message = Message(composed("PID-5.1: patient.family\nPID-5.2: patient.given\nPV1-7.1: attending.npi"))
    assert message.get("PID-5.1") == "Hollis"
    assert message.get("PV1-7.1") == "1622984510"
    assert message.get("MSH-9.3") == "ADT_A03"
    assert (message.get("MSH-10"), message.get("MSH-7")) == ("C1", "20260306120000+0000")


def test_times_and_days_are_written_as_hl7_has_them():
    message = Message(
        composed("PV1-45: discharged_at\nPV1-44: {take: admitted_at, format: day}\nPID-7: patient.birth_date")
    )
    assert message.get("PV1-45") == "20260305141000-0500"
    assert message.get("PV1-44") == "20260302-0500"
    assert message.get("PID-7") == "19480312"


def test_our_word_becomes_their_code_the_first_row_that_has_it():
    fields = "PV1-36: {take: disposition, table: disposition}"
    assert Message(composed(fields)).get("PV1-36") == "01"
    odd = {**CONTENT, "disposition": "elsewhere"}
    assert Message(composed(fields, content=odd)).get("PV1-36") == "elsewhere"
    refuse = "PV1-36: {take: disposition, table: disposition, unknown: refuse}"
    with pytest.raises(MappingError) as raised:
        composed(refuse, content=odd)
    assert (raised.value.code, raised.value.where) == ("unknown_code", "PV1-36")


def test_a_list_is_a_segment_for_each_part():
    more = "repeats:\n  DG1: {each: diagnoses, fields: {DG1-1: number, DG1-3.1: code}}\n"
    message = Message(composed("PID-5.1: patient.family", more))
    assert message.all("DG1-3.1") == ("I50.23", "N18.3")
    assert message.all("DG1-1") == ("1", "2")


def test_conditions_and_first_of_read_our_words():
    fields = """
PV1-2: {first_of: [class_code, {value: I, when: {patient_class: inpatient}}]}
PV1-16: {value: VIP, when: {late: yes}}
"""
    message = Message(composed(fields))
    assert (message.get("PV1-2"), message.get("PV1-16")) == ("I", "")


def test_what_is_corrected_or_retracted_has_a_message_of_its_own():
    more = "corrects_with: ADT^A08\nretracts_with: ADT^A13\n"
    field = "EVN-2: message.time\nZHO-1: message.act\nZHO-2: message.version"
    message = Message(composed(field, more, act="correct", version=2))
    assert (message.header.event, message.get("ZHO-1"), message.get("ZHO-2")) == ("A08", "correct", "2")
    assert Message(composed(field, more, act="retract")).header.event == "A13"
    with pytest.raises(MappingError) as raised:
        composed(field, act="retract")
    assert raised.value.code == "no_such_act"


def test_no_value_can_end_a_segment_or_a_frame():
    content = {**CONTENT, "reason": "a\rMSH|x\x1c\x0b~^&\\"}
    raw = composed("PV2-3.2: reason", content=content)
    assert raw.count(b"\r") == 2
    assert b"\x1c" not in raw
    assert Message(raw).get("PV2-3.2") == content["reason"]


def test_a_text_leaves_too():
    text = HEAD.replace("ADT^A03^ADT_A03", "text")
    text += 'fields:\n  text: {join: [kind, facility.title], separator: " at "}\n'
    text += (
        "examples: [{name: x, given: westside/discharge.json, expect: {text: Discharge at North Hospital}}]\n"
    )
    made = project(in_files(text))
    raw = compose_for(made.mappings["tried"], CONTENT, made.tables, control_id="C1", now=NOW)
    assert raw == b"Discharge at North Hospital"


@pytest.mark.parametrize(
    ("fields", "more", "text", "value", "right"),
    [
        ("PID-5.1: patient.famly", "", "no such word", "patient.famly", "patient.family"),
        ("PID-5.1: PID-5.1", "", "no such word", "PID-5.1", ""),
        ('"PID-3[5=MR].1": visit_id', "", "a number says where", "PID-3[5=MR].1", "DG1[2]"),
        ("MSH-12: visit_id", "", "written by itself", "MSH-12", ""),
        ("PID_5: visit_id", "", "is no path", "PID_5", ""),
        ("PV1-2: {take: patient_class, table: clas}", "", "no such table", "clas", ""),
        ("PV1-2: {value: I, when: {PV1-2: I}}", "", "a word of ours", "PV1-2", ""),
        (
            "PID-1: visit_id",
            "repeats: {DG1: {each: diagnose, fields: {DG1-3: code}}}\n",
            "no such list",
            "diagnose",
            "diagnoses",
        ),
        (
            "PID-1: visit_id",
            "repeats: {DG1: {each: diagnoses, fields: {DG1-3: cod}}}\n",
            "no such word",
            "cod",
            "code",
        ),
        (
            "PID-1: visit_id",
            "repeats: {DG1: {each: diagnoses, fields: {DG2-3: code}}}\n",
            "in a list of DG1",
            "DG2-3",
            "",
        ),
        ("PID-1: visit_id", "retracts_with: A13\n", "no message", "A13", "ADT^A03"),
    ],
)
def test_what_is_wrong_is_told(fields, more, text, value, right):
    (error,) = errors_of(in_files(text_of(fields, more)))
    assert text in error.text
    assert error.value == value
    assert right in error.right or right in error.text
    assert error.place.file == "mappings/tried.yaml"


def test_what_is_composed_stands_hl7apys_validation():
    made = project(in_files((HERE / "mappings/westside_discharge.yaml").read_text()))
    messages = [
        compose_for(made.mappings["tried"], CONTENT, made.tables, control_id="C1", now=NOW, act=act)
        for act in ("tell", "correct", "retract")
    ]
    assert validate(messages) == [[], [], []]


def test_hl7apy_says_what_does_not_follow_the_structure():
    good = (FIXTURES / "north/a03_home.hl7").read_bytes()  # with a Z segment, which is nobody's business
    lacking = good.replace(b"PV1|1|", b"ZV1|1|")
    foreign = good.replace(b"PV1|1|", b"MRG|9\rPV1|1|")
    told = validate([good, lacking, foreign])
    assert told[0] == []
    assert any("PV1" in line for line in told[1])
    assert any("MRG" in line for line in told[2])


@pytest.mark.parametrize(
    ("event", "structure"), [("A08", "ADT_A01"), ("A40", "ADT_A39"), ("A11", "ADT_A09"), ("A02", "ADT_A02")]
)
def test_the_structure_follows_from_the_event(event, structure):
    assert structure_of("ADT", event) == structure


def test_what_notifications_say_are_the_words_that_mappings_may_take():
    world = World()
    address = Address(street="1 Elm Street", other="2", city="Granby", state="CT", zip="06035", country="US")
    location = Location(unit="4W", room="1", bed="A", facility="NORTH", building="B")
    diagnosis = Diagnosis(code="I10", text="x", system="I10C", kind="F")
    world.hear(admitted(0, who={"address": address}, location=location, diagnoses=(diagnosis,)))
    seen = Observation(
        code="K", system="LN", text="x", sub_id="1", kind="NM", value="7", units="mmol/L", range="3-5",
        flags=("HH",), status="final", observed_at=minutes(10), notes="x",
    )  # fmt: skip
    result = {"order_id": "F1", "code": "K", "text": "x", "status": "final", "ordering": DR_LUND}
    world.hear(says("Result", 20, observations=(seen,), **result))
    world.hear(left(300, who={"pcp": DR_OKAFOR}))
    words = {word for one in world.notifications for word in words_of(one.content)}
    assert {"patient.number.value", "result.observations.flags", "diagnoses.code"} <= words
    assert words - WORDS - set(LISTS) == set()


def words_of(said, before=""):
    for key, one in said.items():
        if isinstance(one, dict):
            yield from words_of(one, f"{before}{key}.")
        else:
            yield before + key
            if before + key in LISTS:
                yield from (word for part in one for word in words_of(part, f"{before}{key}."))
