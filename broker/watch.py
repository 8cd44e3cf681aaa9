"""Looks at a broker from outside its processes: its stores, and the notes that they leave. Floor 9."""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.home import Home
from broker.presence import present
from broker.project import Project
from broker.status import ProcessStatus, Readiness, Status, readiness, status_of
from broker.store.bundles import Bundles
from broker.store.care import CareStore
from broker.store.journal import Reader
from broker.store.open import open_engine
from broker.store.standing import standing

__all__ = ["Watch"]


class Watch:
    """For pages and commands. Each question is answered anew; the configuration is read when it changes.

    `expected` are the processes that must live for the broker to be ready.
    """

    def __init__(self, home: Home, expected: Sequence[str] = ()) -> None:
        self._home, self._expected = home, expected
        self._engine = open_engine(home.stores.care_url, role="care")
        self._care = CareStore(self._engine)
        self._bundles = Bundles(self._engine)
        self._reader = Reader(open_engine(home.stores.journal_url, role="journal", read_only=True))
        self._known: tuple[str, Project] | None = None

    def status(self) -> Status:
        """How everything stands. Raises `StoreError` when a database does not answer."""
        now = self._care.now()
        found = standing(self._engine, now)
        journaled = sum(self._reader.greatest().values())
        bundle, project = self._configuration()
        return status_of(now, project, bundle, journaled, found, self._processes())

    def readiness(self) -> Readiness:
        """Whether messages can be taken, worked and delivered now."""
        probes = {"journal": self._reader.greatest, "care": self._care.now}
        return readiness(probes, self._expected, self._processes(), self._home.settings.batch_secs)

    def close(self) -> None:
        self._engine.dispose()

    def _configuration(self) -> tuple[str, Project]:
        digest, files = self._bundles.active()
        if self._known is None or self._known[0] != digest:
            self._known = (digest, Project.from_files(files))
        return self._known

    def _processes(self) -> list[ProcessStatus]:
        now = time.monotonic()
        return [ProcessStatus.of(noted, now) for noted in present(self._home.notes)]
