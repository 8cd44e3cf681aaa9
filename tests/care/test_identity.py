"""Who is who: merges, links, moves, and their undoing."""

from broker.notices import Phone, Practitioner
from tests.care.people import DR_HALL, DR_OKAFOR, World, admitted, left, minutes, says

HOME_TASKS = {"post_discharge_call", "pcp_visit"}


def two_numbers() -> World:
    world = World()
    world.hear(admitted(0, number="100", visit="V1"))
    world.hear(says("PersonUpdate", 1, number="200"))
    return world


def merge(at: float, survivor: str, loser: str, kind: str = "PatientMerge"):
    return says(kind, at, number=survivor, retired=loser, visit=None)


def test_a_merge_makes_one_person_and_tells_nobody():
    world = two_numbers()
    told = len(world.deliveries)
    world.hear(merge(10, "200", "100"))
    assert [p.person for p in world.patients] == [1, 1]
    assert len(world.deliveries) == told
    assert [(e.patient, e.status) for e in world.encounters] == [(1, "in_progress")]
    assert world.task("merge_reconcile").patient == world.patient("200")


def test_a_merge_that_was_not_so_leaves_what_would_have_been_without():
    world = two_numbers()
    fact = merge(10, "200", "100").fact(world)
    world.hear(fact)
    world.hear(gone=[fact])
    assert [p.person for p in world.patients] == [1, 2]
    assert world.task("merge_reconcile").state == "withdrawn"


def test_a_readmission_shows_once_two_numbers_are_one_person():
    world = World()
    world.hear(admitted(0, number="100", visit="V1"))
    world.hear(left(300, number="100", visit="V1"))
    world.hear(admitted(3000, number="200", visit="V2"))
    assert "readmission_review" not in world.open_tasks
    world.hear(merge(3010, "200", "100"))
    assert "readmission_review" in world.open_tasks
    world.hear(merge(3020, "200", "100", kind="Unlink"))
    assert "readmission_review" not in world.open_tasks


def test_the_death_of_one_number_is_the_death_of_the_person():
    world = two_numbers()
    world.hear(says("PersonUpdate", 5, number="200", who={"deceased": True}))
    assert "admission_review" in world.open_tasks
    world.hear(merge(10, "200", "100"))
    assert [p.deceased for p in world.patients] == [True, True]
    assert "admission_review" not in world.open_tasks


def test_a_merge_with_oneself_is_for_a_person_to_judge():
    world = two_numbers()
    world.hear(merge(10, "100", "100"))
    assert world.reviews == {"odd_link"}
    assert [p.person for p in world.patients] == [1, 2]


def test_a_circle_is_for_a_person_to_judge_and_stays_one_person():
    world = two_numbers()
    world.hear(merge(10, "200", "100"))
    world.hear(merge(20, "100", "200"))
    assert world.reviews == {"odd_link"}
    assert [p.person for p in world.patients] == [1, 1]


def test_a_visit_on_the_wrong_patient_is_retracted_there_and_told_here():
    world = World()
    world.hear(admitted(0, number="100"))
    world.hear(says("PersonUpdate", 1, number="200", who={"family": "Roe", "pcp": DR_OKAFOR}))
    begun = world.task("admission_review")
    world.act("task_begun", begun, at=minutes(5))
    world.hear(says("VisitMove", 10, number="200", retired="100", retired_visit_id="V1",
                    who={"family": "Roe", "pcp": DR_OKAFOR}))  # fmt: skip
    assert {(e.patient, e.status) for e in world.encounters} == {(1, "cancelled"), (2, "in_progress")}
    retraction = next(one for one in world.deliveries if one.act == "retract")
    assert retraction.not_before == minutes(10)  # a wrong patient does not wait
    assert world.told()[-2:] == [
        ("tell", "Admission", "Dr Okafor"),
        ("tell", "Admission", "Care coordination"),
    ]
    assert world.notification("Admission").content["patient"]["family"] == "Roe"
    assert world.reviews == {"wrong_patient_told", "wrong_patient_work"}
    assert world.rows["TaskPut", 1, begun.n].state == "changed_after"
    assert {task.patient for task in world.tasks if task.state == "open"} == {2}


