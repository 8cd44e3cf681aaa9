"""HL7 v2: bytes to Message and back. Floor 1: no I/O, no clock."""

from broker.hl7.ack import (
    Acknowledged,
    Answer,
    Problem,
    acknowledge,
    is_acknowledgement,
    mode,
    read_acknowledgement,
    wanted,
)
from broker.hl7.batches import Batch, compose_batch, reassemble, split_batch
from broker.hl7.compose import compose
from broker.hl7.delimiters import STANDARD, Delimiters
from broker.hl7.escape import escape, unescape
from broker.hl7.framing import Deframer, LongFrame, frame
from broker.hl7.groups import View
from broker.hl7.header import Header, header
from broker.hl7.message import NULL, Message, leaf, leaves, parse
from broker.hl7.paths import Path
from broker.hl7.times import flags, format_time, parse_date, parse_time, precision
from broker.hl7.unreadable import Unreadable

__all__ = [
    "NULL",
    "STANDARD",
    "Acknowledged",
    "Answer",
    "Batch",
    "Deframer",
    "Delimiters",
    "Header",
    "LongFrame",
    "Message",
    "Path",
    "Problem",
    "Unreadable",
    "View",
    "acknowledge",
    "compose",
    "compose_batch",
    "escape",
    "flags",
    "format_time",
    "frame",
    "header",
    "is_acknowledgement",
    "leaf",
    "leaves",
    "mode",
    "parse",
    "parse_date",
    "parse_time",
    "precision",
    "read_acknowledgement",
    "reassemble",
    "split_batch",
    "unescape",
    "wanted",
]
