"""What became of one attempt to deliver. Floor 2.

A destination returns one of four outcomes and raises nothing for what can go wrong outside. Whether
and when another attempt follows is decided from the class alone, never from the text.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Delivered", "Failed", "Outcome", "Rejected", "Unclear"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """They have it. `proof` is what they answered: an ACK's first line, a queue id. No patient data."""

    proof: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was sent, or they said "later": another attempt is always safe."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """It was sent, and no answer came: they may or may not have it."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """They have read it and said no: the same bytes will be refused again, a person decides."""

    code: str
    detail: str = ""


Outcome = Delivered | Failed | Unclear | Rejected
