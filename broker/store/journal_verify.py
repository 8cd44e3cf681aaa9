"""Is the journal as it was written: the chain of each stream, and the digest of all bytes kept. Floor 4."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from broker.store.journal_reader import CHUNK_ROWS, Reader
from broker.store.journal_rows import NO_CHAIN, SEQ_MASK, link
from broker.store.types import to_micros

__all__ = ["Flaw", "verify"]


class Flaw(NamedTuple):
    """A row that is not as it was written: `missing`, `changed`, or its `bytes` are not those that came."""

    stream: int
    seq: int
    what: str


def verify(reader: Reader) -> Iterator[Flaw]:
    """Goes through every stream, a chunk at a time, and yields what is wrong, oldest first.

    A stream's end is known where it has ended; of one that is being written the rows so far are looked at.
    Bytes that were let go are no flaw: the chain needs their digest only.
    """
    for stream, greatest in sorted(reader.greatest().items()):
        yield from _verify_stream(reader, stream, greatest)


def _verify_stream(reader: Reader, stream: int, greatest: int) -> Iterator[Flaw]:
    chain, at, before, seq = NO_CHAIN, 0, 0, 0
    while seq < greatest:
        rows = reader.range(stream, seq, CHUNK_ROWS)
        if not rows:
            yield Flaw(stream, seq + 1, "missing")
            return
        for fields in rows:
            found = fields[0] & SEQ_MASK
            if found != seq + 1:
                yield Flaw(stream, seq + 1, "missing")
            seq = found
            now = fields[1] if isinstance(fields[1], int) else to_micros(fields[1])
            if now != at:
                before, at = at, now
            expected = link(chain, before, fields[0], fields[2], fields[-5], _joined(fields))
            if expected != fields[-4]:
                yield Flaw(stream, seq, "changed")
            chain = fields[-4]
            if not _bytes_are_right(reader, fields):
                yield Flaw(stream, seq, "bytes")


def _joined(fields: Any) -> bytes:
    words: tuple[str, ...] = tuple(fields[3:-6])
    return "\x1f".join(words).encode()


def _bytes_are_right(reader: Reader, fields: Any) -> bool:
    parts = [fields[-3], *(map(int, fields[-2].split(",")) if fields[-2] else ())]
    digest, size = sha256(), 0
    for part in parts:
        body = reader.bodies([part], [fields[-1]]).get(part)
        if body is None:
            return True
        digest.update(body)
        size += len(body)
    return (size, digest.digest()) == (fields[-6], fields[-5])