def test_moving_back_revives_what_stood():
    world = World()
    world.hear(admitted(0, number="100"))
    world.hear(says("VisitMove", 10, number="200", retired="100", retired_visit_id="V1"))
    world.hear(says("VisitMove", 20, number="100", retired="200", retired_visit_id="V1"))
    assert {(e.patient, e.status) for e in world.encounters} == {(1, "in_progress"), (2, "cancelled")}
    standing = [one for one in world.notifications if one.state == "standing"]
    assert [(one.patient, one.about, one.version) for one in standing] == [(1, "100", 3)]
    assert len([task for task in world.tasks if task.kind == "admission_review" and task.patient == 1]) == 1
    assert [task.patient for task in world.tasks if task.state == "open"] == [1]


def test_an_account_that_moves_takes_its_visits_with_it():
    world = World()
    world.hear(admitted(0, number="100", account_id="A1"))
    world.hear(says("AccountMove", 10, number="200", retired="100", visit=None,
                    account_id="A1", retired_account_id="A1"))  # fmt: skip
    assert {(e.patient, e.status) for e in world.encounters} == {(1, "cancelled"), (2, "in_progress")}


def test_visits_that_are_merged_are_one_stay_whose_tasks_stand_once():
    world = World()
    world.hear(admitted(0, visit="V1"))
    world.hear(admitted(5, visit="V2"))
    second = next(t for t in world.tasks if t.kind == "admission_review" and t.encounter == 2)
    world.act("task_begun", second, at=minutes(6))
    merged = says("VisitMerge", 10, visit="V1", retired="100", retired_visit_id="V2").fact(world)
    world.hear(merged)
    states = {t.encounter: t.state for t in world.tasks if t.kind == "admission_review"}
    assert states == {1: "joined", 2: "begun"}  # the most advanced stands
    assert [(e.visit_id, e.status) for e in world.encounters] == [("V1", "in_progress"), ("V2", "cancelled")]
    assert [d.act for d in world.deliveries].count("retract") == 0
    world.hear(gone=[merged])
    states = {t.encounter: t.state for t in world.tasks if t.kind == "admission_review"}
    assert states == {1: "open", 2: "begun"}


def test_a_new_visit_number_goes_on_with_the_same_stay():
    world = World()
    world.hear(admitted(0, visit="V1"))
    world.hear(says("VisitChange", 10, visit="V9", retired="100", retired_visit_id="V1"))
    world.hear(left(300, visit="V9"))
    assert [(e.visit_id, e.status) for e in world.encounters if e.status != "cancelled"] == [
        ("V9", "discharged")
    ]
    assert world.open_tasks > HOME_TASKS


def test_what_is_said_of_the_patient_is_kept_by_field_and_the_last_word_counts():
    world = World()
    world.hear(says("PersonUpdate", 10, who={"phones": (Phone(number="555-0100"),), "language": "es"}))
    world.hear(says("PersonUpdate", 5, who={"phones": (Phone(number="555-0999"),), "sex": "female"}))
    patient = world.patients[0]
    assert (patient.phone, patient.language, patient.sex, patient.family) == (
        "555-0100",
        "es",
        "female",
        "Doe",
    )
    world.hear(says("PersonUpdate", 20, who={"phones": None}))
    assert world.patients[0].phone == ""


def test_another_pcp_is_told_and_so_is_the_one_before():
    world = World()
    world.hear(says("PersonUpdate", 0, who={"pcp": DR_HALL}))
    world.hear(says("PersonUpdate", 10, who={"pcp": DR_OKAFOR}))
    assert world.told() == [("tell", "PcpChange", "Dr Okafor"), ("tell", "PcpChange", "Dr Hall")]
    assert world.open_tasks == {"pcp_handover"}
    content = world.notification("PcpChange").content
    assert (content["former_pcp"]["family"], content["pcp"]["family"]) == ("Hall", "Okafor")
    assert world.plan["team", "pcp"]["family"] == "Okafor"


def test_a_pcp_spelled_otherwise_is_no_other_pcp():
    world = World()
    world.hear(says("PersonUpdate", 0, who={"pcp": DR_HALL}))
    world.hear(says("PersonUpdate", 10, who={"pcp": Practitioner(npi=DR_HALL.npi, family="HALL")}))
    assert world.told() == []
