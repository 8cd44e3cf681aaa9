"""Messages, records and a project in, decisions out. Floor 7.

The worker, `try`, previews and replay all decide here, so what is shown beforehand is what happens.
Nothing here reads a clock, a socket or a database: what was loaded comes in, what is to be saved goes out.
The steps are those of a batch (ARCHITECTURE section 4): `map_row` is step 2, `named` says what step 3 must
load, `decide` is step 4.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from broker.care.facts import Act, Fact, FactId
from broker.care.given import Directory, Given, Reach
from broker.care.rows import Cause, TimerPut
from broker.channel import Route
from broker.errors import BrokerError
from broker.hl7 import Message
from broker.mapping import UnknownCode, apply
from broker.notices import IdentityNotice, Notice
from broker.project import Project
from broker.records import Number, Records
from broker.store.batch import (
    Aside,
    AsidePut,
    Batch,
    CodePut,
    ForwardPut,
    HandledPut,
    NoticePut,
    SeenKey,
    SeenPut,
)
from broker.store.journal import Row

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
PUT_OFF = timedelta(hours=1)


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
    place = _place(error)
    log.error("message.fault", id=f"{row.stream}.{row.seq}", error=type(error).__name__, place=place)
    return Refusal("fault", place, type(error).__name__)


def _place(error: BaseException) -> str:
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
            visits |= {(said.site, visit) for visit in _visits(said)}
    return patients, visits


@dataclass(slots=True)
class Decided:
    """What a batch decided: the batch to save and, for each message, what became of it."""

    batch: Batch
    became: dict[tuple[int, int], HandledPut] = field(default_factory=dict)


def decide(
    mapped: Sequence[Mapped],
    seen: Mapping[SeenKey, tuple[int, int]],
    records: Records,
    given: Given,
    bundle: str,
) -> Decided:
    """Step 4: what follows from each message, in order, in memory. A message that fails touches nothing."""
    decided = Decided(Batch())
    known = dict(seen)
    for one in mapped:
        _decide_one(one, known, records, given, bundle, decided)
    decided.batch.records += records.puts()
    decided.batch.untouched += records.untouched()
    return decided


def _decide_one(
    one: Mapped,
    known: dict[SeenKey, tuple[int, int]],
    records: Records,
    given: Given,
    bundle: str,
    decided: Decided,
) -> None:
    row, batch = one.row, decided.batch
    here, key = (row.stream, row.seq), seen_key(row)
    stands_for = known.get(key) if row.slot >= 0 and row.control_id else None
    if stands_for is not None and stands_for != here:
        one = replace(one, outcome="repeated", why=f"repeats {stands_for[0]}.{stands_for[1]}", said=())
    elif row.slot >= 0 and row.control_id and stands_for is None:
        known[key] = here
        batch.seen.append(SeenPut(key, row.stream, row.seq, row.at))
    patient: int | None = None
    if one.outcome == "worked":
        try:
            patient = _react(one, records, given, batch)
        except BrokerError as error:
            one = replace(
                one, outcome="refused", refusal=Refusal(error.code, error.where, error.text, error.value)
            )
        except Exception as error:
            one = replace(one, outcome="refused", refusal=fault(error, row))
        else:
            batch.codes += [
                CodePut(row.channel, code.table, code.code, code.path, *here) for code in one.codes
            ]
    if one.aside is not None:
        batch.taken.append(one.aside)
    if one.outcome in ("refused", "paused"):
        patient = patient if patient is not None else _known_patient(one, records)
        batch.aside.append(_set_aside(one, patient))
    if one.answer_to:
        batch.forwards.append(_answer(one, patient, given))
    put = _handled(one, patient, bundle)
    batch.handled.append(put)
    decided.became[here] = put


def _react(one: Mapped, records: Records, given: Given, batch: Batch) -> int | None:
    """Makes facts of what was said and works them; the batch is touched only when all of them held."""
    row = one.row
    facts: list[Fact] = []
    involved: set[int] = set()
    for n, said in enumerate(one.said):
        retired = records.patient_of(said.retired) if said.retired else None
        fact = Fact(
            FactId(row.stream, row.seq, type(said.notice).__name__, n),
            said.notice,
            records.patient_of(said.number),
            retired,
            said.site,
            row.channel,
            row.digest,
            said.mute,
        )
        facts.append(fact)
        involved |= {fact.patient} | ({retired} if retired is not None else set())
        involved |= _owners(said, records)
    changes = records.work(facts, involved, given) if facts else ()
    batch.notices += [
        NoticePut(*fact.id, fact.patient, fact.said.model_dump_json(exclude_unset=True).encode())
        for fact in facts
        if isinstance(fact.said, Notice)
    ]
    batch.changes += changes
    batch.forwards += [
        ForwardPut(
            name=given.name_of(
                "forward", row.channel, row.sender, row.control_id, row.digest, route.delivery
            ),
            act="forward",
            stream=row.stream,
            seq=row.seq,
            slot=row.slot,
            patient=facts[0].patient if facts else None,
            destination=f"{row.channel}/{route.delivery}",
            not_before=given.now,
        )
        for route in one.forwards
    ]
    return facts[0].patient if facts else None


def _answer(one: Mapped, patient: int | None, given: Given) -> ForwardPut:
    """The application acknowledgement that goes elsewhere. A repeat has an answer of its own."""
    row = one.row
    return ForwardPut(
        name=given.name_of("answer", row.channel, row.stream, row.seq),
        act="answer",
        stream=row.stream,
        seq=row.seq,
        slot=row.slot,
        patient=patient,
        destination=one.answer_to,
        not_before=given.now,
    )


def _owners(said: Said, records: Records) -> set[int]:
    """The patients under whom the visits that a notice names are known already."""
    owners = {records.owner_of((said.site, visit)) for visit in _visits(said)}
    return {owner for owner in owners if owner is not None}


def _visits(said: Said) -> list[str]:
    keys = ("visit_id", "retired_visit_id", "prior_visit_id")
    return [visit for key in keys if (visit := getattr(said.notice, key, None))]


def _known_patient(one: Mapped, records: Records) -> int | None:
    """Whose record is incomplete because of this message, where that can be said."""
    return records.known(one.said[0].number) if one.said else None


def _set_aside(one: Mapped, patient: int | None) -> AsidePut:
    refusal = one.refusal or Refusal("paused", "", one.why)
    return AsidePut(
        stream=one.row.stream,
        seq=one.row.seq,
        slot=one.row.slot,
        channel=one.row.channel,
        state="paused" if one.outcome == "paused" else "refused",
        code=refusal.code,
        where=refusal.where,
        text=refusal.text,
        value=refusal.value,
        patient=patient,
        event=one.row.event,
    )


def _handled(one: Mapped, patient: int | None, bundle: str) -> HandledPut:
    row = one.row
    return HandledPut(
        stream=row.stream,
        seq=row.seq,
        at=row.at,
        channel=row.channel,
        event=row.event,
        control_id=row.control_id,
        patient=patient,
        outcome=one.outcome,
        why=one.why or (one.refusal.code if one.refusal else ""),
        notices=len(one.said) if one.outcome == "worked" else 0,
        mute=any(said.mute for said in one.said),
        bundle=bundle,
    )


def decide_due(due: Iterable[tuple[int, int]], records: Records, given: Given) -> Batch:
    """What follows from time alone: each (patient, timer) that fell due is looked at again without a fact.

    One that fails, by a fault of ours, is put off and stops no other.
    """
    batch = Batch()
    for patient, timer in due:
        try:
            batch.changes += records.work((), (patient,), given)
        except Exception as error:
            log.error("timer.fault", error=type(error).__name__, place=_place(error))
            later = given.now + PUT_OFF
            batch.changes.append(
                TimerPut(patient=patient, n=timer, kind="due", due_at=later, cause=Cause(None))
            )
        else:
            batch.timers_done.append((patient, timer))
    batch.records += records.puts()
    return batch


def decide_act(act: Act, number: int, records: Records, given: Given) -> Batch:
    """What follows from what a person did. Raises `OperationError` where the record does not allow it."""
    fact = Fact(FactId(0, number, act.kind, 0), act, act.patient)
    batch = Batch()
    batch.changes += records.work((fact,), (act.patient,), given)
    batch.records += records.puts()
    return batch


def narrowed(directory: Directory, project: Project) -> Directory:
    """The directory, each way to reach somebody limited to what its outbound channel takes."""
    takes = {name: frozenset(channel.notifications) for name, channel in project.channels.items()}

    def limited(reach: Reach) -> Reach:
        kinds = takes.get(reach.destination.partition("/")[0])
        return replace(reach, kinds=kinds if reach.kinds is None else reach.kinds & kinds) if kinds else reach

    return Directory({key: tuple(map(limited, ways)) for key, ways in directory.entries.items()})


def given_of(project: Project, directory: Directory, now: datetime, name_of: Callable[..., UUID]) -> Given:
    """What a decision of this project rests on beside the facts; `directory` is narrowed already."""
    return Given(
        rules=project.rules,
        tells=project.tells,
        policy=project.policy,
        sites=project.site_facts,
        directory=directory,
        now=now,
        name_of=name_of,
    )
