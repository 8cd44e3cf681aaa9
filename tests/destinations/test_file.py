"""Files: one for each delivery, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from broker.destinations import Tools
from broker.destinations.file import File, write_whole
from broker.outcome import Delivered, Failed, Rejected, Unclear

DELIVERY = "5f1d2c3b-0a49-4b58-8c67-1d2e3f405162"


@ensureDeferred
async def test_what_was_composed_is_written_as_it_is(tools: Tools, parcel: Any) -> None:
    files = File(folder=Path("westside")).open(tools)
    outcome = await files.deliver(parcel())
    await files.close()
    written = tools.out_folder / "westside" / f"{DELIVERY}.hl7"
    assert outcome == Delivered(f"{DELIVERY}.hl7 {written.stat().st_size} bytes")
    assert written.read_bytes() == parcel().payload
    assert written.stat().st_mode & 0o777 == 0o600


@ensureDeferred
async def test_without_a_mapping_the_content_is_written_as_json(tools: Tools, parcel: Any) -> None:
    files = File(folder=Path("westside"), readable_by="group").open(tools)
    await files.deliver(parcel(payload=None, act="retract", version=3))
    await files.close()
    written = tools.out_folder / "westside" / f"{DELIVERY}.json"
    told = json.loads(written.read_bytes())
    assert (told["act"], told["version"], told["content"]["disposition"]) == ("retract", 3, "home")
    assert written.stat().st_mode & 0o777 == 0o640


def test_the_same_id_writes_the_same_file(tmp_path: Path, parcel: Any) -> None:
    write_whole(tmp_path, 0o600, parcel(payload=b"first"))
    write_whole(tmp_path, 0o600, parcel(payload=b"second"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(f"{DELIVERY}.txt", b"second")]


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "a\0b", "", ".", "x" * 5000])
def test_a_name_that_is_not_our_own_id_writes_nothing(tmp_path: Path, parcel: Any, name: str) -> None:
    assert write_whole(tmp_path / "root", 0o600, parcel(delivery=name)) == Rejected("bad_id")
    assert list(tmp_path.iterdir()) == []


def test_a_link_planted_under_the_name_is_replaced_and_not_followed(tmp_path: Path, parcel: Any) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / f"{DELIVERY}.hl7").symlink_to(outside)
    assert isinstance(write_whole(folder, 0o600, parcel()), Delivered)
    assert outside.read_bytes() == b"theirs"
    assert not (folder / f"{DELIVERY}.hl7").is_symlink()


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_disk_that_fails_before_the_name_is_given_leaves_nothing(
    tmp_path: Path, parcel: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr("broker.destinations.file._write", full)
    else:
        monkeypatch.setattr(os, step, full)
    assert write_whole(tmp_path, 0o600, parcel()) == Failed("disk_full")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_leaves_it_unclear(
    tmp_path: Path, parcel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    synced: list[int] = []

    def second_fails(number: int) -> None:
        synced.append(number)
        if len(synced) == 2:
            raise OSError(5, "Input/output error")
        real(number)

    monkeypatch.setattr(os, "fsync", second_fails)
    assert write_whole(tmp_path, 0o600, parcel()) == Unclear("not_written")


@ensureDeferred
async def test_nothing_is_written_after_the_claim_has_run_out(
    tools: Tools, parcel: Any, by_hand: Any
) -> None:
    by_hand.clock.advance(31)
    files = File(folder=Path("westside")).open(tools)
    assert await files.deliver(parcel(send_before=30)) == Failed("too_late")
    await files.close()
    assert not tools.out_folder.exists()


@ensureDeferred
async def test_content_that_json_cannot_hold_is_rejected(tools: Tools, parcel: Any) -> None:
    files = File(folder=Path("westside")).open(tools)
    outcome = await files.deliver(parcel(payload=None, content={"x": object()}))
    assert outcome == Rejected("unwritable", "TypeError")
    await files.close()


def names(folder: Path) -> list[str]:
    return os.listdir(folder)


DIES_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from broker.destinations import Parcel
from broker.destinations import file

real = os.fsync
def die(number):
    real(number)
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = die
file.write_whole(Path(sys.argv[1]), 0o600, Parcel(delivery=sys.argv[2], content={}, payload=b"MSH|" * 9999))
"""


@pytest.fixture
def left_behind(tools: Tools) -> Path:
    """A folder in which a process was killed while it wrote."""
    folder = tools.out_folder / "westside"
    died = subprocess.run([sys.executable, "-c", DIES_WHILE_WRITING, str(folder), DELIVERY], check=False)
    assert died.returncode == -9
    return folder


@ensureDeferred
async def test_a_process_that_dies_while_it_writes_leaves_nothing_that_is_seen(
    left_behind: Path, tools: Tools, parcel: Any
) -> None:
    [left] = names(left_behind)
    assert left.startswith(".")
    files = File(folder=Path("westside")).open(tools)
    assert isinstance(await files.deliver(parcel()), Delivered)
    await files.close()
    assert names(left_behind) == [f"{DELIVERY}.hl7"]
