"""What becomes of a message is decided by its channel alone."""

import pytest

from broker.channel import Channel, Route
from broker.channel_file import ChannelFile
from broker.errors import MappingError
from broker.hl7 import Message
from broker.project_channels import read_channels
from broker.yaml_files import Problems


def channel(text: str) -> Channel:
    problems = Problems()
    whole = f"channel: A channel\nreceive: {{mllp: {{port: 2575}}}}\nsites: [north]\n{text}"
    channels, _ = read_channels({"adt": ("channels/adt.yaml", whole.encode())}, {}, problems)
    problems.end()
    return channels["adt"]


def message(event="ADT^A03", rest="PID|1||7\rPV1|1|I\r", processing="P"):
    return Message(f"MSH|^~\\&|APP|NORTH|||20260305||{event}|1|{processing}|2.5.1\r{rest}".encode())


CARE = """
only: {MSH-9.1: [ADT, ORU], MSH-11: P}
deliver:
  care:
    map:
      A03: discharge
      A08:
        - {use: update}
        - {use: discharge, when: {PV1-36: {present: yes}}}
      A17: {use: transfer, for_each: PATIENT}
      ORU^R01: {use: result, for_each: ORDER}
"""


def routed(made, *given, **more):
    found = made.route(message(*given, **more))
    return [(route.delivery, route.mapping) for route in found.routes], found.why


def test_an_event_has_a_mapping_or_several_each_on_its_condition():
    made = channel(CARE)
    assert routed(made) == ([("care", "discharge")], "")
    assert routed(made, "ADT^A08") == ([("care", "update")], "")
    changed = "PID|1||7\rPV1|1|I" + "|" * 34 + "01\r"
    assert routed(made, "ADT^A08", changed) == ([("care", "update"), ("care", "discharge")], "")


def test_what_is_of_no_use_says_why():
    made = channel(CARE)
    assert routed(made, processing="T") == ([], "filtered by only")
    assert routed(made, "ADT^A60") == ([], "no mapping for this event")
    assert routed(made, "ORU^R30") == ([], "no mapping for this event")
    only_when = channel("deliver: {care: {map: {A03: {use: discharge, when: {PV1-2: E}}}}}")
    assert routed(only_when) == ([], "filtered by when")


def test_an_answer_is_never_mapped():
    made = channel("deliver: {care: {map: {A03: discharge}}}")
    assert routed(made, "ACK^A03") == ([], "an acknowledgement")


def test_a_mapping_may_be_scoped_to_each_group():
    made = channel(CARE)
    found = made.route(message("ADT^A17", "PID|1||7\rPV1|1|I\rPID|2||8\rPV1|1|O\r")).routes
    assert [(route.number, route.view.get("PID-3"), route.view.get("PV1-2")) for route in found] == [
        (0, "7", "I"),
        (1, "8", "O"),
    ]
    found = made.route(message("ORU^R01", "PID|1||7\rOBR|1||A\rOBX|1||K\rOBR|2||B\r")).routes
    assert [(route.view.get("OBR-3"), route.view.get("PID-3")) for route in found] == [("A", "7"), ("B", "7")]


def test_a_message_without_the_group_cannot_be_used():
    with pytest.raises(MappingError) as raised:
        channel(CARE).route(message("ORU^R01", "PID|1||7\r"))
    assert (raised.value.code, raised.value.where) == ("missing_segment", "OBR")


def test_what_is_passed_on_needs_no_mapping():
    made = channel("deliver: {lab: {to: mllp, host: lab.example.org, port: 6661, when: {PV1-2: [I, E]}}}")
    passed = message("ORM^O01")
    assert made.route(passed).routes == (Route("lab", None, passed, 0),)
    assert routed(made, "ORM^O01", "PID|1||7\rPV1|1|O\r") == ([], "filtered by when")
    assert made.knows_type("ORM")
    assert made.knows_event("ORM", "O01")


def test_which_types_and_events_are_of_use():
    made = channel(CARE)
    assert made.knows_type("ADT")
    assert made.knows_type("ORU")
    assert not made.knows_type("SIU")
    assert made.knows_event("ADT", "A17")
    assert made.knows_event("ORU", "R01")
    assert not made.knows_event("ADT", "A60")
    assert not made.knows_event("ADT", "R01")


def test_each_cause_has_an_answer():
    made = channel("answers: {unsupported_event: AR, unmappable: AR}\ndeliver: {care: {map: {A03: x}}}")
    assert made.answers["unsupported_event"] == made.answers["unmappable"] == "AR"
    assert (made.answers["unreadable"], made.answers["too_long"]) == ("AE", "AR")


def test_text_becomes_typed_options():
    said = ChannelFile.model_validate(
        {
            "channel": "x",
            "receive": {"mllp": {"port": "2575", "frame_secs": "5.5", "max_bytes": "100000"}},
            "validate": "yes",
            "acknowledge": "mapped",
            "deliver": {"care": {}},
        }
    )
    assert said.receive.mllp.frame_secs == 5.5
    assert said.validate_ is True
    assert str(said.in_order_of) == "PID-3"
