"""A journal to write to from a test, as intake does from its reactor."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from broker.errors import StoreError
from broker.store.journal import Entry, LongFrame, Reader, Receipt, Writer
from broker.store.open import Stores

PATIENCE_SECS = 30


class Journal:
    """A writer whose answers are waited for. `posts` counts how often it posted, `deaths` why it died."""

    def __init__(self, url: str, **options: Any) -> None:
        self.posts = 0
        self.deaths: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.writer = Writer(url, post=self._posted.put, on_death=self.deaths.put, **options)

    def ask(self, entries: Iterable[Entry]) -> list[Receipt | StoreError]:
        """Accepts all of them, and then waits for all answers."""
        answers: dict[int, Receipt | StoreError] = {}
        count = 0
        for count, entry in enumerate(entries, 1):
            self.writer.accept(entry, lambda answer, n=count: answers.__setitem__(n, answer))
        self.wait_until(lambda: len(answers) == count)
        return [answers[n] for n in range(1, count + 1)]

    def accept_all(self, entries: Iterable[Entry]) -> list[Receipt]:
        answers = self.ask(entries)
        assert all(isinstance(answer, Receipt) for answer in answers), answers
        return answers  # type: ignore[return-value]

    def accept(self, entry: Entry) -> Receipt:
        return self.accept_all([entry])[0]

    def end(self, frame: LongFrame, entry: Entry) -> Receipt | StoreError:
        answers: list[Receipt | StoreError] = []
        frame.end(entry, answers.append)
        self.wait_until(lambda: bool(answers))
        return answers[0]

    def wait_until(self, met: Callable[[], bool]) -> None:
        """Runs what the writer posts, one post after the other, until the condition is met."""
        while not met():
            self._posted.get(timeout=PATIENCE_SECS)()
            self.posts += 1

    def run_posted(self, within_secs: float) -> None:
        """Runs the next post, if one comes within this time."""
        with contextlib.suppress(queue.Empty):
            self._posted.get(timeout=within_secs)()

    def stop(self) -> bool:
        return self.writer.stop(PATIENCE_SECS)


@pytest.fixture
def open_journal_at() -> Iterator[Callable[..., Journal]]:
    """`open_journal_at(url, **options of Writer)`, stopped when the test ends."""
    opened: list[Journal] = []

    def open_it(url: str, **options: Any) -> Journal:
        opened.append(Journal(url, **options))
        return opened[-1]

    yield open_it
    for journal in opened:
        journal.stop()


@pytest.fixture
def open_journal(stores: Stores, open_journal_at: Callable[..., Journal]) -> Callable[..., Journal]:
    """As `open_journal_at`, on this test's stores."""
    return partial(open_journal_at, stores.journal_url)


@pytest.fixture
def journal(open_journal: Callable[..., Journal]) -> Journal:
    return open_journal()


@pytest.fixture
def reader(engine_of: Callable[..., Any]) -> Reader:
    return Reader(engine_of("journal", read_only=True))
