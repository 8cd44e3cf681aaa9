"""`validate: yes`: hl7apy's view of a message's structure, from a process that may hang or die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import broker
from broker.flow.structure import StructureCheck

FIXTURES = Path(broker.__file__).parent.parent / "fixtures"


@pytest.fixture(scope="module")
def check() -> Iterator[StructureCheck]:
    check = StructureCheck(limit_secs=20)
    yield check
    check.close()


def a01() -> bytes:
    return (FIXTURES / "north" / "a01_admission.hl7").read_bytes().replace(b"\n", b"\r")


def without(raw: bytes, name: bytes) -> bytes:
    return b"\r".join(line for line in raw.split(b"\r") if not line.startswith(name))


def test_a_message_as_its_version_says_has_no_problem(check):
    assert check.problem(a01()) is None


def test_a_segment_that_is_missing_is_named(check):
    problem = check.problem(without(a01(), b"PV1"))
    assert problem is not None and problem.code == "101" and "PV1" in problem.text


def test_a_segment_that_may_stand_once_and_stands_twice_is_named(check):
    pid = next(line for line in a01().split(b"\r") if line.startswith(b"PID"))
    problem = check.problem(a01().replace(pid, pid + b"\r" + pid))
    assert problem is not None and problem.code in ("198", "199")


def test_what_stood_in_the_message_is_not_told(check):
    problem = check.problem(without(a01(), b"PV1").replace(b"PID|1", b"PID|MARKED"))
    assert problem is not None and "MARKED" not in problem.text


def test_what_cannot_be_read_at_all_is_said_as_the_reader_says_it(check):
    problem = check.problem(b"no message")
    assert problem is not None and problem.where == "MSH"


def test_a_child_that_takes_too_long_is_given_up_and_another_takes_its_place():
    check = StructureCheck(limit_secs=0)
    slow = check.problem(a01())
    assert slow is not None and slow.code == "207"
    check._limit_secs = 20
    assert check.problem(a01()) is None
    check.close()
