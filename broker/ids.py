"""Names that cannot be guessed. Floor 1.

An id that others see is a keyed hash, under the installation's secret, of what it means (ARCHITECTURE
section 4, "Ids"): the same after a restore, and of no use to whoever tries numbers.
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID, SafeUUID

__all__ = ["Names"]

_FREE = ~((0xF << 76) | (0x3 << 62))  # every bit but those of version and variant (RFC 9562, 5.8)
_VERSION_8 = (0x8 << 76) | (0x2 << 62)


class Names:
    """Makes ids. `secret` is the installation's, at least 16 bytes, backed up with its data."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __call__(self, *words: object) -> UUID:
        """The id for a meaning, given as words; their order counts, their types do not."""
        text = "\x1f".join(map(str, words)).encode()
        number = int.from_bytes(blake2b(text, digest_size=16, key=self._secret[:64]).digest())
        # As UUID(int=...) does, which takes as long as the hash.
        made = object.__new__(UUID)
        object.__setattr__(made, "int", number & _FREE | _VERSION_8)
        object.__setattr__(made, "is_safe", SafeUUID.unknown)
        return made
