"""What people do: to tasks, the plan and review items; and that it is never lost."""

import pytest

from broker.errors import OperationError
from tests.care.people import World, admitted, left, left_not, minutes, says


def after_discharge() -> World:
    world = World()
    world.hear(admitted(0))
    world.hear(left(300))
    return world


def test_a_task_is_begun_tried_and_done():
    world = after_discharge()
    world.act("task_begun", world.task("post_discharge_call"), at=minutes(310))
    world.act("task_attempt", world.task("post_discharge_call"), at=minutes(320), note="No answer")
    world.act("task_done", world.task("post_discharge_call"), at=minutes(330), note="Spoke with her son")
    task = world.task("post_discharge_call")
    assert (task.state, task.assignee, task.closed_at) == ("done", "anna", minutes(330))
    assert task.note == "No answer\nSpoke with her son"


def test_work_whose_ground_falls_is_shown_to_who_did_it():
    world = after_discharge()
    world.act("task_begun", world.task("post_discharge_call"), at=minutes(302))
    world.act("task_done", world.task("pcp_visit"), at=minutes(302))
    world.hear(left_not(310))
    assert world.task("post_discharge_call").state == "changed_after"
    assert world.task("pcp_visit").state == "changed_after"
    assert world.task("post_discharge_call").assignee == "anna"


def test_done_before_the_discharge_does_not_count_for_it():
    world = after_discharge()
    world.act("task_done", world.task("post_discharge_call"), at=minutes(305))
    world.hear(left_not(310))
    world.hear(left(400))
    assert [t.state for t in world.tasks if t.kind == "post_discharge_call"] == ["changed_after", "open"]


def test_done_work_stays_when_a_correction_calls_for_something_else():
    world = after_discharge()
    world.act("task_done", world.task("post_discharge_call"), at=minutes(305))
    world.hear(says("VisitUpdate", 400, disposition="snf"))
    assert world.task("post_discharge_call").state == "done"
    assert world.task("pcp_visit").state == "withdrawn"


def test_a_task_is_assigned_dismissed_with_a_reason_and_opened_again():
    world = after_discharge()
    world.act("task_assigned", world.task("pcp_visit"), assignee="ben")
    assert world.task("pcp_visit").assignee == "ben"
    with pytest.raises(OperationError):
        world.act("task_dismissed", world.task("pcp_visit"))
    world.act("task_dismissed", world.task("pcp_visit"), note="Moved away")
    assert world.task("pcp_visit").state == "dismissed"
    world.hear(says("VisitUpdate", 400, reason="Fall"))
    assert world.task("pcp_visit").state == "dismissed"
    world.act("task_reopened", world.task("pcp_visit"))
    assert world.task("pcp_visit").state == "open"


def test_a_person_s_own_task_stands_until_it_is_done():
    world = after_discharge()
    world.act("task_added", title="Ask about the stairs", due_at="2026-01-09T17:00:00-06:00")
    world.hear(left_not(310))
    assert world.task("added").state == "open"
    world.act("task_done", world.task("added"))
    assert world.task("added").state == "done"


def test_what_a_person_writes_in_the_plan_stands_before_what_hospitals_say():
    world = after_discharge()
    world.act("plan_entry_put", section="goal", key="walk", text="Walk to the mailbox")
    world.act("plan_entry_put", section="team", key="pcp", family="Okafor")
    assert world.plan["goal", "walk"]["text"] == "Walk to the mailbox"
    world.hear(says("VisitUpdate", 400, reason="Fall"))
    assert world.plan["team", "pcp"]["family"] == "Okafor"
    entry = next(r for (name, _, _), r in world.rows.items() if name == "PlanEntryPut" and r.key == "walk")
    world.act("plan_entry_ended", entry)
    assert ("goal", "walk") not in world.plan


def test_a_goal_is_a_plan_that_an_emergency_department_is_sent():
    world = after_discharge()
    world.act("plan_entry_put", section="goal", key="walk", text="Walk to the mailbox")
    world.hear(says("Registration", 2000, visit="V2", patient_class="emergency"))
    assert "send_plan" in world.open_tasks


def test_a_note_is_added_and_a_review_item_closed():
    world = after_discharge()
    world.act("note_added", text="Daughter moves in on Monday")
    assert any(body.get("text") == "Daughter moves in on Monday" for body in world.plan.values())
    world.hear(left_not(500, visit="V7"))
    review = next(row for (name, _, _), row in world.rows.items() if name == "ReviewPut")
    world.act("review_closed", review)
    assert world.reviews == set()


def test_what_is_not_there_cannot_be_done():
    world = after_discharge()
    task = world.task("pcp_visit")
    for kind, row, body in (
        ("task_done", type("Row", (), {"patient": 1, "n": 99}), {}),
        ("task_sung", task, {}),
        ("task_reopened", task, {}),
        ("plan_entry_put", None, {"section": "goal"}),
        ("note_added", None, {}),
        ("task_added", None, {}),
    ):
        with pytest.raises(OperationError):
            world.act(kind, row, **body)


def test_what_falls_due_is_marked_once_and_the_next_is_looked_forward_to():
    world = after_discharge()
    first = world.timers[0].due_at
    assert first == min(t.due_at for t in world.tasks if t.state == "open")
    world.tick(first)
    overdue = [c for c in world.history if getattr(c, "verb", "") == "overdue"]
    assert [c.kind for c in overdue] == ["admission_review"]
    assert world.timers[0].due_at > first
    assert world.tick(first) == []


def test_when_nothing_is_left_to_wait_for_the_timer_goes():
    world = World()
    world.hear(admitted(0))
    assert world.timers != []
    world.act("task_done", world.task("admission_review"))
    assert world.timers == []
