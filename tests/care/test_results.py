"""Results: critical ones, corrections, deletions, and what was pending when the patient left."""

from typing import Any

from broker.notices import Observation
from tests.care.people import DR_LUND, World, admitted, left, says


def potassium(
    at: float, value: str = "6.9", flags: tuple[str, ...] | None = ("HH",), status: str = "final", **more: Any
):
    seen = Observation(
        code="2823-3", text="Potassium", value=value, units="mmol/L", flags=flags, status=status
    )
    return says("Result", at, order_id="L1", text="Potassium", ordering=DR_LUND, observations=(seen,), **more)


def in_hospital() -> World:
    world = World()
    world.hear(admitted(0))
    return world


def test_a_critical_result_is_told_at_once_to_who_ordered_it():
    world = in_hospital()
    world.hear(potassium(60))
    notice = world.notification("Result")
    assert (notice.urgency, notice.content["result"]["reasons"]) == ("stat", ["critical"])
    assert notice.content["result"]["observations"][0]["value"] == "6.9"
    assert ("tell", "Result", "Dr Lund") in world.told()
    assert world.task("critical_result_ack").title == "Critical result ack: Potassium"


def test_a_normal_result_in_hospital_tells_nobody():
    world = in_hospital()
    world.hear(potassium(60, "4.0", None))
    assert "Result" not in world.standing


def test_a_correction_is_told_to_who_was_told():
    world = in_hospital()
    world.hear(potassium(60))
    world.hear(potassium(90, "4.1", None, "corrected"))
    notice = world.notification("Result")
    assert (notice.state, notice.version) == ("standing", 2)
    assert notice.content["result"]["reasons"] == ["critical", "corrected"]
    assert ("correct", "Result", "Dr Lund") in world.told()
    assert world.task("critical_result_ack").state == "withdrawn"
    assert "result_correction_review" in world.open_tasks


def test_a_result_that_was_posted_wrongly_is_retracted():
    world = in_hospital()
    world.hear(potassium(60))
    world.hear(potassium(90, status="wrong"))
    assert world.notification("Result").state == "retracted"
    assert "critical_result_ack" not in world.open_tasks
    assert world.reviews == {"wrong_result"}


def test_a_deleted_observation_is_retracted_too_and_a_new_one_may_follow():
    world = in_hospital()
    world.hear(potassium(60))
    world.hear(potassium(90, status="deleted"))
    assert world.notification("Result").state == "retracted"
    world.hear(potassium(95, "7.0"))
    assert world.notification("Result").state == "standing"


def test_what_was_pending_at_the_discharge_is_followed_up_until_it_comes():
    world = in_hospital()
    world.hear(potassium(60, "", None, "pending"))
    assert "pending_result_followup" not in world.open_tasks
    world.hear(left(300))
    assert "pending_result_followup" in world.open_tasks
    world.hear(potassium(600, "4.0", None))
    assert "pending_result_followup" not in world.open_tasks
    notice = world.notification("Result")
    assert notice.content["result"]["reasons"] == ["after_discharge"]
    assert ("tell", "Result", "Dr Hall") in world.told()


def test_a_cancelled_discharge_takes_back_that_a_result_came_after_it():
    world = in_hospital()
    world.hear(left(300))
    world.hear(potassium(600, "4.0", None))
    assert "Result" in world.standing
    world.hear(says("DischargeCancelled", 700))
    assert world.notification("Result").state == "retracted"


def test_reports_in_any_order_leave_the_last_one():
    world = in_hospital()
    world.hear(potassium(90, "4.1", None, "corrected"))
    world.hear(potassium(60))
    assert world.notification("Result").content["result"]["observations"][0]["value"] == "4.1"


def test_a_result_without_a_visit_is_no_encounter():
    world = World()
    world.hear(potassium(60, visit=None))
    assert world.encounters == []
    assert world.notification("Result").encounter is None
