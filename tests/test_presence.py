import subprocess
import sys

import pytest

from broker.errors import OperationError
from broker.presence import Presence, present


def test_a_process_is_seen_for_as_long_as_it_lives(tmp_path):
    note = Presence(tmp_path / "run", "work-1", metrics_port=9471)
    (seen,) = present(tmp_path / "run")
    assert (seen.name, seen.metrics_port) == ("work-1", 9471)
    note.close()
    assert list(present(tmp_path / "run")) == []


def test_a_beat_moves_the_time_on(tmp_path):
    note = Presence(tmp_path, "work-1")
    (before,) = present(tmp_path)
    note.beat()
    (after,) = present(tmp_path)
    assert after.beat_at > before.beat_at
    note.close()


LIVES = """
import pathlib, sys
from broker.presence import Presence

note = Presence(pathlib.Path(sys.argv[1]), "work-1")
print("here", flush=True)
sys.stdin.read()
"""


def test_who_was_killed_is_not_taken_for_alive(tmp_path):
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", LIVES, str(tmp_path)], stdin=pipe, stdout=pipe)
    assert child.stdout.readline() == b"here\n"
    assert [seen.pid for seen in present(tmp_path)] == [child.pid]
    child.kill()
    child.communicate()
    assert list(present(tmp_path)) == []


def test_two_of_one_name_do_not_run_on_one_data_folder(tmp_path):
    first = Presence(tmp_path, "intake")
    with pytest.raises(OperationError, match="intake runs already"):
        Presence(tmp_path, "intake")
    first.close()
    Presence(tmp_path, "intake").close()


def test_a_process_is_ready_when_it_says_so(tmp_path):
    note = Presence(tmp_path, "intake")
    (before,) = present(tmp_path)
    note.ready()
    note.beat()
    (after,) = present(tmp_path)
    note.close()
    assert (before.ready, after.ready) == (False, True)
