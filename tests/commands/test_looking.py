import json


def told(broker, data, *words):
    result = broker(*words, "--data", data, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_status_counts_what_became_of_messages_and_what_waits(broker, after_the_day):
    status = told(broker, after_the_day, "status")
    channels = {channel["name"]: channel for channel in status["channels"]}
    assert channels["north"]["became"]["repeated"] == 1
    assert channels["north"]["became"]["quarantine"] == 1
    assert channels["north"]["refused"] == 1
    assert channels["lakeside"]["refused"] == 0
    assert status["backlog"] == 0
    assert status["tasks_open"] > 20
    assert status["codes"] == 1
    assert "north" in broker("status", "--data", after_the_day).stdout


def test_messages_are_listed_by_channel_event_and_what_became_of_them(broker, after_the_day):
    found = told(broker, after_the_day, "messages", "--channel", "north", "--event", "A03")
    assert {one["event"] for one in found} == {"A03"} and len(found) == 5
    (refused,) = told(broker, after_the_day, "messages", "--became", "refused")
    assert refused["control_id"] == "TIMELESS"
    assert "TIMELESS" in broker("messages", "--data", after_the_day).stdout


def test_tasks_are_listed_with_their_due_times_the_most_urgent_first(broker, after_the_day):
    found = told(broker, after_the_day, "tasks")
    due = [task["due_at"] for task in found if task["due_at"]]
    assert due == sorted(due)
    calls = told(broker, after_the_day, "tasks", "--kind", "post_discharge_call")
    assert {task["family"] for task in calls} == {"Hollis", "Castellanos", "Sato"}
    shown = broker("tasks", "--data", after_the_day, "--owner", "pharmacist").stdout
    assert "Reconcile the medications" in shown and "coordinator" not in shown


def test_nobody_in_the_directory_is_told_and_that_is_a_task(broker, after_the_day):
    assert told(broker, after_the_day, "deliveries") == []
    assert "Nobody was told" in broker("tasks", "--data", after_the_day).stdout


def test_codes_without_a_meaning_are_listed_with_their_table(broker, after_the_day):
    (code,) = told(broker, after_the_day, "codes")
    assert (code["channel"], code["code"], code["path"]) == ("lakeside", "RESP", "PV1-36")
    assert "RESP" in broker("codes", "--data", after_the_day, "--channel", "lakeside").stdout


def test_a_folder_without_data_is_said_so(broker, tmp_path):
    for command in ("status", "messages", "tasks"):
        result = broker(command, "--data", tmp_path)
        assert (result.exit_code, "no broker's data" in result.stderr) == (1, True), command
