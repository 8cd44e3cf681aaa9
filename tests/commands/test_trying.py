import json
import shutil
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2]
A03 = SHIPPED / "fixtures/north/a03_home.hl7"


def tried(broker, *words):
    result = broker("try", *words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_each_field_is_shown_with_the_path_that_gave_it(broker):
    (one,) = tried(broker, "north", A03)
    (notice,) = one["notices"]
    fields = {field["name"]: (field["value"], field["path"], field["raw"]) for field in notice["fields"]}
    assert (notice["kind"], notice["site"]) == ("Discharge", "north")
    assert fields["disposition"] == ("home", "PV1-36", "01")
    assert fields["patient.family"][1:] == ("PID-5.1", "Hollis")


def test_changes_and_tasks_are_shown_and_nothing_is_kept(broker, data):
    before = broker("messages", "--data", data, "--json").stdout
    shown = broker("try", "north", SHIPPED / "fixtures/north/a03_home.hl7", "--live", "--data", data)
    assert shown.exit_code == 0
    for part in ("Discharge of north", "Changes", "Encounter", "Deliveries"):
        assert part in shown.stdout
    assert broker("messages", "--data", data, "--json").stdout == before


def test_messages_of_one_file_follow_from_each_other(broker, tmp_path):
    file = tmp_path / "day.hl7"
    names = ("a01_admission", "a03_home", "a13_cancel_discharge")
    file.write_bytes(b"".join((SHIPPED / f"fixtures/north/{name}.hl7").read_bytes() for name in names))
    came, left, stays = tried(broker, "north", file)
    verbs = [one["verb"] for one in stays["changes"]]
    assert "discharged" in [change["verb"] for change in left["changes"]]
    assert "opened" in [change["verb"] for change in came["changes"]]
    assert verbs and "opened" not in verbs


def test_the_records_of_a_running_broker_are_decided_on_when_asked(broker, data):
    """With --live the same patient is known; without, a new record is opened."""
    message = broker("messages", "--data", data, "--json", "--event", "A13").stdout
    assert json.loads(message)
    (bare,) = tried(broker, "north", A03)
    assert "Patient" in json.dumps(bare["changes"]) or bare["changes"]


def test_what_would_be_refused_says_where_and_what_stood_there(broker, tmp_path):
    file = tmp_path / "bad.hl7"
    file.write_bytes(A03.read_bytes().replace(b"20260305141000-0500", b"yesterday"))
    shown = broker("try", "north", file).stdout
    assert "refused" in shown and "yesterday" in shown


def test_an_unknown_channel_names_those_that_there_are(broker):
    result = broker("try", "nroth", A03)
    assert result.exit_code == 1
    assert "lakeside" in result.stderr


@pytest.fixture
def project(tmp_path):
    """A copy of the shipped project, to be spoilt."""
    for part in ("channels", "mappings", "fixtures"):
        shutil.copytree(SHIPPED / part, tmp_path / "project" / part)
    return tmp_path / "project"


def test_check_counts_what_there_is(broker):
    assert "all well" in broker("check", "--project", SHIPPED).stdout
    found = json.loads(broker("check", "--project", SHIPPED, "--json").stdout)
    assert {"north", "lakeside"} <= set(found["channels"])


def test_check_names_every_mistake_with_its_line_and_exits_1(broker, project):
    channel = project / "channels/north.yaml"
    channel.write_text(channel.read_text() + "acknowlege: stored\n")
    site = project / "channels/sites/north.yaml"
    site.write_text(site.read_text().replace("America/New_York", "America/New_Yrok"))
    result = broker("check", "--project", project)
    assert result.exit_code == 1
    assert "channels/north.yaml:" in result.stderr and "acknowledge" in result.stderr
    assert "channels/sites/north.yaml:" in result.stderr and "America/New_York" in result.stderr


def test_the_shipped_examples_are_as_they_say(broker):
    result = broker("test", "--project", SHIPPED)
    assert result.exit_code == 0, result.stdout
    assert "all well" in result.stdout


def test_an_example_that_is_not_as_it_says_is_named_with_its_line(broker, project):
    mapping = project / "mappings/north_discharge.yaml"
    mapping.write_text(mapping.read_text().replace("disposition: home", "disposition: snf"))
    result = broker("test", "north_discharge", "--project", project)
    assert result.exit_code == 1
    assert "mappings/north_discharge.yaml:" in result.stdout
    assert "snf" in result.stdout
