import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import pytest

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


def demo(*words):
    ports = free_ports(6)
    command = [sys.executable, "-m", "broker", "demo", "--web", f"127.0.0.1:{ports[0]}", *words]
    process = subprocess.Popen(
        [*command, "--first-port", str(ports[1])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, f"http://127.0.0.1:{ports[0]}"


@pytest.mark.slow
@pytest.mark.xdist_group("a whole broker")
def test_the_demo_holds_what_it_expects():
    process, _ = demo("--exit")
    shown, errors = process.communicate(timeout=180)
    assert process.returncode == 0, shown + errors
    assert "failed" not in shown
    for part in ("What each message became", "Open tasks", "Who was told", "held"):
        assert part in shown


@pytest.mark.slow
@pytest.mark.xdist_group("a whole broker")
def test_the_demo_stays_up_until_it_is_stopped(tmp_path):
    process, address = demo("--data", str(tmp_path / "data"))
    shown = []
    for line in process.stdout:
        shown.append(line)
        if "Ctrl-C stops it" in line:
            break
    page = urlopen(address, timeout=10).read().decode()
    assert "north" in page and "lakeside" in page
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0, "".join(shown)
    assert (tmp_path / "data" / "care.db").exists()
