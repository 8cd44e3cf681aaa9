"""A channel: where messages come from, which count, what becomes of them. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from broker.channel_file import DEFAULT_ANSWERS, ChannelFile, Mllp, Retry, Use
from broker.conditions import Condition, Tables
from broker.errors import MappingError
from broker.hl7 import Message, Path, View

__all__ = ["DEFAULT_ANSWERS", "Care", "Channel", "Mllp", "Outbound", "Retry", "Route", "Routed"]


@dataclass(frozen=True, slots=True)
class Care:
    """Notices for the care core: mappings by event."""

    map: Mapping[str, tuple[Use, ...]]


@dataclass(frozen=True, slots=True)
class Outbound:
    """One destination of a channel. `options` are its type's, checked and typed; `map` by notification."""

    to: str
    options: Any
    when: Condition | None
    retry: Retry
    claim_secs: float
    map: Mapping[str, str]


class Route(NamedTuple):
    """One thing that becomes of a message. `mapping` None: it is passed on as it is."""

    delivery: str
    mapping: str | None
    view: View
    number: int


@dataclass(frozen=True, slots=True)
class Routed:
    """What becomes of a message; why, where nothing does."""

    routes: tuple[Route, ...]
    why: str = ""


@dataclass(frozen=True)
class Channel:
    """A channel, ready to route."""

    name: str
    said: ChannelFile
    deliver: Mapping[str, Care | Outbound]
    tables: Tables
    answers: Mapping[str, str] = field(init=False)
    _forwards: tuple[tuple[str, Outbound], ...] = field(init=False)
    _care: tuple[tuple[str, Mapping[str, tuple[Use, ...]]], ...] = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "answers", {**DEFAULT_ANSWERS, **self.said.answers})
        items = self.deliver.items()
        put(self, "_forwards", tuple((name, one) for name, one in items if isinstance(one, Outbound)))
        put(self, "_care", tuple((name, one.map) for name, one in items if isinstance(one, Care)))

    @property
    def title(self) -> str:
        return self.said.channel

    @property
    def contact(self) -> str:
        return self.said.contact

    @property
    def receive(self) -> Mllp | tuple[str, ...]:
        """The port, or the kinds of notification."""
        return self.said.receive.mllp or self.said.receive.notifications or ()

    @property
    def mllp(self) -> Mllp | None:
        return self.said.receive.mllp

    @property
    def notifications(self) -> tuple[str, ...]:
        return self.said.receive.notifications or ()

    @property
    def sites(self) -> tuple[str, ...]:
        return self.said.sites

    @property
    def state(self) -> Literal["live", "quiet", "history"]:
        return self.said.state

    @property
    def acknowledge(self) -> Literal["stored", "mapped"]:
        return self.said.acknowledge

    @property
    def answer_to(self) -> str | None:
        return self.said.answer_to

    @property
    def in_order_of(self) -> Path:
        return self.said.in_order_of

    @property
    def default_charset(self) -> str | None:
        return self.said.default_charset

    @property
    def validate(self) -> bool:
        return self.said.validate_

    @property
    def only(self) -> Condition | None:
        return self.said.only

    def knows_type(self, message_type: str) -> bool:
        """Whether messages of this type are of use here. One that is passed on needs no mapping."""
        if self._forwards:
            return True
        return any(message_type == _type_of(event) for _, events in self._care for event in events)

    def knows_event(self, message_type: str, event: str) -> bool:
        """Whether an event of a type is of use here."""
        return bool(self._forwards) or any(_uses_of(events, message_type, event) for _, events in self._care)

    def route(self, message: Message) -> Routed:
        """What becomes of a message. Raises `MappingError` where a mapping's group is not there."""
        tables, only = self.tables, self.said.only
        if only is not None and not only.holds(message, tables):
            return Routed((), "filtered by only")
        header = message.header
        if header.message_type == "ACK":
            return Routed((), "an acknowledgement")
        routes: list[Route] = []
        why = "filtered by when"
        for name, events in self._care:
            uses = _uses_of(events, header.message_type, header.event)
            if not uses:
                why = "no mapping for this event"
            for use in uses:
                if use.for_each is None:
                    if use.when is None or use.when.holds(message, tables):
                        routes.append(Route(name, use.use, message, len(routes)))
                else:
                    self._route_each(name, use, message, routes)
        for name, outbound in self._forwards:
            if outbound.when is None or outbound.when.holds(message, tables):
                routes.append(Route(name, None, message, len(routes)))
        return Routed(tuple(routes), "" if routes else why)

    def _route_each(self, name: str, use: Use, message: Message, routes: list[Route]) -> None:
        assert use.for_each is not None
        views = message.each(use.for_each)
        if not views:
            segment = {"PATIENT": "PID", "ORDER": "OBR"}[use.for_each]
            raise MappingError(
                f"{use.use} needs {segment}: there is none", code="missing_segment", where=segment
            )
        for view in views:
            if use.when is None or use.when.holds(view, self.tables):
                routes.append(Route(name, use.use, view, len(routes)))


def _type_of(key: str) -> str:
    """The message type that a key of `map` is about; an event alone says it by its letter."""
    named, hat, _ = key.partition("^")
    return named if hat else {"A": "ADT", "R": "ORU", "S": "SIU", "T": "MDM", "V": "VXU"}.get(key[:1], "")


def _uses_of(events: Mapping[str, tuple[Use, ...]], message_type: str, event: str) -> tuple[Use, ...]:
    return events.get(f"{message_type}^{event}") or events.get(event) or ()
