"""A discharge from end to end: who is told, what is to be done, what the plan says, and its undoing."""

from datetime import date

import pytest

from broker.notices import Diagnosis, Practitioner, Unknown
from tests.care.people import DR_OKAFOR, World, admitted, arrived, left, left_not, minutes, says

HOME_TASKS = {"post_discharge_call", "pcp_visit"}


def in_hospital() -> World:
    world = World()
    world.hear(admitted(0))
    return world


def test_a_discharge_home_tells_the_pcp_opens_the_tasks_and_writes_the_plan():
    world = in_hospital()
    world.hear(left(300, diagnoses=(Diagnosis(code="I50.9", text="Heart failure", kind="F"),)))
    assert [(e.status, e.visit_id, e.disposition) for e in world.encounters] == [("discharged", "V1", "home")]
    assert world.standing == {"Admission", "Discharge"}
    assert world.open_tasks == HOME_TASKS | {"admission_review"}
    assert world.told("Discharge") == [
        ("tell", "Discharge", "Dr Hall"),
        ("tell", "Discharge", "Care coordination"),
    ]
    delivery = world.deliveries[-2]
    assert (delivery.destination, delivery.address) == ("westside/mail", "hall@westside.example")
    assert world.plan["note", "transition north V1"]["text"] == "Discharged to home from North Hospital"
    assert world.plan["problem", "I50.9"] == {"code": "I50.9", "text": "Heart failure", "kind": "F"}
    assert world.plan["team", "pcp"]["npi"] == "1234567893"
    assert world.plan["team", "attending"]["family"] == "Lund"


def test_the_call_is_due_in_two_business_days_and_the_visit_in_fourteen():
    world = in_hospital()
    world.hear(left(300))  # Friday 2 January 2026
    assert world.task("post_discharge_call").due_at.date() == date(2026, 1, 7)  # 23:59 on the 6th in Chicago
    assert world.task("post_discharge_call").due_at.isoformat() == "2026-01-07T05:59:59+00:00"
    assert world.task("pcp_visit").due_at.isoformat() == "2026-01-17T05:59:59+00:00"


def test_every_row_names_the_message_and_the_rule_that_caused_it():
    world = in_hospital()
    a03 = left(300).fact(world)
    world.hear(a03)
    task = world.task("post_discharge_call")
    assert task.cause.fact == a03.id
    assert (task.cause.rule, task.cause.rule_version) == ("post_discharge_call", "1")
    assert world.notification("Discharge").cause.fact == a03.id


def test_the_cancel_takes_the_discharge_back():
    world = in_hospital()
    world.hear(left(300))
    world.hear(left_not(310))
    assert (world.encounters[0].status, world.encounters[0].discharged_at) == ("in_progress", None)
    assert world.standing == {"Admission"}
    assert world.open_tasks == {"admission_review"}
    assert world.told("Discharge")[-2:] == [
        ("retract", "Discharge", "Dr Hall"),
        ("retract", "Discharge", "Care coordination"),
    ]
    assert ("note", "transition north V1") not in world.plan


def test_a_discharge_soon_after_the_cancel_is_one_correction():
    world = in_hospital()
    world.hear(left(300))
    world.hear(left_not(302))
    retractions = [one for one in world.deliveries if one.act == "retract"]
    assert {one.not_before for one in retractions} == {minutes(307)}  # five minutes to settle
    world.hear(left(304, "snf"))
    assert [one.version for one in world.notifications if one.kind == "Discharge"] == [3]
    assert world.told("Discharge")[-2][0] == "correct"
    assert world.notification("Discharge").content["disposition"] == "snf"


def test_a_discharge_long_after_the_cancel_is_a_new_fact_with_an_id_of_its_own():
    world = in_hospital()
    world.hear(left(300))
    world.hear(left_not(310))
    world.hear(left(400))
    found = [one for one in world.notifications if one.kind == "Discharge"]
    assert [one.state for one in found] == ["retracted", "standing"]
    assert found[0].name != found[1].name
    assert world.told("Discharge")[-2][0] == "tell"
    assert world.open_tasks > HOME_TASKS
    assert len([task for task in world.tasks if task.kind == "pcp_visit"]) == 2


