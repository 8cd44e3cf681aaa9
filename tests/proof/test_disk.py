"""The disk fails once, or is full: nothing that was acknowledged is lost, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.proof.onslaught import Onslaught, acknowledged, until
from tests.proof.verdict import assert_all_is_well

FULL_BYTES = 48 << 20


@pytest.mark.slow
def test_after_a_sync_that_failed_intake_starts_anew_and_nothing_is_lost(
    onslaught: Callable[..., Onslaught], tmp_path: Path, shim_folder: Path
) -> None:
    """A retried fsync can say yes to what the first one lost: the process must not go on."""
    attacked = onslaught()
    attacked.slow(10)
    attacked.trial.start()
    attacked.load((1, 1, 6))
    acknowledged(attacked, 20)
    before, failing = attacked.pids()["intake"], shim_folder / "sqlite.eio"
    failing.touch()
    until(lambda: not failing.exists(), 30, "a sync that fails")
    until(lambda: attacked.pids().get("intake") not in (None, before), 60, "intake starts anew")
    acknowledged(attacked, 20)
    attacked.finish()
    assert sum(sender.repeated for sender in attacked.senders)
    assert_all_is_well(attacked, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can be filled."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.crash
def test_a_full_disk_is_answered_negatively_and_recovers_by_itself(
    small_disk: Path, onslaught: Callable[..., Onslaught], tmp_path: Path
) -> None:
    attacked = onslaught(folder=small_disk)
    attacked.trial.start()
    attacked.load((1, 1, 6))
    acknowledged(attacked, 20)
    before = attacked.pids()["intake"]
    ballast = small_disk / "ballast"
    fill(ballast)
    until(lambda: all(sender.negative > 1 for sender in attacked.senders), 60, "everybody is told no")
    ballast.unlink()
    acknowledged(attacked, 20)
    assert attacked.pids()["intake"] == before
    attacked.finish()
    assert_all_is_well(attacked, tmp_path)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return
