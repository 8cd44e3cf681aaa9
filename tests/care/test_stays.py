"""How stays open, change and close: each event of DOMAIN 1.4 and its undoing."""

from dataclasses import replace

from broker.care.given import Due
from broker.notices import Location, Unknown
from tests.care.people import (
    FRIDAY,
    GIVEN,
    RULES,
    World,
    admitted,
    arrived,
    left,
    left_not,
    minutes,
    rule,
    says,
)

DAY = 24 * 60


def test_an_emergency_visit_that_becomes_an_admission_is_told_twice_and_is_one_encounter():
    world = World()
    world.hear(arrived(0))
    assert world.standing == {"EmergencyArrival"}
    world.hear(says("ClassChange", 90, patient_class="inpatient"))
    assert world.standing == {"EmergencyArrival", "Admission"}
    assert [(e.patient_class, e.status) for e in world.encounters] == [("inpatient", "in_progress")]
    assert world.notification("Admission").occurred_at == minutes(90)
    assert "admission_review" in world.open_tasks


def test_back_to_outpatient_corrects_the_admission():
    world = World()
    world.hear(admitted(0))
    world.hear(says("ClassChange", 90, patient_class="outpatient"))
    notice = world.notification("Admission")
    assert (notice.state, notice.version, notice.content["patient_class"]) == ("standing", 2, "outpatient")
    assert world.open_tasks == set()


def test_an_admission_that_never_was_is_retracted_with_all_that_followed():
    world = World()
    world.hear(admitted(0))
    world.hear(says("VisitUpdate", 5, reason="Fall"))
    world.hear(says("AdmissionCancelled", 10))
    assert world.encounters[0].status == "cancelled"
    assert world.standing == set()
    assert world.open_tasks == set()
    assert ("retract", "Admission", "Dr Hall") in world.told()
    world.hear(says("VisitUpdate", 7, reason="Fall from a ladder"))  # late, of the time before
    assert world.encounters[0].status == "cancelled"


def test_a_rule_may_call_for_something_when_a_stay_is_cancelled():
    world = World()
    asked = rule("ask_why", Due(business_days=1), status="cancelled")
    world.given = replace(GIVEN, rules=(*RULES, asked))
    world.hear(admitted(0))
    assert world.open_tasks == {"admission_review"}
    world.hear(says("AdmissionCancelled", 10))
    assert world.open_tasks == {"ask_why"}


def test_admitted_again_under_the_same_number_after_the_cancel():
    world = World()
    world.hear(admitted(0))
    world.hear(says("AdmissionCancelled", 10))
    world.hear(admitted(20))
    assert world.encounters[0].status == "in_progress"
    assert [one.state for one in world.notifications] == ["retracted", "standing"]


def test_the_cancel_of_an_admission_leaves_the_emergency_visit_before_it():
    world = World()
    world.hear(arrived(0))
    world.hear(admitted(60))
    world.hear(says("AdmissionCancelled", 70, cancelled_at=minutes(60)))
    assert [(e.patient_class, e.status) for e in world.encounters] == [("emergency", "in_progress")]
    assert world.standing == {"EmergencyArrival"}


def test_the_cancel_of_an_admission_leaves_the_plan_of_it():
    world = World()
    world.hear(says("PreAdmission", 0, expected_admit_at=minutes(DAY)))
    assert world.encounters[0].status == "planned"
    world.hear(admitted(DAY))
    world.hear(says("AdmissionCancelled", DAY + 10))
    assert world.encounters[0].status == "planned"
    world.hear(says("PreAdmissionCancelled", DAY + 20))
    assert world.encounters[0].status == "cancelled"


def test_a_second_admission_of_the_same_visit_is_an_update():
    world = World()
    world.hear(admitted(0))
    world.hear(admitted(5, reason="Fall"))
    assert len(world.notifications) == 1
    assert world.told() == [("tell", "Admission", "Dr Hall"), ("tell", "Admission", "Care coordination")]
    world.hear(says("AdmissionCancelled", 10))
    assert world.encounters[0].status == "cancelled"


def test_the_cancel_picks_what_it_means_by_evn_6():
    world = World()
    world.hear(admitted(0))
    world.hear(says("Transfer", 10, location=Location(unit="3W", bed="1")))
    world.hear(says("Transfer", 20, location=Location(unit="4E", bed="2")))
    world.hear(says("TransferCancelled", 30, cancelled_at=minutes(10)))
    assert world.encounters[0].location == "4E 2"
    world.hear(says("TransferCancelled", 40, cancelled_at=minutes(20), location=Location(unit="ED")))
    assert world.encounters[0].location == "ED"


def test_a_discharge_said_twice_is_taken_back_by_one_cancel():
    world = World()
    world.hear(admitted(0))
    world.hear(left(300))
    world.hear(left(310, "snf"))
    world.hear(left_not(320))
    assert world.encounters[0].status == "in_progress"


def test_a_cancel_that_finds_nothing_changes_nothing_and_is_shown():
    world = World()
    world.hear(admitted(0))
    before = world.encounters
    world.hear(left_not(310, location=Location(unit="9Z")))
    assert world.encounters == before
    assert world.reviews == {"cancel_found_nothing"}
    world.hear(left(300))  # the discharge that it meant comes late
    assert world.encounters[0].status == "in_progress"
    assert world.reviews == set()


def test_a_cancel_with_the_times_of_what_it_takes_back_is_for_a_person_to_judge():
    world = World()
    world.hear(admitted(0))
    world.hear(left(300))
    world.hear(left_not(300))
    assert world.reviews == {"order_unclear"}


