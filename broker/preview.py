"""What a message would cause, field by field, before anything is live. Floor 8: for `try` and for pages.

It decides by the worker's own steps (`decide.py`), in memory, and saves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any

from broker.care.given import Given
from broker.care.rows import Change
from broker.channel import Channel
from broker.decide import decide
from broker.errors import BrokerError
from broker.hl7 import Message, header
from broker.mapped import Mapped, map_row, named
from broker.mapping import apply
from broker.mapping.trace import trace
from broker.project import Project
from broker.records import Records
from broker.store.batch import CodePut, ForwardPut, HandledPut, LoadedRecords
from broker.store.journal import Row

__all__ = ["NOTHING", "FieldSeen", "NoticeSeen", "Preview", "Stored", "previews"]

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Stored:
    """The records that are decided on: by numbers and visits that messages name, or by patient."""

    named: Callable[[Pairs, Pairs], LoadedRecords]
    load: Callable[[Iterable[int]], LoadedRecords]
    reserve: Callable[[], int]


_numbers = count(1)
NOTHING = Stored(
    lambda patients, visits: LoadedRecords(), lambda patients: LoadedRecords(), _numbers.__next__
)


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """One field of a notice: our value, the path that gave it, and what stood there."""

    name: str
    value: Any
    path: str
    raw: str


@dataclass(frozen=True, slots=True)
class NoticeSeen:
    """One notice that a mapping makes of a message, and what the mapping warns of."""

    mapping: str
    kind: str
    site: str
    fields: Sequence[FieldSeen]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that one message would cause."""

    became: HandledPut
    refused: str  # why, in words with the place; "" where it is not
    value: str  # what stood at that place; shown, never logged
    notices: Sequence[NoticeSeen]
    codes: Sequence[CodePut]
    changes: Sequence[Change]
    forwards: Sequence[ForwardPut]


def previews(
    messages: Sequence[bytes], project: Project, channel: Channel, stored: Stored, given: Given
) -> list[Preview]:
    """Maps and decides messages one after the other, each on what the earlier ones left."""
    rows = [_row(raw, number, channel.name, given.now) for number, raw in enumerate(messages, 1)]
    mapped = [map_row(row, project, frozenset()) for row in rows]
    records = Records(stored.named(*named(mapped)), stored.load, stored.reserve)
    return [_preview(one, project, channel, records, given) for one in mapped]


def _preview(mapped: Mapped, project: Project, channel: Channel, records: Records, given: Given) -> Preview:
    batch = decide([mapped], {}, records, given, "")
    (became,) = batch.handled
    aside = batch.aside[0] if batch.aside else None
    refused = ": ".join(filter(None, (aside.where, aside.text))) if aside else ""
    return Preview(
        became=became,
        refused=refused,
        value=aside.value if aside else "",
        notices=tuple(_notices(mapped.row.raw, project, channel)) if mapped.outcome == "worked" else (),
        codes=tuple(batch.codes),
        changes=tuple(batch.changes),
        forwards=tuple(batch.forwards),
    )


def _row(raw: bytes, number: int, channel: str, at: datetime) -> Row:
    """A row as intake would have written it, in a stream that is nobody's."""
    try:
        read = header(raw)
        kind, event, control_id = read.message_type, read.event, read.control_id
        sender, version = f"{read.sending_application}|{read.sending_facility}", read.version
        slot, cause = 0, ""
    except BrokerError as error:
        kind = event = control_id = sender = version = ""
        slot, cause = -1, error.code
    return Row(
        stream=0, seq=number, at=at, slot=slot, channel=channel, peer="", message_type=kind, event=event,
        control_id=control_id, sender=sender, sent_at="", processing_id="", version=version, charset="",
        answer="", cause=cause, bundle="", batch_of="", size=len(raw), digest=sha256(raw).hexdigest(),
        raw=raw,
    )  # fmt: skip


def _notices(raw: bytes, project: Project, channel: Channel) -> Iterator[NoticeSeen]:
    message = Message(raw, default_charset=channel.default_charset)
    for route in channel.route(message).routes:
        if route.mapping is None:
            continue
        mapping, site = project.mappings[route.mapping], project.site_of(channel, route.view)
        applied = apply(mapping, route.view, site, project.tables)
        for notice in applied.notices:
            fields = tuple(FieldSeen(*seen) for seen in trace(mapping, route.view, notice))
            yield NoticeSeen(mapping.name, type(notice).__name__, site.name, fields, applied.warnings)
