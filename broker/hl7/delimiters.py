"""The six characters that a message declares in MSH-1 and MSH-2 (HL7 v2, chapter 2.5.4). Floor 1."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

from broker.hl7.unreadable import Unreadable

__all__ = ["STANDARD", "Delimiters", "read_delimiters"]


@dataclass(frozen=True, slots=True)
class Delimiters:
    """One character each; '' where the message declares none. `truncation` splits nothing (v2.7)."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str = ""
    marks: tuple[str, str, str, str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Repetition, component, subcomponent, escape for reading. One that is missing is a CR, which
        # no segment holds, so that reading needs no special case.
        wanted = (self.repetition, self.component, self.subcomponent, self.escape)
        r, c, s, e = (mark or "\r" for mark in wanted)
        object.__setattr__(self, "marks", (r, c, s, e))

    @property
    def encoding(self) -> str:
        """MSH-2 as these delimiters write it."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


STANDARD = Delimiters("|", "^", "~", "\\", "&")


@lru_cache(maxsize=512)
def read_delimiters(separator: str, encoding: str) -> Delimiters:
    """MSH-1 and MSH-2 as delimiters, by position.

    Two or three encoding characters are taken as what stands there (no escape, no subcomponents):
    nothing is added that the sender did not declare. Raises `Unreadable` at MSH-1 or MSH-2.
    """
    if not _may_delimit(separator):
        raise _illegal("MSH-1", "the field separator must be one printable character, no letter and no digit")
    if len(encoding) > 5 and encoding[1:3] == "\\&":
        raise _illegal("MSH-1", "the field separator is missing: the encoding characters follow MSH at once")
    if not 2 <= len(encoding) <= 5:
        raise _illegal("MSH-2", "there must be four or five encoding characters")
    if not all(_may_delimit(character) for character in encoding):
        raise _illegal("MSH-2", "letters, digits, blanks and control characters cannot be delimiters")
    if len(set(separator + encoding)) != 1 + len(encoding):
        raise _illegal("MSH-2", "the same character stands twice among the delimiters")
    component, repetition, escape, subcomponent, truncation = (*encoding, "", "", "")[:5]
    return Delimiters(separator, component, repetition, escape, subcomponent, truncation)


def _may_delimit(character: str) -> bool:
    return "!" <= character <= "~" and not character.isalnum()


def _illegal(where: str, text: str) -> Unreadable:
    return Unreadable(text, code="illegal_delimiters", where=where, ack_code="102")
