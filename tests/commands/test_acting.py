import json

import pytest

FILE = (
    "npi,name,practice,destination,address\n"
    "1512873401,Grace Okafor,Westside,westside/ehr,WESTSIDE\n"
    "1955217843,Anjali Bose,Harbor,mail/smtp,bose@harbor.example\n"
)


@pytest.fixture
def refused(broker, data):
    """The number of the message that was refused."""
    (cause,) = json.loads(broker("aside", "list", "--data", data, "--json").stdout)
    return "{}.{}".format(*cause["first"])


def test_what_was_refused_is_grouped_by_cause(broker, data):
    (cause,) = json.loads(broker("aside", "list", "--data", data, "--json").stdout)
    assert (cause["count"], cause["channel"], cause["state"]) == (1, "north", "refused")
    assert cause["where"] == "PV1-45"
    assert "north" in broker("aside", "list", "--data", data, "--state", "refused").stdout


def test_one_message_is_shown_with_its_reason(broker, data, refused):
    shown = broker("aside", "show", refused, "--data", data).stdout
    assert refused in shown and "PV1-45" in shown
    assert "was not set aside" in broker("aside", "show", "1.1", "--data", data).stderr
    assert "such as 3.17" in broker("aside", "show", "seven", "--data", data).stderr


def test_a_released_message_is_no_more_refused(broker, data, refused):
    assert "1 released" in broker("aside", "release", refused, "--data", data, "--why", "mended").stdout
    (cause,) = json.loads(broker("aside", "list", "--data", data, "--json").stdout)
    assert cause["state"] == "released"
    assert "0 released" in broker("aside", "release", refused, "--data", data).stdout


def test_all_of_a_cause_are_dismissed_at_once_and_only_with_a_reason(broker, data):
    (cause,) = json.loads(broker("aside", "list", "--data", data, "--json").stdout)
    without = broker("aside", "dismiss", "--code", cause["code"], "--data", data)
    assert without.exit_code != 0
    done = broker("aside", "dismiss", "--code", cause["code"], "--data", data, "--why", "nobody's")
    assert "1 dismissed" in done.stdout
    shown = json.loads(broker("aside", "list", "--data", data, "--json").stdout)
    assert [one["state"] for one in shown] == ["dismissed"]


def test_neither_or_both_of_messages_and_a_cause_is_a_mistake(broker, data, refused):
    assert broker("aside", "release", "--data", data).exit_code == 1
    assert broker("aside", "release", refused, "--code", "missing", "--data", data).exit_code == 1


def test_a_channel_is_paused_and_resumed(broker, data):
    assert broker("pause", "north", "--data", data, "--why", "maintenance").exit_code == 0
    status = json.loads(broker("status", "--data", data, "--json").stdout)
    assert {one["name"]: one["paused"] for one in status["channels"]}["north"] is True
    assert broker("resume", "north", "--data", data).exit_code == 0
    status = json.loads(broker("status", "--data", data, "--json").stdout)
    assert not any(one["paused"] for one in status["channels"])
    unknown = broker("pause", "nroth", "--data", data)
    assert (unknown.exit_code, "there are" in unknown.stderr) == (1, True)


def test_a_directory_is_imported_whole_or_beside_what_is_there(broker, data, tmp_path):
    file = tmp_path / "directory.csv"
    file.write_text(FILE)
    assert "2 entries" in broker("directory", "import", file, "--data", data).stdout
    file.write_text(FILE.replace("1512873401", "1733095628").replace("Grace Okafor", "Hannah Meyer"))
    broker("directory", "import", file, "--data", data)
    names = [one["name"] for one in json.loads(broker("directory", "list", "--data", data, "--json").stdout)]
    assert sorted(names) == ["Anjali Bose", "Grace Okafor", "Hannah Meyer"]
    broker("directory", "import", file, "--data", data, "--whole")
    assert "Okafor" not in broker("directory", "list", "--data", data).stdout
    assert "Meyer" in broker("directory", "list", "meyer", "--data", data).stdout


def test_a_directory_with_mistakes_is_not_imported_and_each_is_named(broker, data, tmp_path):
    file = tmp_path / "directory.csv"
    file.write_text(FILE.replace("1512873401", "1512873402").replace("mail/smtp", "mail/smpt"))
    result = broker("directory", "import", file, "--data", data)
    assert result.exit_code == 1
    assert "line 2" in result.stderr and "line 3" in result.stderr
    assert json.loads(broker("directory", "list", "--data", data, "--json").stdout) == []