def test_a_resend_changes_nothing():
    world = in_hospital()
    world.hear(left(300, place=7))
    count = len(world.history)
    assert world.hear(left(300, place=7)) == []
    world.hear(left(300, place=8))  # the same again in another message
    assert len(world.deliveries) == len(
        [c for c in world.history[:count] if type(c).__name__ == "DeliveryPut"]
    )
    assert len(world.tasks) == 3


def test_a_disposition_that_comes_late_brings_its_own_tasks_and_a_correction():
    world = in_hospital()
    world.hear(left(300, "home"))
    world.hear(says("VisitUpdate", 360, disposition="snf"))
    assert "transfer_packet" in world.open_tasks
    assert not HOME_TASKS & world.open_tasks
    notice = world.notification("Discharge")
    assert (notice.version, notice.content["disposition"]) == (2, "snf")
    assert notice.content["corrects"] == ["disposition"]
    assert ("correct", "Discharge", "Dr Hall") in world.told()


def test_what_is_not_watched_amends_without_telling():
    world = in_hospital()
    world.hear(left(300))
    told = len(world.deliveries)
    world.hear(says("VisitUpdate", 360, reason="Chest pain"))
    notice = world.notification("Discharge")
    assert (notice.version, notice.verb, notice.content["reason"]) == (1, "amended", "Chest pain")
    assert len(world.deliveries) == told


def test_a_pcp_who_is_named_later_is_told_too():
    world = in_hospital()
    world.hear(left(300))
    world.hear(says("VisitUpdate", 360, who={"pcp": DR_OKAFOR}))
    assert ("tell", "Discharge", "Dr Okafor") in world.told()
    assert ("retract", "Discharge", "Dr Hall") not in world.told()


@pytest.mark.parametrize(
    "disposition", ["snf", "rehabilitation", "long_term_care_hospital", "nursing_facility"]
)
def test_who_goes_to_a_facility_is_not_called_at_home(disposition):
    world = in_hospital()
    world.hear(left(300, disposition))
    assert world.open_tasks == {"transfer_packet", "admission_review"}


def test_leaving_against_advice_is_urgent():
    world = in_hospital()
    world.hear(left(300, "against_advice"))
    assert "ama_call" in world.open_tasks
    assert world.notification("Discharge").urgency == "high"
    assert world.task("ama_call").due_at == minutes(300 + 24 * 60)


@pytest.mark.parametrize("disposition", [Unknown(unknown="ZZ"), "custodial", "other", None])
def test_an_unclear_disposition_opens_the_home_tasks_to_be_verified(disposition):
    world = in_hospital()
    world.hear(left(300, disposition))
    assert world.open_tasks > HOME_TASKS
    assert world.task("pcp_visit").verify
    if isinstance(disposition, Unknown):
        content = world.notification("Discharge").content
        assert (content["disposition"], content["disposition_code"]) == ("unknown", "ZZ")


def test_still_a_patient_is_no_discharge_and_is_for_a_person_to_judge():
    world = in_hospital()
    world.hear(left(300, "still_patient"))
    assert world.encounters[0].status == "in_progress"
    assert world.standing == {"Admission"}
    assert world.open_tasks == {"admission_review"}
    assert world.reviews == {"still_patient"}


def test_death_is_told_once_cancels_the_tasks_and_silences_outreach():
    world = in_hospital()
    world.hear(left(300, "expired", who={"deceased": True, "died_at": minutes(290)}))
    assert world.standing == {"Admission", "Death"}
    assert world.open_tasks == {"bereavement_close"}
    assert world.task("admission_review").state == "withdrawn"
    assert world.patients[0].deceased
    assert world.told("Death") == [("tell", "Death", "Dr Hall"), ("tell", "Death", "Dr Lund")]
    world.hear(says("VisitUpdate", 400, disposition="expired", who={"deceased": True}))
    assert len(world.told("Death")) == 2


