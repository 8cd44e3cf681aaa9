"""What goes into the journal and what comes out of it: entries, receipts, rows, their keys and their chain.

A row's key is `stream << 40 | seq`, its place (at, stream, seq). The chain of a row is a digest of the
row before, of its bytes' digest and of its own fields, so that a row that is changed, taken away or put in
between is found, also when the bytes have been let go.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

__all__ = [
    "BATCH_SLOT",
    "DAY_MICROS",
    "NO_CHAIN",
    "PART_BYTES",
    "QUARANTINE_SLOT",
    "SEQ_BITS",
    "SEQ_MASK",
    "Entry",
    "Head",
    "Receipt",
    "Row",
    "key_of",
    "link",
    "words_of",
]

QUARANTINE_SLOT = -1
BATCH_SLOT = -2

SEQ_BITS = 40
SEQ_MASK = (1 << SEQ_BITS) - 1
PART_BYTES = 1 << 20
DAY_MICROS = 86_400_000_000
NO_CHAIN = bytes(32)

_LONGEST_TEXT = 250
_SEPARATOR = "\x1f"
_LINKED = Struct(">qqh")


def key_of(stream: int, seq: int) -> int:
    return stream << SEQ_BITS | seq


class Entry(NamedTuple):
    """One frame as intake hands it over. The texts are as the sender wrote them."""

    raw: bytes
    slot: int
    channel: str
    peer: str = ""
    message_type: str = ""
    event: str = ""
    control_id: str = ""
    sender: str = ""
    sent_at: str = ""
    processing_id: str = ""
    version: str = ""
    charset: str = ""
    answer: str = ""
    cause: str = ""
    bundle: str = ""
    batch_of: str = ""


class Receipt(NamedTuple):
    """Where an entry stands, once it is on disk."""

    stream: int
    seq: int
    at: datetime


class Head(NamedTuple):
    """A row without its bytes. `digest` is the SHA-256 of the bytes, as hex; `size` their count."""

    stream: int
    seq: int
    at: datetime
    slot: int
    channel: str
    peer: str
    message_type: str
    event: str
    control_id: str
    sender: str
    sent_at: str
    processing_id: str
    version: str
    charset: str
    answer: str
    cause: str
    bundle: str
    batch_of: str
    size: int
    digest: str


class Row(NamedTuple):
    """A row with its bytes."""

    stream: int
    seq: int
    at: datetime
    slot: int
    channel: str
    peer: str
    message_type: str
    event: str
    control_id: str
    sender: str
    sent_at: str
    processing_id: str
    version: str
    charset: str
    answer: str
    cause: str
    bundle: str
    batch_of: str
    size: int
    digest: str
    raw: bytes


_SEPARATORS = len(Entry._fields) - 3  # all but raw and slot are words


def words_of(entry: Entry) -> tuple[tuple[str, ...], bytes]:
    """The texts as both stores can hold them, and joined, for the chain.

    NUL, lone surrogates and our separator become U+FFFD; a text is cut at 250 characters, so that nobody
    fills a row by writing megabytes into MSH-10. The bytes as they came are kept beside.
    """
    words: tuple[str, ...] = entry[2:]
    joined = _SEPARATOR.join(words)
    if len(joined) > _LONGEST_TEXT or "\x00" in joined or joined.count(_SEPARATOR) != _SEPARATORS:
        words = tuple(map(_storable, words))
        joined = _SEPARATOR.join(words)
    try:
        return words, joined.encode()
    except UnicodeEncodeError:
        words = tuple(word.encode("utf-8", "replace").decode() for word in words)
        return words, _SEPARATOR.join(words).encode()


def _storable(word: str) -> str:
    return word[:_LONGEST_TEXT].replace("\x00", "\ufffd").replace(_SEPARATOR, "\ufffd")


def link(chain: bytes, before: int, key: int, slot: int, digest: bytes, words: bytes) -> bytes:
    """The chain of a row: `chain` is that of the row before, zeros for a stream's first.

    `before` is the time, in microseconds, of the last earlier row of the stream that has another time than
    this one (0: none): a group learns its time only as it is written, so its times are sealed by the next.
    """
    return sha256(b"".join((chain, _LINKED.pack(before, key, slot), digest, words))).digest()
