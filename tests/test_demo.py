import signal
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from broker.cli import whole
from broker.commands import demoing
from broker.demo.expect import Expectation
from broker.demo.story import story
from broker.hl7 import Message
from broker.trial import free_ports

NOW = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)


def test_the_story_is_one_day_and_ends_before_now():
    steps = story(NOW)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert all(NOW - timedelta(hours=24) < step.at < NOW for step in steps)


def test_the_story_has_everything_that_a_broker_must_stand():
    steps = story(NOW)
    events = {Message(step.message).get("MSH-9.2") for step in steps if step.answer == "AA"}
    assert {"A01", "A02", "A03", "A04", "A06", "A13", "A40", "R01"} <= events
    assert {step.becomes for step in steps} == {"worked", "repeated", "quarantine"}
    assert {step.answer for step in steps} == {"AA", "AE"}
    dispositions = {Message(step.message).get("PV1-36") for step in steps if step.answer == "AA"}
    assert {"01", "03", "20", "HOME", "SNF", "RESP"} <= dispositions


def test_each_message_of_a_hospital_has_a_control_id_of_its_own_but_the_one_that_is_sent_twice():
    ids = [step.control_id for step in story(NOW) if step.answer == "AA"]
    assert len(ids) - len(set(ids)) == 1


@pytest.fixture
def demo(tmp_path):
    """`broker demo` as a process on ports of its own; `address` is that of its pages."""
    ports = free_ports(6)
    command = [sys.executable, "-m", "broker", "demo", "--data", str(tmp_path / "data")]
    command += ["--web", f"127.0.0.1:{ports[0]}", "--first-port", str(ports[1])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    process.address = f"http://127.0.0.1:{ports[0]}"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.xdist_group("a whole broker")
def test_the_demo_holds_what_it_expects_and_stays_up_until_it_is_stopped(demo, tmp_path):
    shown = ""
    for line in demo.stdout:
        shown += line
        if "Ctrl-C stops it" in line:
            break
    for part in ("What each message became", "Open tasks", "Who was told", "held "):
        assert part in shown
    assert "failed" not in shown
    page = urlopen(demo.address, timeout=10).read().decode()
    assert "north" in page and "lakeside" in page
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=120)
    assert demo.returncode == 0
    assert (tmp_path / "data" / "care.db").exists()


def test_a_demo_of_which_something_did_not_hold_ends_with_1(monkeypatch):
    """Nothing is started: what is found is given."""
    stage = SimpleNamespace(play=lambda told: None)
    monkeypatch.setattr(demoing, "staged", lambda *given: nullcontext(stage))
    monkeypatch.setattr(demoing, "_print", lambda found, expectations: None)
    for held, code in ((True, 0), (False, 1)):
        expectations = [Expectation("it holds", held)]
        monkeypatch.setattr(demoing, "judge", lambda found, all_=expectations: all_)
        assert CliRunner().invoke(whole(), ["demo", "--exit"]).exit_code == code


def test_a_folder_that_holds_data_is_not_played_over(tmp_path):
    (tmp_path / "care.db").touch()
    result = CliRunner().invoke(whole(), ["demo", "--exit", "--data", str(tmp_path)])
    assert (result.exit_code, "holds data already" in result.stderr) == (1, True)
