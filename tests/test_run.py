"""A whole broker as a hospital meets it: real processes, real sockets."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from urllib.request import urlopen

import pytest

from broker.bench.traffic import traffic
from broker.mllp_line import MllpLine
from broker.presence import present
from broker.trial import Trial, copy_project, free_ports

SHIPPED = Path(__file__).parent.parent
NORTH = 2575

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("a whole broker")]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A broker with the shipped project on ports of its own, for the tests that leave it as it is."""
    made = a_trial(tmp_path_factory.mktemp("trial"))
    made.messages = traffic()
    with made.running():
        yield made


def a_trial(folder, environment=None):
    ports = copy_project(SHIPPED, folder / "project")
    made = Trial(folder / "project", folder / "data", f"127.0.0.1:{free_ports(1)[0]}", environment)
    made.north = ports[NORTH]
    return made


def send(trial, messages):
    """Sends framed messages over one connection; the codes that they are answered."""
    line = MllpLine("127.0.0.1", trial.north, 20)
    try:
        return [line.ask(frame[1:-2]).get("MSA-1") for _, frame in messages]
    finally:
        line.close()


def until(holds, secs=60):
    """Looks every 20 ms until something holds, and returns it."""
    end = time.monotonic() + secs
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def worked(trial, count):
    return until(lambda: (status := trial.status())["worked"] >= count and not status["backlog"] and status)


def pids(trial):
    return {noted.name: noted.pid for noted in present(trial.data / "run")}


def test_a_message_is_accepted_worked_and_shown(trial):
    before = trial.status()["worked"]
    assert send(trial, islice(trial.messages, 20)) == ["AA"] * 20
    status = worked(trial, before + 20)
    north = next(channel for channel in status["channels"] if channel["listens"].endswith(f":{trial.north}"))
    assert north["became"]["worked"] == before + 20
    page = urlopen(f"http://{trial.web}/", timeout=5).read().decode()
    assert north["name"] in page


def test_the_data_folder_is_closed_to_everybody_else(trial):
    assert stat.S_IMODE(trial.data.stat().st_mode) == 0o700


def test_every_process_answers_metrics_on_a_loopback_port_of_its_own(trial):
    noted = list(present(trial.data / "run"))
    assert {one.name for one in noted} == {"run", "intake", "web", "deliver-1", "work-1"}
    assert len({one.metrics_port for one in noted}) == 5
    for one in noted:
        answer = urlopen(f"http://127.0.0.1:{one.metrics_port}/metrics", timeout=5).read()
        assert b"process_cpu_seconds_total" in answer


def test_the_web_process_tells_prometheus_how_the_whole_broker_stands(trial):
    send(trial, islice(trial.messages, 5))
    worked(trial, 5)
    metrics = urlopen(f"http://{trial.web}/metrics", timeout=5).read().decode()
    assert "handoff_backlog 0.0" in metrics
    assert 'handoff_messages_today{became="worked",channel="north"}' in metrics


def test_whoever_is_killed_is_started_again_and_nothing_is_lost(trial):
    before, already = pids(trial), trial.status()["worked"]
    send(trial, islice(trial.messages, 10))
    for name in ("work-1", "deliver-1", "web", "intake"):
        os.kill(before[name], signal.SIGKILL)
    until(lambda: not set(before.values()) - {before["run"]} & set(pids(trial).values()))
    trial.wait_ready()
    assert send(trial, islice(trial.messages, 10)) == ["AA"] * 10
    worked(trial, already + 20)
    assert trial.process.poll() is None


def test_a_stop_drains_a_start_goes_on_and_nobody_outlives_the_supervisor(tmp_path):
    trial = a_trial(tmp_path)
    trial.start()
    children = pids(trial)
    messages = traffic()
    send(trial, islice(messages, 10))
    worked(trial, 10)  # so that there are cursors
    send(trial, islice(messages, 40))
    assert trial.stop() == 0
    assert pids(trial) == {}
    assert not any(alive(pid) for pid in children.values())

    with ahead_of_its_journal(trial.data):
        ended = run(trial)
        assert ended.returncode == 1
        assert "the journal ends at" in ended.stderr

    trial.start()
    worked(trial, 50)
    children = pids(trial)
    trial.process.kill()
    trial.process.wait()
    until(lambda: not any(alive(pid) for pid in children.values()))


@contextmanager
def ahead_of_its_journal(data):
    """The care store has worked what the journal does not hold: it was restored from an older backup."""

    def move(seqs):
        with closing(sqlite3.connect(data / "care.db")) as care, care:
            care.execute(f"UPDATE cursor SET seq = seq + {seqs}")

    move(1000)
    yield
    move(-1000)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def run(trial, *more):
    command = [sys.executable, "-m", "broker", "run", "--project", trial.project, "--data", trial.data]
    return subprocess.run(
        [*map(str, command), "--web", trial.web, *more], capture_output=True, text=True, timeout=120
    )


def test_a_port_that_is_taken_is_named_and_nothing_starts(trial, tmp_path):
    other = Trial(trial.project, tmp_path / "other", f"127.0.0.1:{free_ports(1)[0]}")
    ended = run(other)
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1:" in ended.stderr
    assert "Address already in use" in ended.stderr
    assert pids(other) == {}


def test_a_project_with_a_mistake_starts_nothing_and_names_it(tmp_path):
    trial = a_trial(tmp_path)
    channel = next((trial.project / "channels").glob("*.yaml"))
    channel.write_text(channel.read_text() + "\nretrun: yes\n")
    ended = run(trial)
    assert ended.returncode == 1
    assert channel.name in ended.stderr and "retrun" in ended.stderr
    assert not (trial.data / "care.db").exists()


@pytest.mark.postgres
def test_another_on_postgresql_runs_beside_it_with_two_workers(trial, tmp_path, postgres_server):
    before = trial.status()["worked"]
    name = postgres_server.make_database()
    store = {"HANDOFF_STORE": postgres_server.url(name), "HANDOFF_WORKERS": "2"}
    other = a_trial(tmp_path, store)
    with other.running():
        assert send(other, islice(traffic(), 20)) == ["AA"] * 20
        assert worked(other, 20)["worked"] == 20
        assert {"work-1", "work-2"} <= pids(other).keys()
        assert trial.status()["worked"] == before
    postgres_server.drop_database(name)
