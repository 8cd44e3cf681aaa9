import json

import pytest

A03 = (
    "MSH|^~\\&|NORTHADT|NORTH|||20260305141622-0500||ADT^A03^ADT_A03|N1|P|2.5.1\n"
    "PID|1||1^^^NORTH^MR~2^^^X^PI||Hollis^June\n"
    "PV1|1|I" + 34 * "|" + "01\n"
    "ZDS|1|DC\n"
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a03.hl7"
    path.write_text(A03 + A03)
    return path


def test_show_names_every_value_by_its_path_and_by_what_hl7_calls_it(broker, file):
    shown = broker("show", file, "--json")
    first, second = json.loads(shown.stdout)
    assert first == second
    values = {one["path"]: (one["value"], one["name"]) for one in first}
    assert values["PV1-36"] == ("01", "Discharge disposition")
    assert values["PID-3[2].1"] == ("2", "Patient identifier list, Id number")
    assert values["ZDS-2"] == ("DC", "")


def test_show_reads_standard_input_and_frames(broker):
    framed = b"\x0b" + A03.replace("\n", "\r").encode() + b"\x1c\r"
    shown = broker("show", "-", given=framed + framed)
    assert shown.exit_code == 0
    assert "message 2 of 2" in shown.stdout and "Hollis" in shown.stdout


def test_a_file_that_holds_no_message_is_said_so(broker, tmp_path):
    (tmp_path / "empty.hl7").write_text("\n")
    shown = broker("show", tmp_path / "empty.hl7")
    assert (shown.exit_code, "holds no HL7 message" in shown.stderr) == (1, True)
    assert "No such file" in broker("show", tmp_path / "none.hl7").stderr


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("PV1-36", "Discharge disposition, type IS, HL7 table 0112"),
        ("pid-3.4", "Assigning authority"),
        ("PID-3[5=MR].1", "Id number"),
        ("PV1", "Patient class"),
        ("drain_secs", "HANDOFF_DRAIN_SECS"),
        ("refused", "A person decides"),
        ("AE", "Application error"),
        ("Discharge", "disposition"),
        ("smtp", "sender"),
        ("slot", "64 ordered queues"),
        ("unreadable", "kept in quarantine"),
    ],
)
def test_explain_knows_paths_keys_words_codes_notices_and_destinations(broker, word, told):
    explained = broker("explain", word)
    assert explained.exit_code == 0
    assert told in explained.stdout


def test_explain_names_the_nearest_word_for_one_that_it_does_not_know(broker):
    explained = broker("explain", "chanel")
    assert explained.exit_code == 1
    assert "channel" in explained.stderr


def test_names_differ_by_version(broker):
    assert "Patient id internal id" in broker("explain", "PID-3", "--version", "2.3").stdout


def test_every_command_says_what_it_is_for(broker):
    shown = broker("--help").stdout
    for command in ("run", "check", "test", "try", "show", "explain", "send", "status", "demo", "bench"):
        assert f" {command} " in shown
