"""The 64 ordered queues that patients are spread over. Floor 1.

The number is stored with every journal row, so it must never change: not with a restart, a release or a
machine. That is why it is a digest and not `hash()`.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["SLOTS", "slot_of"]

SLOTS = 64


def slot_of(authority: str, number: str) -> int:
    """The slot of a patient's number; a message without one goes by `("channel", its channel)`."""
    digest = blake2b(f"{authority}\x1f{number}".encode("utf-8", "surrogatepass"), digest_size=2)
    return int.from_bytes(digest.digest()) % SLOTS
