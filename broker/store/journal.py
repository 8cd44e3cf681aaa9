"""The journal: every frame that came, synced before it is acknowledged. Floor 4.

`Writer` is intake's, one thread with group commit; `Reader` is everybody else's, read-only and short.
"""

from broker.store.journal_long import LongFrame
from broker.store.journal_reader import Reader, Run
from broker.store.journal_rows import BATCH_SLOT, QUARANTINE_SLOT, Entry, Head, Receipt, Row
from broker.store.journal_verify import Flaw, verify
from broker.store.journal_writer import Writer

__all__ = [
    "BATCH_SLOT",
    "QUARANTINE_SLOT",
    "Entry",
    "Flaw",
    "Head",
    "LongFrame",
    "Reader",
    "Receipt",
    "Row",
    "Run",
    "Writer",
    "verify",
]
