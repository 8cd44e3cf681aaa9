"""What a channel file may say. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema, model_validator

from broker.conditions import Condition
from broker.errors import Hl7Error
from broker.hl7 import Path
from broker.yaml_files import FileModel, Texts, Wrong

__all__ = [
    "DEFAULT_ANSWERS",
    "CareFile",
    "ChannelFile",
    "Mllp",
    "MllpTls",
    "OutboundFile",
    "Receive",
    "Retry",
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
        description="Whether hl7apy also checks the structure, off the hot path: what fails is answered AE "
        "with acknowledge: mapped, else refused.",
    )
    only: Condition | None = Field(
        default=None, description="Messages of which this does not hold are filtered."
    )
    deliver: dict[str, dict[str, Any]] = Field(min_length=1, description="What becomes of them.")

    @model_validator(mode="after")
    def _fits(self) -> ChannelFile:
        for cause in self.answers:
            if cause not in DEFAULT_ANSWERS:
                raise Wrong(
                    "there is no such cause",
                    value=cause,
                    right=", ".join(DEFAULT_ANSWERS),
                    at=("answers", cause),
                )
        return self
