"""What a frame is answered, as far as its header tells. Floor 8.

Intake judges nothing but the answer: what is not answered negatively goes to its slot, whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from broker.channel import Channel
from broker.hl7 import NULL, Header, Problem, Unreadable, is_acknowledgement, leaves, mode, wanted
from broker.site import Site
from broker.slots import slot_of

__all__ = ["ENVELOPE", "QUARANTINE", "Judge", "Judged", "Kind", "Ordering", "replies"]

QUARANTINE, ENVELOPE = -1, -2
VERSIONS = frozenset({"2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"})
VERSIONS |= {"2.8.1", "2.8.2", "2.9", "2.9.1"}
MAX_KINDS = 1000
ORDER_BYTES = 64 * 1024  # the field that orders is looked for within so many bytes of a frame

_CAUSE_OF = {
    "several_messages": "several_messages",
    "no_msh": "not_hl7",
    "utf16": "not_hl7",
    "illegal_delimiters": "illegal_delimiters",
}
_REJECTED = ("unsupported_type", "unsupported_event", "unsupported_processing_id", "unsupported_version")
_DEFAULTS = {
    "unreadable": "AE",
    "not_hl7": "AE",
    "illegal_delimiters": "AR",  # the message cannot even be taken apart: v2.5.1, chapter 2.9.2.1
    "no_control_id": "AE",
    "several_messages": "AE",
    "too_long": "AR",
    "never_ending": "AR",
    "store_failed": "AR",
    **dict.fromkeys(_REJECTED, "AA"),
}
_PROBLEMS = {
    "no_control_id": ("101", "MSH-10", "MSH-10 is empty: without it no answer can be matched to the message"),
    "several_messages": ("100", "MSH", "a second message begins in this frame: send one in each frame"),
    "too_long": ("104", "", "the message is longer than this channel takes (its max_bytes)"),
    "never_ending": ("207", "", "the message's end (FS CR) did not come in the time allowed: send it again"),
    "store_failed": ("207", "", "the message could not be stored: send it again"),
    "unsupported_type": ("200", "MSH-9.1", "this channel makes no use of messages of this type"),
    "unsupported_event": ("201", "MSH-9.2", "this channel makes no use of this event"),
    "unsupported_processing_id": ("202", "MSH-11", "this channel takes production's messages only (P)"),
    "unsupported_version": ("203", "MSH-12", "this is no version of HL7 v2 that we know (2.1 to 2.9)"),
}


class Kind(NamedTuple):
    """What messages with the same MSH-9, 11, 12, 15, 16 and 18 have in common."""

    message_type: str
    event: str
    processing_id: str
    version: str
    charset: str
    acknowledges: bool
    """It is an answer itself, and is never answered."""
    codes: tuple[str, ...]
    """What it is answered on its connection when nothing is wrong."""
    noted: str
    """The same for the journal, with what is answered elsewhere (`>AA`)."""
    cause: str
    """Why, for its kind, this channel answers it negatively; empty as nearly always."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Why a frame is answered negatively: a cause, what original mode answers, and sentences for people."""

    cause: str
    code: str
    problems: tuple[Problem, ...]
    header: Header | None

    def codes(self) -> tuple[str, ...]:
        """The answers that its sender gets."""
        if self.header is None:
            return (self.code,)
        return replies(self.header, self.code, cause=self.cause, stored=self.code == "AA")


def replies(
    header: Header, code: str, *, cause: str = "", stored: bool = True, elsewhere: bool = False
) -> tuple[str, ...]:
    """The answers that a message gets on its connection, in their order, as its MSH-15 and MSH-16 want them.

    `code` is what the original mode says. In enhanced mode what is `stored` is so told (CA) before the
    application's answer, which may go `elsewhere`; else the one answer says that it is not (CE, CR).
    """
    if mode(header) == "original":
        return (code,)
    positive = code == "AA"
    if stored:
        told = ("CA",) if wanted(header, "accept", True) else ()
        return (*told, code) if wanted(header, "application", positive) and not elsewhere else told
    if wanted(header, "accept", False):
        return ("CR" if cause in _REJECTED else "CE",)
    return (code,) if wanted(header, "application", False) else ()


