"""What the care core is given beside facts: rules, policy, who is reached where, the time. Floor 3: pure.

`project.py` reads Rule and Policy from `channels/rules/*.yaml` and `channels/policy.yaml`; the directory
comes from the store; nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Any, Literal
from uuid import UUID

from broker.notices import Practitioner

__all__ = ["Directory", "Due", "Given", "Policy", "Reach", "Rule", "SiteFacts", "Tell"]


@dataclass(frozen=True, slots=True)
class Due:
    """When a task is due, counted from an anchor: exactly one of the three lengths is set.

    `after` is a time of the stay: event (the fact that called for it), admitted, discharged,
    expected_discharge. `before` turns the direction (a task due before the expected discharge).
    """

    after: Literal["event", "admitted", "discharged", "expected_discharge"] = "event"
    hours: int | None = None
    days: int | None = None
    business_days: int | None = None
    before: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One task or plan entry that should stand while its conditions hold of a stay.

    `when` holds of a stay: status (planned, in_progress, on_leave, discharged, cancelled), patient_class,
    disposition, kind of the opening, readmission, deceased, plan, verify..., each a list of words of
    which one must hold. `key` names it in files and rows; `version` is the digest of its text.
    """

    key: str
    version: str
    kind: str
    title: str
    owner: str
    due: Due
    when: Mapping[str, tuple[str, ...]]
    urgency: Literal["stat", "high", "routine", "digest"] = "routine"


@dataclass(frozen=True, slots=True)
class Tell:
    """Who is told of a kind of event, and how urgently.

    `recipients`: pcp, attending, ordering, referring, coordinator.
    """

    key: str
    version: str
    notification: str
    recipients: tuple[str, ...]
    when: Mapping[str, tuple[str, ...]]
    urgency: Literal["stat", "high", "routine", "digest"] = "routine"


@dataclass(frozen=True, slots=True)
class Policy:
    """Every number that a house may set for itself (DOMAIN section 10), with its default."""

    settle_secs: Mapping[str, int] = field(
        default_factory=dict
    )  # by notification kind; "retraction" too; default 0
    late_after_hours: int = 24
    outreach_after_days: int = 30
    readmission_days: int = 30
    episode_gap_hours: int = 24
    neighbour_days: int = 30
    goes_home: frozenset[str] = frozenset({"home", "home_health"})
    critical_flags: frozenset[str] = frozenset({"AA", "HH", "LL"})
    critical_units: frozenset[str] = frozenset()  # PV1-3.1 of units whose in and out is told as a Transfer
    holidays_country: str = "US"


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What the care core must know of a facility: its zone and its days off (dates in that zone)."""

    name: str
    title: str
    zone: tzinfo
    days_off: Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class Reach:
    """Where somebody is reached: `destination` is channel/destination, `address` what it understands."""

    name: str
    destination: str
    address: str
    kinds: frozenset[str] | None = None  # notification kinds they take; None: all


@dataclass(frozen=True, slots=True)
class Directory:
    """Who is reached where.

    Keys: ("npi", number), (authority, id), ("role", "coordinator"), ("facility", its name).
    """

    entries: Mapping[tuple[str, str], tuple[Reach, ...]] = field(default_factory=dict)

    def reach(self, person: Practitioner) -> tuple[Reach, ...]:
        """Every way to reach this practitioner, by NPI first, then by the hospital's number; () when none."""
        for key in (("npi", person.npi), (person.authority or "", person.id)):
            if key[1] and (found := self.entries.get((key[0], key[1]))):
                return found
        return ()


@dataclass(frozen=True, slots=True)
class Given:
    """Everything a decision rests on beside the facts.

    `name_of` makes the id that others see (a keyed hash over its words); `now` is the database's time.
    `in_force` keeps what was found of the rules and tells for words that were met (in_force.py).
    """

    rules: tuple[Rule, ...]
    tells: tuple[Tell, ...]
    policy: Policy
    sites: Mapping[str, SiteFacts]
    directory: Directory
    now: datetime
    name_of: Callable[..., UUID]
    in_force: dict[tuple[str, ...], Any] = field(init=False, default_factory=dict, compare=False, repr=False)
