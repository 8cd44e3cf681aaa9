import json


def listed(broker, data, *words):
    return json.loads(broker(*words, "--data", data, "--json").stdout)


def test_a_task_is_begun_and_done_by_who_runs_the_command(broker, data):
    open_task = listed(broker, data, "tasks")[0]
    number = f"{open_task['patient']}.{open_task['n']}"
    assert "begin" in broker("task", number, "begin", "--data", data).stdout
    assert broker("task", number, "done", "--data", data, "--note", "reached").exit_code == 0
    assert number not in {f"{one['patient']}.{one['n']}" for one in listed(broker, data, "tasks")}


def test_an_act_that_there_is_not_is_told_with_those_that_there_are(broker, data):
    told = broker("task", "1.1", "finish", "--data", data)
    assert told.exit_code == 1 and "done" in told.stderr


def test_a_delivery_that_is_under_way_is_not_for_a_person_to_judge(broker, data):
    told = broker("deliver-again", 1, "--data", data, "--why", "they asked")
    assert told.exit_code == 1 and "not for a person" in told.stderr
    assert "say why" in broker("deliver-again", 1, "--data", data).stderr


def test_a_destination_is_held_and_let_go(broker, data):
    assert "held" in broker("hold", "westside/ehr", "--data", data, "--why", "they move").stdout
    assert "let go" in broker("let-go", "westside/ehr", "--data", data).stdout
    assert broker("hold", "eastside/ehr", "--data", data).exit_code == 2
