"""A channel: where messages come from, which count, what becomes of them. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema, model_validator

from broker.conditions import Condition, Tables
from broker.errors import Hl7Error, MappingError
from broker.hl7 import Message, Path, View
from broker.yaml_files import FileModel, Texts, Wrong

__all__ = [
    "DEFAULT_ANSWERS",
    "Care",
    "CareFile",
    "Channel",
    "ChannelFile",
    "Mllp",
    "Outbound",
    "OutboundFile",
    "Retry",
    "Route",
    "Routed",
    "Use",
]

Code = Literal["AA", "AE", "AR"]
DEFAULT_ANSWERS: Mapping[str, Code] = {
    "unreadable": "AE", "not_hl7": "AE", "illegal_delimiters": "AR",
    "several_messages": "AE", "no_control_id": "AE", "unmappable": "AE",
    "too_long": "AR", "store_failed": "AR",
    "unsupported_type": "AA", "unsupported_event": "AA", "unsupported_processing_id": "AA",
    "unsupported_version": "AA",
}  # fmt: skip


class MllpTls(FileModel):
    """What a port shows, and whom it lets in. Files are named from the project's folder."""

    cert_file: str = Field(description="PEM: our certificate, and those between it and its authority.")
    key_file: str = Field(description="PEM: its private key.")
    client_trust_file: str | None = Field(
        default=None, description="PEM: authorities of the senders' certificates. Not said: they need none."
    )


class Mllp(FileModel):
    """A port that is listened on."""

    port: int = Field(ge=0, le=65535, description="0: a free one.")
    host: str = Field(default="127.0.0.1", description="The address to listen on. Loopback, where not said.")
    max_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="The longest message that is taken."
    )
    frame_secs: float = Field(default=60, gt=0, description="From a frame's first byte to its last.")
    idle_secs: float = Field(default=600, gt=0, description="Silence after which a connection is closed.")
    max_connections: int = Field(default=512, ge=1, description="More are refused, counted and logged.")
    allow: Texts = Field(
        default=(), description="Networks (10.1.0.0/16) that may connect. Not said: everybody."
    )
    tls: MllpTls | None = Field(default=None, description="TLS. Not said: plain MLLP, on loopback only.")
    insecure_plain: bool = Field(
        default=False,
        description="Plain MLLP beyond loopback, which whoever is on the way can read and write.",
    )

    @model_validator(mode="after")
    def _safe(self) -> Mllp:
        for network in self.allow:
            try:
                ip_network(network)
            except ValueError as error:
                raise Wrong(
                    "allow: not a network", value=network, right="10.1.0.0/16", at=("allow",)
                ) from error
        if self.tls is None and not self.insecure_plain and not _is_loopback(self.host):
            raise Wrong(
                "plain MLLP beyond loopback is open to everybody on the way: say tls, or insecure_plain: yes",
                value=self.host,
                right="127.0.0.1",
                at=("host",),
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Receive(FileModel):
    """Where it comes from: exactly one of these."""

    mllp: Mllp | None = None
    notifications: Texts | None = Field(
        default=None, description="Kinds of notification that leave this way."
    )

    @model_validator(mode="after")
    def _one(self) -> Receive:
        if (self.mllp is None) == (self.notifications is None):
            raise Wrong("receive: exactly one of mllp and notifications is expected")
        return self


class Use(FileModel):
    """One mapping for an event."""

    use: str = Field(description="The mapping's name.")
    when: Condition | None = Field(default=None, description="Only messages of which this holds.")
    for_each: Literal["PATIENT", "ORDER"] | None = Field(
        default=None, description="Once for each such group."
    )


def _uses(value: Any) -> Any:
    if isinstance(value, (str, dict)):
        value = [value]
    return (
        [{"use": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value
    )


Uses = Annotated[tuple[Use, ...], BeforeValidator(_uses)]


class Retry(FileModel):
    """When a delivery that failed is tried again."""

    first_secs: float = Field(default=5, gt=0, description="The first wait; then it is doubled, up to 300.")
    give_up_hours: float = Field(default=72, gt=0, description="After so long it is given up, and shown.")


class OutboundFile(FileModel):
    """What every destination under `deliver:` may say, beside the options of its type."""

    to: str = Field(description="The type of destination: mllp, smtp, file, ...")
    when: Condition | None = Field(default=None, description="Only what this holds of.")
    retry: Retry = Retry()
    claim_secs: float = Field(
        default=60, gt=0, description="No first byte is sent later than so long after it was claimed."
    )
    map: dict[str, str] = Field(
        default_factory=dict, description="Kind of notification: the mapping that writes it."
    )


class CareFile(FileModel):
    """`care:` under `deliver:`."""

    map: dict[str, Uses] = Field(
        min_length=1, description="Event (A03) or type and event (ORU^R01): mappings."
    )


def _path(value: Any) -> Any:
    try:
        return Path.parse(value) if isinstance(value, str) else value
    except Hl7Error as error:
        raise Wrong(error.text, value=str(value)) from error


PathText = Annotated[InstanceOf[Path], BeforeValidator(_path), WithJsonSchema({"type": "string"})]


class ChannelFile(FileModel):
    """What `channels/NAME.yaml` may say; what stands under `deliver:` is told by its `to:`."""

    channel: str = Field(min_length=1, description="What it is, for people.")
    contact: str = Field(default="", description="Whom to ask about it.")
    receive: Receive
    sites: Texts = Field(default=(), description="The facilities whose messages come here.")
    state: Literal["live", "quiet", "history"] = Field(
        default="live", description="quiet: worked, but nobody is told; history: as quiet, of long ago."
    )
    acknowledge: Literal["stored", "mapped"] = Field(
        default="stored",
        description="When AA is said: as soon as it is on disk, or once the mapping can use it.",
    )
    answer_to: str | None = Field(
        default=None, description="channel/destination that application acknowledgements go to."
    )
    answers: dict[str, Code] = Field(default_factory=dict, description="Cause: AA, AE or AR. See the manual.")
    in_order_of: PathText = Field(
        default=Path.parse("PID-3"), description="The field of the number whose messages never overtake."
    )
    default_charset: str | None = Field(
        default=None, description="Where MSH-18 is empty: 8859/1 and the like."
    )
    validate_: bool = Field(
        default=False,
        alias="validate",
        description="Whether hl7apy also checks the structure, off the hot path.",
    )
    only: Condition | None = Field(
        default=None, description="Messages of which this does not hold are filtered."
    )
    deliver: dict[str, dict[str, Any]] = Field(min_length=1, description="What becomes of them.")

    @model_validator(mode="after")
    def _fits(self) -> ChannelFile:
        if self.validate_ and self.acknowledge != "mapped":
            raise Wrong(
                "validate: only with acknowledge: mapped, where a sender hears of it",
                value="yes",
                right="acknowledge: mapped",
                at=("validate",),
            )
        for cause in self.answers:
            if cause not in DEFAULT_ANSWERS:
                raise Wrong(
                    "there is no such cause",
                    value=cause,
                    right=", ".join(DEFAULT_ANSWERS),
                    at=("answers", cause),
                )
        return self


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
