"""The child process of `acknowledge: mapped`: a project and messages in, verdicts out. Floor 8."""

from __future__ import annotations

import json
import resource
import sys
from base64 import b64decode
from datetime import UTC, datetime
from typing import BinaryIO

from broker.flow.structure import structure_problem
from broker.flow.verdict import HEADER
from broker.hl7 import Message, Problem, Unreadable
from broker.mapped import Refusal, map_row
from broker.project import Project
from broker.store.journal import Row

__all__ = ["judge", "main"]

MEMORY_BYTES = 2 * 1024**3

# What a refusal is in HL7 table 0357; what is not here is "other".
_CONDITIONS = {
    "missing": "101",
    "unknown_code": "103",
    "bad_time": "102",
    "no_zone": "102",
    "bad_number": "102",
    "bad_value": "102",
    "unknown_site": "204",
    "same_patient": "205",
    "missing_segment": "100",
    "fault": "207",
}
_UNREAD = Row(0, 0, datetime(1970, 1, 1, tzinfo=UTC), 0, *("",) * 14, 0, "", b"")


def judge(project: Project, channel: str, raw: bytes) -> Problem | None:
    """What is wrong with a message, as the worker would find; None: it can be used, or is of no use here."""
    said = project.channels[channel]
    try:
        Message(raw, default_charset=said.default_charset)
    except Unreadable as error:
        return Problem(error.ack_code, error.text, error.where)
    if said.validate and (problem := structure_problem(raw, said.default_charset)):
        return problem
    mapped = map_row(_UNREAD._replace(channel=channel, raw=raw), project, frozenset())
    return _problem(mapped.refusal) if mapped.refusal is not None else None


def _problem(refusal: Refusal) -> Problem:
    return Problem(_CONDITIONS.get(refusal.code, "199"), refusal.text, refusal.where)


def main() -> None:
    """Answers until its parent closes the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a Python door prints must not stand among the verdicts
    files = json.loads(_read(source))
    project = Project.from_files({name: b64decode(body) for name, body in files.items()})
    _write(sink, {})
    while asked := _read(source):
        channel, _, raw = asked.partition(b"\0")
        problem = judge(project, channel.decode(), raw)
        _write(sink, {} if problem is None else _told(problem))


def _told(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "text": problem.text, "where": problem.where}


def _read(source: BinaryIO) -> bytes:
    """The next piece; empty at the end."""
    head = source.read(HEADER.size)
    return source.read(HEADER.unpack(head)[0]) if len(head) == HEADER.size else b""


def _write(sink: BinaryIO, said: dict[str, str]) -> None:
    body = json.dumps(said).encode()
    sink.write(HEADER.pack(len(body)) + body)
    sink.flush()


if __name__ == "__main__":
    main()