def test_a_disposition_that_repeats_after_a_cancelled_discharge_kills_nobody():
    world = in_hospital()
    world.hear(left(300, "expired"))
    world.hear(left_not(310))
    world.hear(says("VisitUpdate", 320, disposition="expired"))
    assert not world.patients[0].deceased
    assert world.encounters[0].status == "in_progress"
    assert "Death" not in world.standing
    assert "admission_review" in world.open_tasks


def test_a_death_that_was_not_so_is_retracted_and_the_tasks_come_back():
    world = in_hospital()
    world.hear(says("PersonUpdate", 100, who={"deceased": True}))
    assert world.open_tasks == {"bereavement_close"}
    world.hear(says("PersonUpdate", 110, who={"deceased": False}))
    assert not world.patients[0].deceased
    assert world.open_tasks == {"admission_review"}
    assert ("retract", "Death", "Dr Hall") in world.told()


def test_a_discharge_that_nobody_admitted_opens_and_closes():
    world = World()
    world.hear(left(300, patient_class="inpatient", admitted_at=minutes(0)))
    assert [(e.status, e.admitted_at) for e in world.encounters] == [("discharged", minutes(0))]
    assert world.standing == {"Discharge"}
    assert world.notification("Discharge").content["admission_seen"] is False
    assert world.open_tasks == HOME_TASKS


def test_a_late_admission_does_not_open_a_discharged_stay():
    world = World()
    world.hear(left(300, patient_class="inpatient"))
    world.hear(admitted(0))
    assert world.encounters[0].status == "discharged"
    assert world.standing == {"Admission", "Discharge"}


def test_a_late_update_does_not_clear_the_discharge():
    world = in_hospital()
    world.hear(left(300))
    world.hear(says("VisitUpdate", 200, discharged_at=None, disposition="snf"))
    world.hear(says("VisitUpdate", 400, discharged_at=None))
    assert (world.encounters[0].status, world.encounters[0].disposition) == ("discharged", "home")
    assert world.encounters[0].discharged_at == minutes(300)


def test_who_comes_back_within_thirty_days_is_flagged():
    world = in_hospital()
    world.hear(left(300))
    world.hear(admitted(300 + 10 * 24 * 60, visit="V2"))
    assert "readmission_review" in world.open_tasks
    assert world.notification("Admission").urgency == "high"
    assert world.notification("Admission").content["readmission"] is True
    assert world.task("pcp_visit").state == "withdrawn"  # the rule says: not once they are back
    world.hear(says("AdmissionCancelled", 300 + 10 * 24 * 60 + 5, visit="V2"))
    assert world.task("readmission_review").state == "withdrawn"
    assert world.task("pcp_visit").state == "open"


def test_nobody_to_reach_is_a_task_that_says_who():
    world = World()
    nobody = Practitioner(npi="1111111111", family="Noone", given="Nan")
    world.hear(admitted(0, who={"pcp": nobody}))
    task = world.task("no_way_to_tell")
    assert task.note == "Cannot be reached: pcp Nan Noone"
    assert world.notification("Admission").content["unreached"] == [{"role": "pcp", "name": "Nan Noone"}]
    assert world.told() == [("tell", "Admission", "Care coordination")]
    world.hear(says("VisitUpdate", 10))  # names Dr Hall
    assert world.task("no_way_to_tell").state == "withdrawn"
    assert ("tell", "Admission", "Dr Hall") in world.told()


def test_an_emergency_visit_that_ends_at_home_is_followed_up():
    world = World()
    world.hear(arrived(0))
    world.hear(left(120))
    assert world.standing == {"EmergencyArrival", "Discharge"}
    assert world.open_tasks == {"ed_followup_call"}