class Ordering:
    """Which of the 64 slots a message goes to: by its patient's number, else by its channel."""

    def __init__(self, channel: Channel, site_for: Callable[[Header], Site] | None) -> None:
        path = channel.in_order_of
        # The number, and in the same repetition who gave it (CX-4).
        self._paths = (path, replace(path, text=f"{path}(authority)", component=4, subcomponent=0))
        self._charset = channel.default_charset
        self._channel, self._site_for = channel.name, site_for
        self._resolved: dict[tuple[str, str], str] = {}
        self.without = slot_of("channel", channel.name)

    def slot(self, frame: bytes, header: Header) -> int:
        """The slot; `frame` may be the beginning of a longer one."""
        if len(frame) > ORDER_BYTES:
            frame = frame[:ORDER_BYTES]
        number, stated = leaves(frame, header, self._paths, self._charset)
        if not number or number == NULL:
            return self.without
        key = (header.fields[4] if len(header.fields) > 4 else "", stated)
        authority = self._resolved.get(key)
        if authority is None:
            if len(self._resolved) >= MAX_KINDS:
                self._resolved.clear()
            authority = self._resolved[key] = self._authority_of(header, stated)
        return slot_of(authority, number)

    def _authority_of(self, header: Header, stated: str) -> str:
        if self._site_for is None:
            return f"{self._channel}:{stated}"
        return self._site_for(header).resolve_authority(stated)


class Judge:
    """Judges the frames of one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answers: Mapping[str, str] = channel.answers
        self._elsewhere = channel.answer_to is not None
        self._kinds: dict[Any, Kind] = {}

    def kind(self, header: Header) -> Kind:
        """What the header says, read once for all messages of its kind."""
        fields = header.fields
        key = (fields[1:3], fields[9], fields[11:13], fields[15:19], header.old_event)
        found = self._kinds.get(key)
        if found is None:
            if len(self._kinds) >= MAX_KINDS:
                self._kinds.clear()
            found = self._kinds[key] = self._read(header)
        return found

    def _read(self, header: Header) -> Kind:
        codes = replies(header, "AA", elsewhere=self._elsewhere)
        noted = " ".join(codes)
        if self._elsewhere and mode(header) == "enhanced" and wanted(header, "application", True):
            noted = f"{noted} >AA".strip()
        return Kind(
            header.message_type,
            header.event,
            header.processing_id,
            header.version,
            header.charsets[0] if header.charsets else "",
            is_acknowledgement(header),
            codes,
            noted,
            self._unwanted(header),
        )

    def _unwanted(self, header: Header) -> str:
        """The first cause for which this channel turns such a message away: none, unless it is told to."""
        found: list[str] = []
        if not self._channel.knows_type(header.message_type):
            found.append("unsupported_type")
        elif not self._channel.knows_event(header.message_type, header.event):
            found.append("unsupported_event")
        if header.processing_id != "P":
            found.append("unsupported_processing_id")
        if header.version not in VERSIONS:
            found.append("unsupported_version")
        return next((cause for cause in found if self._answers.get(cause, "AA") != "AA"), "")

    def unreadable(self, error: Unreadable) -> Judged:
        """The judgement on a frame whose header cannot be read."""
        cause = _CAUSE_OF.get(error.code, "unreadable")
        problem = Problem(error.ack_code, error.text, error.where)
        return Judged(cause, self._answers.get(cause, _DEFAULTS[cause]), (problem,), error.partial)

    def negative(self, cause: str, header: Header | None) -> Judged:
        """The judgement for a cause; in the words of an analyst."""
        number, where, text = _PROBLEMS[cause]
        code = self._answers.get("too_long" if cause == "never_ending" else cause, _DEFAULTS[cause])
        return Judged(cause, code, (Problem(number, text, where),), header)

    def unmappable(self, header: Header, problem: Problem) -> Judged:
        """The judgement on a message that the mapping cannot use."""
        return Judged("unmappable", self._answers.get("unmappable", "AE"), (problem,), header)
