"""What a destination type is: its options, the parcel it is given, the tools it may use. Floor 5."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from twisted.internet.defer import Deferred

from broker.errors import DestinationError
from broker.outcome import Outcome

__all__ = [
    "Destination",
    "DestinationOptions",
    "Parcel",
    "SecretPlace",
    "Tools",
    "secret_from",
    "without_delay",
]

SecretPlace = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")]
"""Where a secret stands, `env:NAME` or `file:PATH`; never the secret itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One thing to be brought to one address, as it was rendered when it was claimed.

    `delivery` is the delivery's own id, the same at every attempt: it is what makes a repeat
    recognisable. `payload` is what the outbound mapping composed (or the bytes that are passed on);
    None where only `content` is to be told. `lane` tells parcels apart that must stay in order (one
    patient's are all in one lane). No first byte of the content leaves after `send_before`, which is
    in the reactor's seconds.
    """

    delivery: str
    content: Mapping[str, object]
    payload: bytes | None = None
    kind: str = ""
    act: Literal["tell", "correct", "retract", "forward", "answer"] = "tell"
    version: int = 1
    address: str = ""
    recipient: str = ""
    link: str = ""
    notification: str = ""
    lane: int = 0
    send_before: float = float("inf")


class Destination(Protocol):
    """One open destination."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Brings one parcel there. Raises nothing for what can go wrong outside: it is an Outcome."""

    def close(self) -> Deferred[None]:
        """Fires once nothing is open any more. What is under way is settled first, as it then stands."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a destination needs of the world. `reactor` gives network, time and threads.

    `folder` is where relative paths of certificates and secrets start (the project), `out_folder`
    where those of written files do (the data). `trust_roots` None: those of the operating system.
    """

    reactor: Any
    now: Callable[[], datetime]
    folder: Path
    out_folder: Path
    secret: Callable[[str], str]
    trust_roots: Any = None


class DestinationOptions(BaseModel):
    """The options of one destination type. Every value may come as text, as YAML files give it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    needs_payload: ClassVar[bool] = False
    """True where there is nothing to send without a mapping that composes it."""

    connections: int = Field(
        default=1, ge=1, le=64, description="At most so many at once. One patient's stay in order."
    )
    safe_to_repeat: bool = Field(
        default=True,
        description="Whether a delivery whose answer was lost may be sent again. If not, a person decides.",
    )

    def open(self, tools: Tools) -> Destination:
        """Makes the destination. Raises `DestinationError` when a file or secret that it names is missing."""
        raise NotImplementedError


def secret_from(place: str, folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Reads a secret from where `place` says; the last line break of a file is not part of it.

    Raises `DestinationError` ("no_secret") when it is not there or empty.
    """
    kind, _, name = place.partition(":")
    try:
        secret = environment[name] if kind == "env" else (folder / name).read_text("utf-8").rstrip("\r\n")
    except (KeyError, OSError, UnicodeDecodeError):
        secret = ""
    if not secret:
        raise DestinationError(f"there is no secret at {place}", code="no_secret")
    return secret


def without_delay(transport: Any) -> None:
    """Small writes leave at once: waiting for the other side's TCP ACK would cost 40 ms each."""
    if hasattr(transport, "setTcpNoDelay"):
        transport.setTcpNoDelay(True)
