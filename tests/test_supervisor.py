import os
import signal
import sys

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from broker.presence import present
from broker.supervisor import Supervisor

CHILD = """
import pathlib, signal, sys, time
from broker.presence import Presence

ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note = Presence(pathlib.Path(sys.argv[1]), sys.argv[2])
while not ends:
    if "stuck" not in sys.argv:
        note.beat()
    time.sleep(0.01)
"""


@pytest.fixture
def children(tmp_path):
    """A supervisor of children that beat; they are gone when the test ends."""
    supervisor = Supervisor(reactor, tmp_path, drain_secs=0.5, batch_secs=0.2)

    def add(name, *words):
        command = [sys.executable, "-c", CHILD, str(tmp_path), name, *words]
        supervisor.add(name, command, dict(os.environ))

    supervisor.start_with = add
    yield supervisor
    if supervisor.running:
        pytest_twisted.blockon(supervisor.stopService())


async def seen(folder, name, other_than=0):
    """The pid that a child notes of itself, once it is not `other_than`. Looks every 20 ms, for 10 s."""
    for _ in range(500):
        for noted in present(folder):
            if noted.name == name and noted.pid != other_than:
                return noted.pid
        await deferLater(reactor, 0.02)
    raise AssertionError(f"{name} did not come")


@pytest_twisted.ensureDeferred
async def test_a_child_that_is_killed_is_started_again(children, tmp_path):
    children.start_with("intake")
    children.startService()
    first = await seen(tmp_path, "intake")
    assert children.pids() == {"intake": first}
    os.kill(first, signal.SIGKILL)
    second = await seen(tmp_path, "intake", other_than=first)
    assert children.pids() == {"intake": second}


@pytest_twisted.ensureDeferred
async def test_a_worker_that_makes_no_progress_is_killed_and_started_again(children, tmp_path):
    children.start_with("work-1", "stuck")
    children.start_with("deliver-1", "stuck")
    children.startService()
    worker, sender = await seen(tmp_path, "work-1"), await seen(tmp_path, "deliver-1")
    await seen(tmp_path, "work-1", other_than=worker)
    assert children.pids()["deliver-1"] == sender


@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_the_children_and_kills_who_does_not_end(children, tmp_path):
    children.start_with("intake")
    children.start_with("web", "deaf")
    children.startService()
    pids = [await seen(tmp_path, "intake"), await seen(tmp_path, "web")]
    stopped = children.stopService()
    assert isinstance(stopped, Deferred)
    await stopped
    assert children.pids() == {}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
