"""Who is told, how, and in which words; and that every notice is taken."""

from dataclasses import replace

import pytest

from broker.care.content import WATCHED
from broker.care.given import Directory, Policy, Reach
from broker.care.vocabulary import NOTIFICATION_KINDS, RECIPIENTS, STAY_WORDS, WHEN, WHEN_MEANS, setting_of
from broker.care.words import stay_words
from broker.notices import NOTICES, Diagnosis, Location, Practitioner
from tests.care.people import DESK, GIVEN, HALL, World, admitted, arrived, left, minutes, says, tell


def test_a_notification_says_who_where_and_when_in_nested_words():
    world = World()
    world.hear(
        admitted(
            0, account_id="A1", location=Location(unit="3W", bed="7"), reason="Fall", who={"sex": "female"}
        )
    )
    world.hear(left(300, destination="Elm House", diagnoses=(Diagnosis(code="S72.0", kind="F"),)))
    content = world.notification("Discharge").content
    assert content["patient"]["number"] == {"value": "100", "authority": "NORTH"}
    assert (content["patient"]["family"], content["patient"]["sex"]) == ("Doe", "female")
    assert content["facility"] == {"name": "north", "title": "North Hospital"}
    assert content["occurred_at"] == "2026-01-02T14:00:00-06:00"
    assert content["admitted_at"] == "2026-01-02T09:00:00-06:00"
    assert (content["visit_id"], content["account_id"]) == ("V1", "A1")
    assert content["attending"] == {"id": "77", "authority": "NORTH", "family": "Lund", "given": "Eva"}
    assert content["pcp"]["npi"] == "1234567893"
    assert (content["disposition"], content["destination"]) == ("home", "Elm House")
    assert content["diagnoses"] == [{"code": "S72.0", "kind": "F"}]
    assert content["cause"].endswith("Discharge@1767384000000000")


def test_who_takes_no_such_kind_is_not_told_and_no_task_is_made_of_it():
    world = World()
    only_discharges = Reach("Dr Hall", "westside/mail", "hall", frozenset({"Discharge"}))
    world.given = replace(GIVEN, directory=Directory({("npi", "1234567893"): (only_discharges,)}))
    world.hear(admitted(0))
    assert world.deliveries == []
    assert "no_way_to_tell" not in world.open_tasks
    world.hear(left(300))
    assert [one.recipient for one in world.deliveries] == ["Dr Hall"]


def test_nobody_named_is_a_task_too():
    world = World()
    world.hear(admitted(0, who={"pcp": ...}))
    assert world.task("no_way_to_tell").note == "Cannot be reached: pcp not named"


def test_a_practitioner_is_reached_by_npi_first_and_then_by_the_hospital_s_number():
    world = World()
    world.given = replace(
        GIVEN, directory=Directory({("npi", "1234567893"): (HALL,), ("NORTH", "9"): (DESK,)})
    )
    world.hear(admitted(0, who={"pcp": Practitioner(npi="1234567893", id="9", authority="NORTH")}))
    assert [one.recipient for one in world.deliveries] == ["Dr Hall"]
    world.hear(
        admitted(0, number="200", visit="V2", who={"pcp": Practitioner(npi="1", id="9", authority="NORTH")})
    )
    assert world.deliveries[-1].recipient == "Care coordination"


def test_the_facility_that_receives_is_told_where_the_directory_knows_it():
    world = World()
    elm = Reach("Elm House", "elm/mail", "intake@elm.example")
    world.given = replace(
        GIVEN,
        tells=(tell("Discharge", "pcp", "receiving"),),
        directory=Directory({("npi", "1234567893"): (HALL,), ("facility", "Elm House"): (elm,)}),
    )
    world.hear(admitted(0))
    world.hear(left(300, "snf", destination="Elm House"))
    assert [one.recipient for one in world.deliveries] == ["Dr Hall", "Elm House"]


def test_a_first_telling_settles_but_what_is_urgent_does_not():
    world = World()
    world.given = replace(GIVEN, policy=Policy(settle_secs={"Admission": 120, "Discharge": 60, "Death": 60}))
    world.hear(admitted(0))
    assert {one.not_before for one in world.deliveries} == {minutes(2)}
    world.hear(left(300, "against_advice"))
    assert {one.not_before for one in world.deliveries if one.not_before > minutes(10)} == {minutes(300)}
    world.hear(admitted(400, visit="V2"))
    world.hear(left(500, "expired", visit="V2"))
    assert world.deliveries[-1].not_before == minutes(500)


def test_a_kind_that_nobody_is_to_be_told_of_is_not_told():
    world = World()
    world.given = replace(GIVEN, tells=())
    world.hear(arrived(0))
    world.hear(left(60))
    assert (world.notifications, world.deliveries) == ([], [])


def test_a_delivery_is_named_by_what_it_means():
    world, again = World(), World()
    for one in (world, again):
        one.hear(admitted(0, place=1 if one is world else 99))
    assert [d.name for d in world.deliveries] == [d.name for d in again.deliveries]


@pytest.mark.parametrize("kind", sorted(NOTICES))
def test_every_notice_is_taken(kind):
    world = World()
    more = {"order_id": "O1"} if kind == "Result" else {}
    retired = (
        "200" if hasattr(NOTICES[kind], "model_fields") and "retired" in NOTICES[kind].model_fields else None
    )
    world.hear(admitted(0))
    saying = says(kind, 60, retired=retired, **more)
    world.hear(saying)
    world.hear(saying)
    world.hear(says("VisitUpdate", 70, reason="Fall"))
    world.hear(gone=[saying.fact(world)])


def test_a_record_that_the_sender_deleted_is_kept_and_shown():
    world = World()
    world.hear(admitted(0))
    world.hear(says("RecordDeleted", 60))
    assert world.encounters[0].status == "in_progress"
    assert world.reviews == {"record_deleted"}


def test_the_words_of_conditions_are_those_that_files_are_checked_against():
    world = World()
    seen: dict[str, set[str]] = {}

    def spy(stay, site_name, context):
        words = stay_words(stay, site_name, context)
        for key, word in words.items():
            seen.setdefault(key, set()).add(word)
        return words

    import broker.care.wanted as wanted

    original, wanted.stay_words = wanted.stay_words, spy
    try:
        world.hear(arrived(0))
        world.hear(left(100, "custodial"))
        world.hear(says("PreAdmission", 200, visit="V2"))
        world.hear(admitted(300, visit="V2"))
        world.hear(left(400, visit="V2"))
    finally:
        wanted.stay_words = original
    assert seen.keys() == STAY_WORDS.keys()
    assert all(words <= STAY_WORDS[key] for key, words in seen.items())


def test_every_word_is_explained():
    assert WHEN.keys() == WHEN_MEANS.keys()
    assert all(NOTIFICATION_KINDS.values())
    assert all(RECIPIENTS.values())
    assert WATCHED
    assert [setting_of(word) for word in ("observation", "emergency", "recurring", "")] == [
        "inpatient", "emergency", "outpatient", "unknown",
    ]  # fmt: skip
