"""Messages, records and a project in, decisions out. Floor 7.

The worker, `try`, previews and replay all decide here, so what is shown beforehand is what happens.
Nothing here reads a clock, a socket or a database: what was loaded comes in, what is to be saved goes out.
The steps are those of a batch (ARCHITECTURE section 4): `map_row` of `mapped.py` is step 2, `named` says what
step 3 must load, `decide` is step 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import structlog

from broker.care.facts import Act, Fact, FactId
from broker.care.given import Directory, Given, Reach
from broker.care.rows import Cause, TimerPut
from broker.errors import BrokerError
from broker.mapped import Mapped, Refusal, Said, fault, place_of, seen_key, visits_of
from broker.project import Project
from broker.records import Records
from broker.store.batch import (
    AsidePut,
    Batch,
    CodePut,
    ForwardPut,
    HandledPut,
    NoticePut,
    SeenKey,
    SeenPut,
)

log = structlog.get_logger()

PUT_OFF = timedelta(hours=1)


def decide(
    mapped: Sequence[Mapped],
    seen: Mapping[SeenKey, tuple[int, int]],
    records: Records,
    given: Given,
    bundle: str,
) -> Batch:
    """Step 4: what follows from each message, in order, in memory. A message that fails touches nothing."""
    batch = Batch()
    known = dict(seen)
    for one in mapped:
        _decide_one(one, known, records, given, bundle, batch)
    batch.records += records.puts()
    batch.untouched += records.untouched()
    return batch


def _decide_one(
    one: Mapped,
    known: dict[SeenKey, tuple[int, int]],
    records: Records,
    given: Given,
    bundle: str,
    batch: Batch,
) -> None:
    row = one.row
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
    batch.handled.append(_handled(one, patient, bundle))


def _react(one: Mapped, records: Records, given: Given, batch: Batch) -> int | None:
    """Makes facts of what was said and works them; the batch is touched only when all of them held."""
    row = one.row
    facts: list[Fact] = []
    notices: list[NoticePut] = []
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
            said.notice.model_dump(mode="json", exclude_unset=True),
        )
        facts.append(fact)
        notices.append(NoticePut(*fact.id, fact.patient, orjson.dumps(fact.stated)))
        involved |= {fact.patient} | ({retired} if retired is not None else set())
        involved |= _owners(said, records)
    changes = records.work(facts, involved, given) if facts else ()
    batch.notices += notices
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
    owners = {records.owner_of((said.site, visit)) for visit in visits_of(said)}
    return {owner for owner in owners if owner is not None}


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
            log.error("timer.fault", error=type(error).__name__, place=place_of(error))
            later = given.now + PUT_OFF
            batch.changes.append(
                TimerPut(patient=patient, n=timer, kind="due", due_at=later, cause=Cause(None))
            )
            batch.untouched.append((patient, records.loaded.records[patient].version))
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