def test_a_transfer_is_told_only_to_another_facility_or_level_of_care():
    world = World()
    world.hear(admitted(0, location=Location(unit="3W")))
    world.hear(says("Transfer", 10, location=Location(unit="4E")))
    assert world.standing == {"Admission"}
    world.hear(says("Transfer", 20, location=Location(unit="ICU")))
    assert world.notification("Transfer").content["moved_to"] == {"unit": "ICU"}
    world.hear(says("TransferCancelled", 30, location=Location(unit="4E")))
    assert world.notification("Transfer").state == "retracted"
    world.hear(
        says("Transfer", 40, prior_location=Location(facility="NORTH"), location=Location(facility="REHAB"))
    )
    assert world.notification("Transfer").state == "standing"


def test_leave_is_no_discharge():
    world = World()
    world.hear(admitted(0))
    world.hear(says("Leave", 60))
    assert world.encounters[0].status == "on_leave"
    world.hear(says("LeaveReturn", 120))
    assert world.encounters[0].status == "in_progress"
    world.hear(says("LeaveReturnCancelled", 130))
    assert world.encounters[0].status == "on_leave"
    world.hear(says("LeaveCancelled", 140))
    assert world.encounters[0].status == "in_progress"
    assert world.standing == {"Admission"}


def test_an_expected_discharge_opens_what_must_be_done_before_it():
    world = World()
    world.hear(admitted(0))
    world.hear(says("PendingDischarge", 60, expected_discharge_at=minutes(3 * DAY)))
    assert world.task("book_before_discharge").due_at.date().isoformat() == "2026-01-05"
    world.hear(says("VisitUpdate", 90, expected_discharge_at=minutes(5 * DAY)))
    assert world.task("book_before_discharge").due_at.date().isoformat() == "2026-01-07"
    world.hear(left(200))
    assert world.task("book_before_discharge").state == "withdrawn"


def test_the_cancel_of_an_expected_discharge_withdraws_what_it_opened():
    world = World()
    world.hear(admitted(0))
    world.hear(says("PendingDischarge", 60, expected_discharge_at=minutes(3 * DAY)))
    world.hear(says("PendingDischargeCancelled", 70))
    assert world.task("book_before_discharge").state == "withdrawn"


def test_an_outpatient_visit_tells_nobody():
    world = World()
    world.hear(says("Registration", 0, patient_class="outpatient"))
    assert [(e.status, e.patient_class) for e in world.encounters] == [("in_progress", "outpatient")]
    assert world.notifications == []


def test_a_class_that_we_do_not_know_does_not_hide_an_admission():
    world = World()
    world.hear(says("Admission", 0, patient_class=Unknown(unknown="XX")))
    assert world.notification("Admission").content["class_code"] == "XX"
    assert world.encounters[0].patient_class == "unknown"


def test_an_emergency_visit_and_the_stay_after_it_are_one_episode():
    world = World()
    world.hear(arrived(0, visit="E1"))
    world.hear(left(120, visit="E1"))
    world.hear(admitted(130, visit="V1"))
    assert world.notification("Discharge").state == "retracted"
    assert world.task("ed_followup_call").state == "withdrawn"
    assert world.standing == {"EmergencyArrival", "Admission"}


def test_admitted_while_another_stay_is_open_is_for_a_person_to_judge():
    world = World()
    world.hear(admitted(0))
    world.hear(admitted(60, visit="V2"))
    assert world.reviews == {"admitted_twice"}
    world.hear(left(90))
    assert world.reviews == set()


def test_a_deleted_field_is_deleted_and_one_that_is_not_stated_stays():
    world = World()
    world.hear(admitted(0, reason="Fall"))
    world.hear(says("VisitUpdate", 10))
    assert world.encounters[0].reason == "Fall"
    world.hear(says("VisitUpdate", 20, reason=None))
    assert world.encounters[0].reason == ""


def test_facts_without_a_visit_number_find_their_stay_by_account_or_admit_time():
    world = World()
    world.hear(admitted(0, account_id="A1", admitted_at=FRIDAY))
    world.hear(left(300, visit=None, account_id="A1"))
    assert [e.status for e in world.encounters] == ["discharged"]
    world.hear(admitted(DAY * 90, visit="V2", admitted_at=minutes(DAY * 90)))
    world.hear(left(DAY * 91, visit=None, admitted_at=minutes(DAY * 90)))
    assert [e.status for e in world.encounters if e.visit_id] == ["discharged", "discharged"]


def test_a_discharge_that_nothing_ties_to_a_stay_stands_for_itself():
    world = World()
    world.hear(left(300, visit=None))
    assert [(e.status, e.visit_id) for e in world.encounters] == [("discharged", "")]


def test_a_muted_fact_is_recorded_and_nobody_is_told():
    world = World()
    world.hear(admitted(0, mute=True))
    world.hear(left(300, mute=True))
    assert world.encounters[0].status == "discharged"
    assert (world.notifications, world.tasks, world.deliveries) == ([], [], [])


def test_what_happened_long_ago_is_recorded_only():
    world = World()
    world.hear(admitted(-90 * DAY), at=FRIDAY)
    world.hear(left(-89 * DAY), at=FRIDAY)
    assert world.encounters[0].status == "discharged"
    assert (world.notifications, world.tasks) == ([], [])


def test_what_comes_late_says_so():
    world = World()
    world.hear(admitted(-3 * DAY), at=FRIDAY)
    assert world.notification("Admission").content["late"] is True
