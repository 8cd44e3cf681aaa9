"""What holds of every history: the rules of the care core, each as a property.

Histories have one to three patients and up to a dozen facts, half of them within the same second. Run
them for long with HANDOFF_EXAMPLES=2000.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.care.codec import decode, encode
from broker.care.given import Due
from broker.care.react import react
from broker.care.rows import DeliveryPut, NotificationPut, TaskPut, TimerPut
from broker.notices import Diagnosis, Location, Observation
from tests.care.people import (
    DR_HALL,
    DR_NOBODY,
    DR_OKAFOR,
    GIVEN,
    RULES,
    Saying,
    World,
    minutes,
    rule,
    says,
)

EXAMPLES = int(os.environ.get("HANDOFF_EXAMPLES", "40"))
small = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

NUMBERS = ("100", "200", "300")
DISPOSITIONS = ("home", "snf", "expired", "still_patient", "against_advice", "acute_transfer", None)
CLASSES = ("inpatient", "emergency", "outpatient", "observation")
KINDS = (
    "Admission", "Admission", "Registration", "PreAdmission", "Discharge", "Discharge", "DischargeCancelled",
    "DischargeCancelled", "AdmissionCancelled", "VisitUpdate", "VisitUpdate", "Transfer",
    "TransferCancelled", "ClassChange", "PendingDischarge", "PendingDischargeCancelled", "Leave",
    "LeaveReturn", "LeaveCancelled", "PreAdmissionCancelled", "Result", "Result",
    "PersonUpdate", "AllergyUpdate",
)  # fmt: skip
LINKS = ("PatientMerge", "Link", "Unlink", "VisitMove", "VisitMerge", "VisitChange", "AccountMove")


@st.composite
def sayings(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS + LINKS, place: int = 0) -> Saying:
    """One notice of somebody about something."""
    kind = draw(st.sampled_from(kinds))
    at = draw(st.sampled_from((0, 0, 0, 1, 1, 5, 60, 600, 3000)))
    number = draw(st.sampled_from(NUMBERS))
    visit = draw(st.sampled_from(("V1", "V1", "V2", "V3", None)))
    body: dict[str, Any] = {}
    happened = minutes(at - draw(st.sampled_from((0, 0, 0, 5, 120))))
    if kind in LINKS:
        other = draw(st.sampled_from(NUMBERS))
        body["retired"] = other
        if kind in ("VisitMove", "VisitMerge", "VisitChange"):
            visit = visit or "V1"
            body["retired_visit_id"] = (
                visit if kind == "VisitMove" else draw(st.sampled_from(("V1", "V2", "V3")))
            )
        if kind == "AccountMove":
            body["retired_account_id"] = "ACC"
        return says(kind, at, number=number, visit=visit, happened=happened, place=place, **body)
    if kind == "Result":
        body |= {
            "order_id": draw(st.sampled_from(("O1", "O2"))),
            "observations": (
                Observation(
                    code="K", value=draw(st.sampled_from(("7.1", "4.0"))),
                    flags=draw(st.sampled_from((("HH",), ("H",), None))),
                    status=draw(st.sampled_from(("final", "corrected", "preliminary", "deleted", "wrong"))),
                ),
            ),
        }  # fmt: skip
    elif kind not in ("PersonUpdate", "AllergyUpdate"):
        if draw(st.booleans()):
            body["patient_class"] = draw(st.sampled_from(CLASSES))
        if kind in ("Discharge", "VisitUpdate") and draw(st.booleans()):
            body["disposition"] = draw(st.sampled_from(DISPOSITIONS))
        if draw(st.sampled_from((True, False, False, False))):
            body["account_id"] = "ACC"
        if kind == "Transfer":
            body["location"] = Location(unit=draw(st.sampled_from(("ICU", "3W"))))
        if kind == "Discharge":
            body["diagnoses"] = draw(st.sampled_from(((), (Diagnosis(code="I50", kind="F"),))))
        if kind.endswith("Cancelled"):
            body["cancelled_at"] = draw(st.sampled_from((None, minutes(0), minutes(60))))
    who: dict[str, Any] = {"pcp": draw(st.sampled_from((DR_HALL, DR_HALL, DR_OKAFOR, DR_NOBODY, None, ...)))}
    if draw(st.sampled_from((True, False, False, False, False, False))):
        who["deceased"] = draw(st.booleans())
    mute = draw(st.sampled_from((False,) * 9 + (True,)))
    return says(
        kind, at, number=number, visit=visit, happened=happened, who=who, mute=mute, place=place, **body
    )


@st.composite
def histories(
    draw: st.DrawFn, least: int = 1, most: int = 9, kinds: tuple[str, ...] = KINDS + LINKS
) -> list[Saying]:
    """Several notices, each with a place of its own in the journal."""
    count = draw(st.integers(least, most))
    return [draw(sayings(kinds, place=place + 1)) for place in range(count)]


def world() -> World:
    """One in which the numbers of the store do not depend on who is named first."""
    made = World(replace(GIVEN, now=minutes(4000)))
    for number in NUMBERS:
        made.patient(number)
    return made


def heard(history: list[Saying]) -> World:
    made = world()
    for saying in history:
        made.hear(saying)
    return made


UNTOLD = {"cause", "late", "corrects"}


def told(made: World) -> dict[str, Any]:
    """What stands for people, whatever the way that led there: no numbers of rows, no versions."""
    return {
        "notifications": sorted(
            repr((one.patient, one.kind, {k: v for k, v in one.content.items() if k not in UNTOLD}))
            for one in made.notifications
            if one.state == "standing" and one.verb != "joined"
        ),
        "tasks": sorted(
            repr((one.patient, one.kind, one.title, one.due_at, one.verify, one.note, one.urgency))
            for one in made.tasks
            if one.state == "open"
        ),
        "encounters": sorted(
            repr((one.patient, one.visit_id, one.status, one.patient_class, one.disposition, one.admitted_at))
            for one in made.encounters
            if one.status != "cancelled"
        ),
        "plan": sorted(
            repr((one.patient, one.section, one.key, one.body, one.state))
            for (name, _, _), one in made.rows.items()
            if name == "PlanEntryPut" and one.state != "withdrawn"
        ),
        "patients": sorted(
            repr((one.number, one.family, one.person, one.deceased, one.pcp))
            for one in made.patients
            if one.family
        ),
        "reviews": sorted(
            repr((one.patient, one.kind, one.text))
            for (name, _, _), one in made.rows.items()
            if name == "ReviewPut" and one.state == "open" and not one.kind.startswith("wrong_patient")
        ),
    }


def same(one: World, other: World) -> None:
    """Both stand alike; what does not is shown, and nothing else."""
    left, right = told(one), told(other)
    apart = {
        name: (
            [row for row in left[name] if row not in right[name]],
            [row for row in right[name] if row not in left[name]],
        )
        for name in left
        if left[name] != right[name]
    }
    assert not apart, "\n".join(f"{name}:\n  {one}\n  {other}" for name, (one, other) in apart.items())


@small
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject):
    history = data.draw(histories())
    other = data.draw(st.permutations(history))
    same(heard(history), heard(other))


@small
@given(histories())
def test_one_by_one_is_as_all_at_once(history: list[Saying]):
    together = world()
    together.hear(*history)
    same(together, heard(history))


@small
@given(histories(), st.data())
def test_a_repeat_changes_nothing(history: list[Saying], data: st.DataObject):
    made = heard(history)
    assert made.hear(data.draw(st.sampled_from(history))) == []


@small
@given(histories(least=2), st.data())
def test_a_fact_that_goes_leaves_what_would_have_been_without_it(history: list[Saying], data: st.DataObject):
    lost = data.draw(st.sampled_from(history))
    made = heard(history)
    made.hear(gone=[lost.fact(made)])
    same(made, heard([one for one in history if one is not lost]))


@small
@given(histories(least=2), st.data())
def test_a_fact_that_is_mapped_anew_leaves_what_would_have_been(history: list[Saying], data: st.DataObject):
    place = data.draw(st.integers(0, len(history) - 1))
    anew = data.draw(sayings(place=place + 1))
    made = heard(history)
    made.hear(anew, gone=[history[place].fact(made)])
    same(made, heard([*history[:place], anew, *history[place + 1 :]]))


@small
@given(histories(), st.data())
def test_ticks_of_the_clock_do_not_change_what_stands(history: list[Saying], data: st.DataObject):
    made = world()
    for saying in history:
        made.hear(saying)
        if data.draw(st.booleans()):
            made.tick(made.given.now + timedelta(minutes=data.draw(st.integers(0, 600))))
    same(made, heard(history))


@small
@given(histories())
def test_an_id_is_given_once(history: list[Saying]):
    made = heard(history)
    names: dict[Any, set[Any]] = {}
    for change in made.history:
        if isinstance(change, TaskPut | NotificationPut):
            names.setdefault(change.name, set()).add((type(change), change.patient, change.n))
        elif isinstance(change, DeliveryPut):
            names.setdefault(change.name, set()).add((change.notification, change.version, change.recipient))
    assert all(len(rows) == 1 for rows in names.values())
    deliveries = [change.name for change in made.history if isinstance(change, DeliveryPut)]
    assert len(deliveries) == len(set(deliveries))


@small
@given(histories())
def test_only_who_was_told_hears_of_a_correction_or_retraction(history: list[Saying]):
    made = heard(history)
    heard_of: dict[tuple[int, int, str, str], str] = {}
    for one in made.deliveries:
        key = (one.patient, one.notification, one.destination, one.address)
        if one.act == "tell":
            assert heard_of.get(key) in (None, "retract")
        elif one.act == "retract":
            assert heard_of.get(key) in ("tell", "correct")
        else:
            assert key in heard_of
        heard_of[key] = one.act
    for row in made.notifications:
        for key, act in heard_of.items():
            if key[:2] == (row.patient, row.n):
                assert (act == "retract") == (row.state == "retracted")


@small
@given(histories(), histories(), st.data())
def test_nothing_that_a_person_did_is_lost(first: list[Saying], then: list[Saying], data: st.DataObject):
    made = heard(first)
    live = [task for task in made.tasks if task.state == "open"]
    if not live:
        return
    row = data.draw(st.sampled_from(live))
    act = data.draw(st.sampled_from(("task_begun", "task_done")))
    made.act(act, row, note="called, no answer")
    for place, saying in enumerate(then):
        made.hear(replace(saying, place=100 + place))
        kept = made.rows["TaskPut", row.patient, row.n]
        assert kept.note.endswith("called, no answer")
        assert kept.assignee == "anna"
        assert kept.state in (
            {"begun", "changed_after", "joined"}
            if act == "task_begun"
            else {"done", "changed_after", "joined"}
        )


@small
@given(histories(), st.data())
def test_a_rule_that_changed_does_not_reach_into_the_past(history: list[Saying], data: st.DataObject):
    made = heard(history)
    stood = told(made)
    rules = [one for one in RULES if data.draw(st.booleans())]
    rules.append(rule("new_one", Due(days=1), status=("in_progress", "discharged")))
    made.given = replace(made.given, rules=tuple(rules))
    again = data.draw(st.sampled_from(history))
    made.hear(replace(again, place=99))
    assert told(made) == stood


@small
@given(histories())
def test_deciding_changes_nothing_of_what_it_is_given(history: list[Saying]):
    made = heard(history[:-1])
    records = {patient: decode(stored) for patient, stored in made.records.items()}
    before = {patient: encode(record)[0] for patient, record in records.items()}
    react([history[-1].fact(made)], [], records, made.given)
    assert {patient: encode(record)[0] for patient, record in records.items()} == before
    assert all(not record.written for record in records.values())


@small
@given(histories(kinds=KINDS))
def test_who_is_muted_is_told_to_nobody_and_opens_nothing(history: list[Saying]):
    made = heard([replace(saying, mute=True) for saying in history])
    assert made.tasks == []
    assert made.notifications == []
    assert made.deliveries == []


@small
@given(histories())
def test_every_row_names_its_cause(history: list[Saying]):
    for change in heard(history).history:
        assert change.cause.fact is not None or isinstance(change, TimerPut)
        if isinstance(change, TaskPut) and change.verb == "opened":
            assert change.cause.rule


@small
@given(histories())
def test_a_merge_alone_tells_nobody(history: list[Saying]):
    if any(saying.body["patient"].deceased for saying in history):
        return  # whoever is one person with somebody who died has died
    made = heard(history)
    changes = made.hear(says("Link", 3500, number="100", retired="200", visit=None, place=500))
    if not any(isinstance(one, TaskPut) and one.kind == "pcp_handover" for one in changes):
        assert not [one for one in changes if isinstance(one, DeliveryPut)]


pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
