"""Files: one for each delivery, whole or not at all. Floor 5."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from threading import Lock
from typing import Literal
from uuid import UUID

import orjson
from pydantic import Field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from broker.destinations.base import Destination, DestinationOptions, Parcel, Tools
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear

__all__ = ["File"]

CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EACCES: "not_permitted",
    errno.EPERM: "not_permitted",
    errno.EROFS: "not_permitted",
    errno.ENOENT: "no_folder",
    errno.ENOTDIR: "no_folder",
    errno.ELOOP: "no_folder",
}


class File(DestinationOptions):
    """Writes each delivery to a file of its own, `<delivery id>.hl7`, `.txt` or `.json`, whole or not at all.

    What an outbound mapping composed is written as it is; without one, the content as JSON.
    """

    folder: Path = Field(description="Made if it is not there. Relative: within the data folder.")
    readable_by: Literal["owner", "group"] = Field(
        default="owner", description="Who may read the files: the broker's user, or its group too."
    )

    def open(self, tools: Tools) -> Destination:
        return _Folder(
            tools.out_folder / self.folder, 0o640 if self.readable_by == "group" else 0o600, self, tools
        )


class _Folder:
    """Writes in threads of its own, so that a disk that hangs holds up nobody else."""

    def __init__(self, folder: Path, mode: int, options: File, tools: Tools) -> None:
        self._folder, self._mode, self._tools = folder, mode, tools
        self._pool = ThreadPool(0, options.connections, name="destination-file")
        self._open: set[Deferred[Outcome]] = set()
        self._closed = self._swept = False
        self._sweeping = Lock()

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        if self._closed:
            return _now(Failed("closed"))
        if not self._pool.started:
            self._pool.start()
        work: Deferred[Outcome] = deferToThreadPool(self._tools.reactor, self._pool, self._write, parcel)
        work.addErrback(_fault)
        self._open.add(work)
        result: Deferred[Outcome] = Deferred()

        def settle(outcome: Outcome) -> Outcome:
            self._open.discard(work)
            result.callback(outcome)
            return outcome

        work.addCallback(settle)
        return result

    def _write(self, parcel: Parcel) -> Outcome:
        if self._tools.reactor.seconds() > parcel.send_before:
            return Failed("too_late")
        with self._sweeping:
            if not self._swept:
                sweep(self._folder)
                self._swept = True
        return write_whole(self._folder, self._mode, parcel)

    def close(self) -> Deferred[None]:
        self._closed = True
        ended: Deferred[None] = DeferredList(list(self._open)).addCallback(lambda _: None)

        def stop(nothing: None) -> None:
            if self._pool.started:
                self._pool.stop()

        return ended.addCallback(stop)


def sweep(folder: Path) -> None:
    """Takes away what a process that was killed while it wrote has left under passing names."""
    for left in folder.glob(".*.part"):
        left.unlink(missing_ok=True)


def write_whole(folder: Path, mode: int, parcel: Parcel) -> Outcome:
    """Writes the parcel under a passing name, syncs it, gives it its name and syncs the folder.

    Blocks. The name is made of our own id alone, and every step goes through the open folder, so that
    nothing outside says where the bytes end up.
    """
    try:
        name = f"{UUID(parcel.delivery)}{_suffix(parcel.payload)}"
    except ValueError:
        return Rejected("bad_id")
    passing = f".{name}.{secrets.token_hex(4)}.part"
    body = parcel.payload if parcel.payload is not None else _as_json(parcel)
    named = False
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                _write(root, passing, mode, body)
                os.rename(passing, name, src_dir_fd=root, dst_dir_fd=root)
                named = True
            finally:
                if not named:
                    _remove(root, passing)
            os.fsync(root)
        finally:
            os.close(root)
    except OSError as error:
        code = CODES.get(error.errno or 0, "not_written")
        return Unclear(code) if named else Failed(code)
    return Delivered(f"{name} {len(body)} bytes")


def _write(root: int, name: str, mode: int, body: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, mode, dir_fd=root), "wb", buffering=0) as file:
        rest = memoryview(body)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def _remove(root: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=root)
    except OSError:
        return  # it was never made, or the disk is gone with it


def _suffix(payload: bytes | None) -> str:
    if payload is None:
        return ".json"
    return ".hl7" if payload[:3] in (b"MSH", b"FHS", b"BHS") else ".txt"


def _as_json(parcel: Parcel) -> bytes:
    """The content and what was asked to be done with it, its keys in a fixed order."""
    told = {
        "delivery": parcel.delivery,
        "notification": parcel.notification,
        "kind": parcel.kind,
        "act": parcel.act,
        "version": parcel.version,
        "recipient": parcel.recipient,
        "address": parcel.address,
        "link": parcel.link,
        "content": dict(parcel.content),
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _now(outcome: Outcome) -> Deferred[Outcome]:
    ended: Deferred[Outcome] = Deferred()
    ended.callback(outcome)
    return ended


def _fault(failure: Failure) -> Outcome:
    """What the thread itself raised: content that cannot be written as JSON."""
    return Rejected("unwritable", failure.type.__name__ if failure.type else "")
