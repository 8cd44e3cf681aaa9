"""What should stand: one thing each, with its cause. And what must be known to say so. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from typing import NamedTuple

from broker.care.given import Given, SiteFacts
from broker.care.patients import Death
from broker.care.record import Held, Said, Summary

__all__ = ["Because", "Context", "Want", "Wanted", "because", "site_of"]


class Because(NamedTuple):
    """The fact that calls for something: its id, meaning, when it happened, and whether it is muted."""

    stream: int
    seq: int
    kind: str
    n: int
    meaning: str
    happened: int
    mute: bool


class Want(NamedTuple):
    """One thing that should stand. `says` is what of it can differ; `reach`: name, destination, address."""

    sort: str
    kind: str
    sub: str
    because: Because
    rule: str
    rule_version: str
    says: Said
    reach: tuple[tuple[str, str, str], ...]
    occurred: int

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it matches a row of its stay."""
        return self.sort, self.kind, self.sub


Wanted = dict[tuple[str, str, str], Want]


class Context(NamedTuple):
    """What must be known around a stay: the patient's number, the person, the stays before and after.

    `around` are the person's, `here` those of them under the same number.
    """

    authority: str
    number: str
    who: Said
    former_pcp: Said | None
    death: Death | None
    has_plan: bool
    around: Sequence[Summary]
    here: Sequence[Summary]
    given: Given
    now: int


def because(fact: Held) -> Because:
    """A fact as a cause."""
    return Because(fact.stream, fact.seq, fact.kind, fact.n, fact.meaning, fact.happened, fact.mute)


def _never(_: date) -> bool:
    return False


def site_of(given: Given, name: str) -> SiteFacts:
    """A site's facts; a site that the project no longer has is in UTC, without days off."""
    return given.sites.get(name) or SiteFacts(name, name, UTC, _never)
