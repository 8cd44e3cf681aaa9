"""Who did and saw what: append-only, each row chained to the one before by hash. Floor 4."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Engine, select

from broker.store.batch import AuditPut
from broker.store.hot import Hot, translating
from broker.store.house_tables import AuditRow
from broker.store.open import reading
from broker.store.types import to_micros

__all__ = ["Audit", "AuditEntry", "append_entries"]

START = bytes(32)
_COLUMNS = "id, at, who, what, patient, about, came_from, why, detail, hash"
_INSERT = {
    True: f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    False: f"INSERT INTO audit ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit."""

    number: int
    at: datetime
    entry: AuditPut


def append_entries(hot: Hot, entries: Sequence[AuditPut], now: datetime) -> None:
    """Appends within an open transaction, so that an act and its audit stand or fall together."""
    if not entries:
        return
    if not hot.lite:
        # Who appends waits for who appends: the chain has one end. Readers do not wait.
        hot.run("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE")
    last = hot.run("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").first()
    number, link = (last[0], bytes(last[1])) if last else (0, START)
    for entry in entries:
        number += 1
        link = _link(link, number, now, entry)
        hot.run(
            _INSERT[hot.lite], number, hot.at(now), entry.who, entry.what, entry.patient, entry.about,
            entry.came_from, entry.why, entry.detail, link,
        )  # fmt: skip


def _link(before: bytes, number: int, at: datetime, entry: AuditPut) -> bytes:
    return hashlib.sha256(before + orjson.dumps([number, to_micros(at), *entry])).digest()


class Audit:
    """The audit as operations and pages use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def append(self, entries: Sequence[AuditPut], now: datetime) -> None:
        """Appends entries whose act needs no other row: somebody has looked at a record."""
        with translating(), self._engine.begin() as connection:
            append_entries(Hot(connection), entries, now)

    def verify(self, upto: int | None = None) -> int:
        """Follows the chain and returns the number of the first row that does not fit, 0 when all do.

        With `upto`, the number of the last row as it was noted elsewhere, a missing end is found as well.
        """
        link, number, beyond = START, 0, -1
        while True:
            rows = self._slice(number)
            for row in rows:
                number += 1
                link = _link(link, number, row.at, _entry(row))
                if row.id != number or bytes(row.hash) != link:
                    return number
            if len(rows) < 1000:
                break
        if upto is not None and number < upto:
            beyond = number + 1
        return max(beyond, 0)

    def entries(
        self,
        *,
        patient: int | None = None,
        who: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """The newest first; `before` is the number of the last entry of the page before."""
        asked = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if patient is not None:
            asked = asked.where(AuditRow.patient == patient)
        if who is not None:
            asked = asked.where(AuditRow.who == who)
        if before is not None:
            asked = asked.where(AuditRow.id < before)
        with translating(), self._reading.begin() as connection:
            rows = connection.execute(asked).all()
        return [AuditEntry(row.id, row.at, _entry(row)) for row in rows]

    def _slice(self, after: int) -> Sequence[Any]:
        asked = select(AuditRow).where(AuditRow.id > after).order_by(AuditRow.id).limit(1000)
        with translating(), self._reading.begin() as connection:
            return connection.execute(asked).all()


def _entry(row: Any) -> AuditPut:
    return AuditPut(row.who, row.what, row.patient, row.about, row.came_from, row.why, row.detail)
