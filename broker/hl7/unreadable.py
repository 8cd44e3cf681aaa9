"""What we do not read, why, and how much of anything is read at most. Floor 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.errors import Hl7Error

if TYPE_CHECKING:
    from broker.hl7.header import Header

__all__ = [
    "MAX_BATCH_LINES",
    "MAX_COMPONENTS",
    "MAX_FIELDS",
    "MAX_HEADER_BYTES",
    "MAX_LINES",
    "MAX_MESSAGES",
    "MAX_REPETITIONS",
    "MAX_SEGMENTS",
    "MAX_SUBCOMPONENTS",
    "Unreadable",
    "too_many",
]

# Counted before anything is built from the text, so that a hostile message costs a count and no memory.
MAX_HEADER_BYTES = 64 * 1024
MAX_MESSAGES = 10_000  # in a batch
MAX_BATCH_LINES = 1_000_000
MAX_SEGMENTS = 20_000
MAX_LINES = 100_000  # where LF and CR are mixed
MAX_FIELDS = 2_000  # in a segment
MAX_REPETITIONS = 10_000  # in a field
MAX_COMPONENTS = 50_000  # in a field: waveforms (NA, CH) send thousands
MAX_SUBCOMPONENTS = 10_000  # in a field


class Unreadable(Hl7Error):
    """These bytes cannot be read as HL7: kept in quarantine and answered negatively.

    `ack_code` is the number of HL7 table 0357 for the answer, `partial` the header as far as it could
    be read (so that the answer can echo MSH-10 and swap the endpoints), `frames` the whole frames
    that came before a stream went wrong, `beginning` the first bytes of the frame that is too long.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str,
        where: str = "",
        value: str = "",
        ack_code: str = "199",
        partial: Header | None = None,
        frames: Sequence[bytes] = (),
        beginning: bytes = b"",
    ) -> None:
        super().__init__(text, code=code, where=where, value=value)
        self.ack_code = ack_code
        self.partial = partial
        self.frames = list(frames)
        self.beginning = beginning


def too_many(what: str, limit: str, bound: int, where: str, partial: Header | None = None) -> Unreadable:
    """The error for a count past its bound; names the limit."""
    text = f"more than {bound} {what}: the limit is {limit}"
    return Unreadable(text, code="too_many", where=where, ack_code="198", partial=partial)
