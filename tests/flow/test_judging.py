"""What each cause is answered, in original and enhanced mode, and which slot a message goes to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from broker.channel import DEFAULT_ANSWERS
from broker.flow.judging import Judge, Ordering, replies
from broker.hl7 import Path, Problem, Unreadable, header
from broker.slots import slot_of


def head(accept: str = "", application: str = ""):
    return header(f"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|2.5.1|||{accept}|{application}\r".encode())


@pytest.mark.parametrize(
    ("accept", "application", "kept_well", "kept_badly", "not_taken"),
    [
        ("", "", ("AA",), ("AE",), ("AE",)),
        ("AL", "AL", ("CA", "AA"), ("CA", "AE"), ("CE",)),
        ("AL", "NE", ("CA",), ("CA",), ("CE",)),
        ("NE", "AL", ("AA",), ("AE",), ("AE",)),
        ("NE", "NE", (), (), ()),
        ("ER", "ER", (), ("AE",), ("CE",)),
        ("SU", "SU", ("CA", "AA"), ("CA",), ()),
        ("", "ER", (), ("AE",), ("AE",)),
        ("SU", "ER", ("CA",), ("CA", "AE"), ("AE",)),
    ],
)
def test_each_level_is_answered_as_it_is_wanted(accept, application, kept_well, kept_badly, not_taken):
    came = head(accept, application)
    assert replies(came, "AA") == kept_well
    assert replies(came, "AE") == kept_badly
    assert replies(came, "AE", stored=False) == not_taken


def test_an_application_answer_that_goes_elsewhere_does_not_come_on_the_connection():
    assert replies(head("AL", "AL"), "AA", elsewhere=True) == ("CA",)
    assert replies(head("NE", "AL"), "AA", elsewhere=True) == ()
    # In original mode there is only the one answer, and its sender waits for it.
    assert replies(head(), "AA", elsewhere=True) == ("AA",)


def test_what_is_turned_away_for_its_type_event_or_version_is_a_commit_reject():
    assert replies(head("AL"), "AR", cause="unsupported_event", stored=False) == ("CR",)
    assert replies(head("AL"), "AR", cause="store_failed", stored=False) == ("CE",)


def channel(**answers: str):
    return SimpleNamespace(
        name="north",
        answers={**DEFAULT_ANSWERS, **answers},
        answer_to=None,
        default_charset=None,
        in_order_of=Path.parse("PID-3"),
        knows_type=lambda kind: kind == "ADT",
        knows_event=lambda kind, event: event == "A01",
    )


@pytest.mark.parametrize("cause", ["no_control_id", "several_messages", "too_long", "store_failed"])
def test_every_cause_is_answered_as_its_channel_says(cause):
    assert Judge(channel()).negative(cause, None).code == DEFAULT_ANSWERS[cause]
    assert Judge(channel(**{cause: "AA"})).negative(cause, None).code == "AA"


@pytest.mark.parametrize(
    ("code", "answer"), [("no_msh", "AE"), ("utf16", "AE"), ("missing", "AE"), ("illegal_delimiters", "AR")]
)
def test_what_cannot_be_read_is_answered_with_where_and_why(code, answer):
    judged = Judge(channel()).unreadable(Unreadable("why", code=code, where="MSH-9", ack_code="101"))
    assert (judged.code, judged.problems) == (answer, (Problem("101", "why", "MSH-9"),))


@pytest.mark.parametrize(
    ("cause", "raw"),
    [
        ("unsupported_type", b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|C1|P|2.5.1\r"),
        ("unsupported_event", b"MSH|^~\\&|A|B|C|D|2026||ADT^A02|C1|P|2.5.1\r"),
        ("unsupported_processing_id", b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|T|2.5.1\r"),
        ("unsupported_version", b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|3.0\r"),
    ],
)
def test_what_is_of_no_use_is_accepted_unless_the_channel_turns_it_away(cause, raw):
    assert Judge(channel()).kind(header(raw)).cause == ""
    assert Judge(channel(**{cause: "AR"})).kind(header(raw)).cause == cause


def ordering(in_order_of: str = "PID-3", authority=lambda stated: f"our {stated}"):
    one = channel()
    one.in_order_of = Path.parse(in_order_of)
    return Ordering(one, lambda came: SimpleNamespace(resolve_authority=authority))


def slot(raw: str, **options: str) -> int:
    frame = f"MSH|^~\\&|A|B|C|D|2026||ADT^A01|C1|P|2.5.1\r{raw}\r".encode("latin-1")
    return ordering(**options).slot(frame, header(frame))


def test_a_patient_has_a_slot_by_number_and_authority_as_the_site_names_it():
    assert slot("PID|1||MR1^^^NMC^MR~MR2^^^X") == slot_of("our NMC", "MR1")
    assert slot("PID|1||MR1") == slot_of("our ", "MR1")
    assert slot("PID|1||X^^^Y~MR2^^^NMC", in_order_of="PID-3[2]") == slot_of("our NMC", "MR2")
    assert slot("PID|1||X^^^Y~MR2^^^NMC^MR", in_order_of="PID-3[5=MR]") == slot_of("our NMC", "MR2")


def test_names_in_any_character_set_do_not_change_the_slot():
    assert slot("PID|1||MR1^^^NMC||M\xdcLLER") == slot_of("our NMC", "MR1")


@pytest.mark.parametrize("pid", ["PV1|1|I", "PID|1||", 'PID|1||""^^^NMC', "PID|1||^^^NMC"])
def test_a_message_without_a_number_goes_by_its_channel(pid):
    assert slot(pid) == slot_of("channel", "north")
