"""Messages from files: one or many, framed or plain. Floor 10."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from broker.errors import OperationError
from broker.hl7 import Deframer

__all__ = ["messages_of"]

_ENDS = re.compile(rb"\r\n?|\n")
_BEGIN = re.compile(rb"(?<=\r)(?=MSH)")


def messages_of(name: str) -> Iterator[bytes]:
    """The messages of a file ("-": of standard input), each with CR after every segment.

    A file may hold MLLP frames, or messages one after the other, each beginning at a line with MSH; a batch
    (FHS, BHS) stays whole. Raises `OperationError` when the file cannot be read or holds no message.
    """
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise OperationError(f"{name}: {error.strerror}", code="no_file") from error
    found = 0
    for message in _split(content):
        found += 1
        yield message
    if not found:
        raise OperationError(f"{name} holds no HL7 message", code="no_message")


def _split(content: bytes) -> Iterator[bytes]:
    if b"\x0b" in content:
        yield from Deframer().feed(content)
        return
    text = _ENDS.sub(b"\r", content.removeprefix(b"\xef\xbb\xbf")).strip(b"\r\n ")
    text = re.sub(rb"\r{2,}", b"\r", text)
    if text.startswith((b"FHS", b"BHS")):
        yield text + b"\r"
        return
    for message in _BEGIN.split(text):
        if message.strip():
            yield message.rstrip(b"\r ") + b"\r"
