"""A discharge from end to end: who is told, what is to be done, what the plan says, and its undoing."""

from tests.care.people import World, admitted, left, left_not


def test_a_discharge_home_tells_the_pcp_opens_the_tasks_and_writes_the_plan():
    world = World()
    world.hear(admitted(0))
    world.hear(left(300))
    assert [(e.status, e.visit_id) for e in world.encounters] == [("discharged", "V1")]
    assert world.standing == {"Admission", "Discharge"}
    assert {"post_discharge_call", "pcp_visit"} <= world.open_tasks
    assert ("tell", "Discharge", "Dr Hall") in world.told()
    assert world.plan["note", "transition north V1"]["text"] == "Discharged to home from North Hospital"


def test_the_cancel_takes_the_discharge_back_and_a_later_one_is_new():
    world = World()
    world.hear(admitted(0))
    world.hear(left(300))
    world.hear(left_not(310))
    assert world.encounters[0].status == "in_progress"
    assert world.standing == {"Admission"}
    assert world.open_tasks == {"admission_review"}
    assert ("retract", "Discharge", "Dr Hall") in world.told()
    world.hear(left(400))
    assert world.standing == {"Admission", "Discharge"}
    assert {"post_discharge_call", "pcp_visit"} <= world.open_tasks
