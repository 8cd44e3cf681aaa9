"""FHS and BHS batches: one frame with many messages, cut apart and answered together. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.hl7.delimiters import STANDARD, Delimiters, read_delimiters
from broker.hl7.escape import escape
from broker.hl7.header import BLANK
from broker.hl7.times import format_time
from broker.hl7.unreadable import MAX_BATCH_LINES, MAX_HEADER_BYTES, MAX_MESSAGES, Unreadable, too_many

__all__ = ["Batch", "compose_batch", "reassemble", "split_batch"]

_ENVELOPE = (b"FHS", b"BHS", b"BTS", b"FTS")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, cut. `envelope` is the frame without its messages; message n stood at `places[n]` of it.

    `declared` is BTS-1 (summed over the batches of a file), None where it is not given: when it is
    not the number of messages, some were lost on the way.
    """

    envelope: bytes
    messages: tuple[bytes, ...]
    places: tuple[int, ...]
    delimiters: Delimiters
    file_header: tuple[str, ...]
    batch_header: tuple[str, ...]
    declared: int | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The first header's fields (BHS, else FHS), latin-1; 3-6 are the endpoints, 11 the control id."""
        return self.batch_header or self.file_header

    @property
    def control_id(self) -> str:
        return self.fields[11] if len(self.fields) > 11 else ""

    @property
    def complete(self) -> bool:
        """Whether as many messages came as the sender says it sent."""
        return self.declared is None or self.declared == len(self.messages)


def split_batch(frame: bytes) -> Batch | None:
    """The batch that a frame holds; None when it begins with neither FHS nor BHS.

    Raises `Unreadable` when its header cannot be read.
    """
    if frame.lstrip(BLANK)[:3] not in (b"FHS", b"BHS"):
        return None
    begins = _beginnings(frame)
    messages: list[bytes] = []
    places: list[int] = []
    headers: dict[bytes, tuple[str, ...]] = {}
    declared, counted = 0, False
    envelope = bytearray(frame[: begins[0][0]])
    for (start, name), (stop, _) in zip(begins, [*begins[1:], (len(frame), b"")], strict=True):
        piece = frame[start:stop]
        if name == b"MSH":
            messages.append(piece)
            places.append(len(envelope))
            continue
        envelope += piece
        fields = _fields(piece, name.decode())
        if name in (b"FHS", b"BHS"):
            headers.setdefault(name, fields)
        elif name == b"BTS" and len(fields) > 1 and fields[1].strip().isdecimal():
            declared, counted = declared + int(fields[1].strip()[:9]), True
    file_header, batch_header = headers.get(b"FHS", ()), headers.get(b"BHS", ())
    return Batch(
        bytes(envelope),
        tuple(messages),
        tuple(places),
        _delimiters(batch_header or file_header),
        file_header,
        batch_header,
        declared if counted else None,
    )


def reassemble(envelope: bytes, messages: Sequence[bytes], places: Sequence[int]) -> bytes:
    """The frame as it came, from what `split_batch` made of it."""
    frame, at = bytearray(), 0
    for message, place in zip(messages, places, strict=True):
        frame += envelope[at:place] + message
        at = place
    return bytes(frame + envelope[at:])


def compose_batch(batch: Batch, acks: Sequence[bytes], *, control_id: str, now: datetime) -> bytes:
    """A batch of acknowledgements, with swapped endpoints, in a file where the batch came in one.

    BHS-12 and FHS-12 refer to the control ids that came. `acks` are payloads, one a message.
    """
    answer = bytearray()
    if batch.file_header:
        answer += _header("FHS", batch.file_header, batch.delimiters, control_id, now)
    answer += _header("BHS", batch.fields, batch.delimiters, control_id, now)
    for ack in acks:
        answer += ack
    separator = batch.delimiters.field
    answer += f"BTS{separator}{len(acks)}\r".encode()
    if batch.file_header:
        answer += f"FTS{separator}1\r".encode()
    return bytes(answer)


def _header(
    name: str, came: tuple[str, ...], delimiters: Delimiters, control_id: str, now: datetime
) -> bytes:
    came = came + ("",) * (13 - len(came))
    fields = [
        name,
        delimiters.encoding,
        came[5],
        came[6],
        came[3],
        came[4],
        escape(format_time(now), delimiters),
    ]
    fields += ["", "", "", escape(control_id, delimiters), came[11]]
    return (delimiters.field.join(fields).rstrip(delimiters.field) + "\r").encode("latin-1", "replace")


def _beginnings(frame: bytes) -> list[tuple[int, bytes]]:
    """Where messages and envelope segments begin, in order."""
    if frame.count(b"\r") + frame.count(b"\n") > MAX_BATCH_LINES:
        raise too_many("lines in a batch", "MAX_BATCH_LINES", MAX_BATCH_LINES, "")
    start = len(frame) - len(frame.lstrip(BLANK))
    found = [(start, frame[start : start + 3])]
    for name in (b"MSH", *_ENVELOPE):
        for end in (b"\r", b"\n"):
            at = frame.find(end + name, start)
            while at >= 0:
                if not frame[at + 4 : at + 5].isalnum():
                    found.append((at + 1, name))
                    if len(found) > MAX_MESSAGES:
                        raise too_many("messages in a batch", "MAX_MESSAGES", MAX_MESSAGES, "")
                at = frame.find(end + name, at + 4)
    return sorted(found)


def _fields(piece: bytes, name: str) -> tuple[str, ...]:
    line = re.split(rb"[\r\n]", piece[:MAX_HEADER_BYTES], maxsplit=1)[0].decode("latin-1")
    separator = line[3:4] or STANDARD.field
    first, *rest = line.split(separator)
    return (name, separator, *rest) if name in ("FHS", "BHS") else (first, *rest)


def _delimiters(opening: tuple[str, ...]) -> Delimiters:
    name = opening[0] if opening else "BHS"
    try:
        return read_delimiters(opening[1], opening[2])
    except (IndexError, Unreadable) as error:
        text = error.text if isinstance(error, Unreadable) else "the delimiters are missing"
        where = f"{name}-1" if not isinstance(error, Unreadable) else error.where.replace("MSH", name)
        raise Unreadable(text, code="illegal_delimiters", where=where, ack_code="102") from error
