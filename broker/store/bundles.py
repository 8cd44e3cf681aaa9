"""Project folders as they were, whole and immutable, each named by its digest. Floor 4."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping

import orjson
from sqlalchemy import Engine, insert, select

from broker.errors import OperationError
from broker.store.audit import append_entries
from broker.store.batch import AuditPut
from broker.store.hot import Hot, database_time, translating
from broker.store.house_tables import ActivationRow, BundleRow
from broker.store.open import reading

__all__ = ["Bundles", "digest_of"]


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, hex: the same for the same files, in whatever order."""
    made = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            made.update(len(part).to_bytes(8, "big"))
            made.update(part)
    return made.hexdigest()


class Bundles:
    """The configurations that were in force, and which one is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def put(self, files: Mapping[str, bytes]) -> str:
        """Stores a project's files (name in the folder -> content); returns the digest. Twice is once."""
        digest = digest_of(files)
        with translating(), self._engine.begin() as connection:
            hot = Hot(connection)
            marks = "?, ?, ?" if hot.lite else "%s, %s, %s"
            hot.run(
                f"INSERT INTO bundle (digest, files, stored_at) VALUES ({marks})"
                " ON CONFLICT (digest) DO NOTHING",
                digest,
                _pack(files),
                hot.at(database_time(hot)),
            )
        return digest

    def get(self, digest: str) -> dict[str, bytes]:
        """The files of a bundle. Raises `OperationError` ("no_bundle")."""
        with translating(), self._reading.begin() as connection:
            packed = connection.execute(select(BundleRow.files).where(BundleRow.digest == digest)).scalar()
        if packed is None:
            raise OperationError(f"there is no configuration {digest[:12]}", code="no_bundle")
        return _unpack(packed)

    def activate(self, digest: str, by: str = "", why: str = "") -> None:
        """Puts a stored bundle in force; nothing changes where it is already. Audited when `by` is given."""
        with translating(), self._engine.begin() as connection:
            number = connection.execute(select(BundleRow.id).where(BundleRow.digest == digest)).scalar()
            if number is None:
                raise OperationError(f"there is no configuration {digest[:12]}", code="no_bundle")
            newest = select(ActivationRow.bundle).order_by(ActivationRow.id.desc()).limit(1)
            if connection.execute(newest).scalar() == number:
                return
            hot = Hot(connection)
            now = database_time(hot)
            connection.execute(insert(ActivationRow), {"bundle": number, "at": now, "by": by, "why": why})
            if by:
                append_entries(hot, [AuditPut(by, "activate", None, f"bundle/{digest}", "", why)], now)

    def active(self) -> tuple[str, dict[str, bytes]]:
        """The digest and the files of the bundle in force. Raises `OperationError` ("no_bundle")."""
        found = (
            select(BundleRow.digest, BundleRow.files)
            .join(ActivationRow, ActivationRow.bundle == BundleRow.id)
            .order_by(ActivationRow.id.desc())
            .limit(1)
        )
        with translating(), self._reading.begin() as connection:
            row = connection.execute(found).first()
        if row is None:
            raise OperationError("no configuration is in force yet", code="no_bundle")
        return row.digest, _unpack(row.files)


def _pack(files: Mapping[str, bytes]) -> bytes:
    lengths = [(name, len(files[name])) for name in sorted(files)]
    head = orjson.dumps(lengths)
    return zlib.compress(len(head).to_bytes(8, "big") + head + b"".join(files[name] for name, _ in lengths))


def _unpack(packed: bytes) -> dict[str, bytes]:
    plain = zlib.decompress(packed)
    start = 8 + int.from_bytes(plain[:8], "big")
    files = {}
    for name, length in orjson.loads(plain[8:start]):
        files[name] = plain[start : start + length]
        start += length
    return files
