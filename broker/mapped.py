"""A message after it was read, routed and mapped: step 2 of a batch. Floor 7.

Never raises: what is wrong with a message is its outcome, and its neighbours go on.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import structlog

from broker.channel import Route
from broker.errors import BrokerError
from broker.hl7 import Message
from broker.mapping import UnknownCode, apply
from broker.notices import IdentityNotice, Notice
from broker.project import Project
from broker.records import Number
from broker.store.batch import Aside, SeenKey
from broker.store.journal import Row

__all__ = [
    "Mapped",
    "Outcome",
    "Refusal",
    "Said",
    "fault",
    "map_row",
    "named",
    "place_of",
    "seen_key",
    "visits_of",
]

log = structlog.get_logger()

Outcome = Literal["worked", "repeated", "filtered", "refused", "paused", "quarantine"]


@dataclass(frozen=True, slots=True)
class Said:
    """One notice of a message, with what its site and channel say of it."""

    notice: Notice
    site: str
    mute: bool

    @property
    def number(self) -> Number:
        """Authority and number of the patient."""
        return self.notice.patient.number.authority, self.notice.patient.number.value

    @property
    def retired(self) -> Number | None:
        """The other patient that the notice names; its authority is the patient's where MRG states none."""
        other = self.notice.retired if isinstance(self.notice, IdentityNotice) else None
        if other is None:
            return None
        return other.authority or self.notice.patient.number.authority, other.value


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message cannot be used: a code, the path, a sentence, and what stood there (never logged)."""

    code: str
    where: str
    text: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A message after step 2. `outcome` is final unless it is worked, which step 4 may turn into refused.

    `answer_to`: the destination that its application acknowledgement still has to go to.
    """

    row: Row
    outcome: Outcome
    why: str = ""
    said: tuple[Said, ...] = ()
    forwards: tuple[Route, ...] = ()
    codes: tuple[UnknownCode, ...] = ()
    refusal: Refusal | None = None
    aside: Aside | None = None
    answer_to: str = ""


def seen_key(row: Row) -> SeenKey:
    """What makes a message the same as an earlier one: channel, sender, control id and bytes."""
    return SeenKey(row.channel, row.sender, row.control_id, row.digest)


def map_row(row: Row, project: Project, paused: frozenset[str], aside: Aside | None = None) -> Mapped:
    """Reads, routes and maps one message. Never raises: what is wrong with a message is its outcome."""
    mapped = _map_row(row, project, paused, aside)
    if ">" in row.answer and aside is None and (channel := project.channels.get(row.channel)):
        return replace(mapped, answer_to=channel.answer_to or "")
    return mapped


def _map_row(row: Row, project: Project, paused: frozenset[str], aside: Aside | None) -> Mapped:
    if row.slot < 0:
        return Mapped(
            row, "quarantine" if row.slot == QUARANTINE else "filtered", row.cause or "batch envelope"
        )
    if row.channel in paused:
        return Mapped(row, "paused", "its channel is paused", aside=aside)
    channel = project.channels.get(row.channel)
    if channel is None:
        return _refused(
            row, aside, Refusal("no_channel", "", "the project has no channel of this name any more")
        )
    try:
        message = Message(row.raw, default_charset=channel.default_charset)
        routed = channel.route(message)
        if not routed.routes:
            return Mapped(row, "filtered", routed.why, aside=aside)
        return _mapped(row, project, message, routed.routes, aside)
    except BrokerError as error:
        return _refused(row, aside, Refusal(error.code, error.where, error.text, error.value))
    except Exception as error:  # a Python door or a fault of ours: the message is kept, the next goes on
        return _refused(row, aside, fault(error, row))


QUARANTINE = -1


def _mapped(
    row: Row, project: Project, message: Message, routes: Iterable[Route], aside: Aside | None
) -> Mapped:
    channel = project.channels[row.channel]
    said: list[Said] = []
    codes: list[UnknownCode] = []
    forwards: list[Route] = []
    for route in routes:
        if route.mapping is None:
            forwards.append(route)
            continue
        site = project.site_of(channel, route.view)
        applied = apply(project.mappings[route.mapping], route.view, site, project.tables)
        mute = channel.state != "live" or site.is_test_patient(message)
        said += [Said(notice, site.name, mute) for notice in applied.notices]
        codes += applied.unknown_codes
    return Mapped(row, "worked", "", tuple(said), tuple(forwards), tuple(codes), aside=aside)


def _refused(row: Row, aside: Aside | None, refusal: Refusal) -> Mapped:
    return Mapped(row, "refused", refusal.code, refusal=refusal, aside=aside)


def fault(error: BaseException, row: Row) -> Refusal:
    """A refusal for an exception that nobody foresaw: its place alone, for its text may be a patient's."""
    place = place_of(error)
    log.error("message.fault", id=f"{row.stream}.{row.seq}", error=type(error).__name__, place=place)
    return Refusal("fault", place, type(error).__name__)


def place_of(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rsplit('/broker/', 1)[-1]}:{frame.lineno}"


def named(mapped: Iterable[Mapped]) -> tuple[set[Number], set[tuple[str, str]]]:
    """Every patient and every visit (site, visit id) that step 3 must load."""
    patients: set[Number] = set()
    visits: set[tuple[str, str]] = set()
    for one in mapped:
        for said in one.said:
            patients.add(said.number)
            if said.retired:
                patients.add(said.retired)
            visits |= {(said.site, visit) for visit in visits_of(said)}
    return patients, visits


def visits_of(said: Said) -> list[str]:
    """The visit numbers that a notice names."""
    notice = said.notice
    return [visit for key in _visit_keys(type(notice)) if (visit := getattr(notice, key))]


@cache
def _visit_keys(kind: type[Notice]) -> tuple[str, ...]:
    return tuple(
        key for key in ("visit_id", "retired_visit_id", "prior_visit_id") if key in kind.model_fields
    )
