"""Facts as a record keeps them: what a notice states, flat and JSON-able, in microseconds. Floor 3: pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from broker.care.facts import Fact
from broker.care.record import PERSON, Held, Key, Tie, micros
from broker.care.stays import CANCEL, UPDATE, rank_of
from broker.notices import (
    AllergyUpdate,
    CancelNotice,
    ClassChange,
    IdentityNotice,
    Notice,
    PersonUpdate,
    RecordDeleted,
    Result,
    VisitNotice,
)

__all__ = ["held_of", "key_of", "tie_of"]

_OF_EVERY_NOTICE = {"patient", "occurred_at", "recorded_at", "sent_at"}
_NOT_KEPT_OF_THE_PATIENT = {"number", "ids"}
# A visit that these find nowhere is not opened by them: what they say is of the person alone.
_OPENS_NOTHING = frozenset({"VisitUpdate", "CareTeamChange", "Tracking", "TrackingCancelled"})


def held_of(fact: Fact) -> Held:
    """What a record keeps of a fact that is a notice."""
    notice = fact.said
    assert isinstance(notice, Notice)
    stated = fact.stated or notice.model_dump(mode="json", exclude_unset=True)
    said: dict[str, Any] = {}
    if not isinstance(notice, PersonUpdate | RecordDeleted):
        for name, value in stated.items():
            if name not in _OF_EVERY_NOTICE:
                at = getattr(notice, name)
                said[name] = micros(at) if isinstance(at, datetime) else value
    recorded = micros(notice.recorded_at)
    return Held(
        recorded,
        micros(notice.sent_at) if notice.sent_at else recorded,
        rank_of(fact.id.kind),
        fact.digest,
        *fact.id,
        fact.patient,
        micros(notice.occurred_at),
        fact.mute,
        said,
        {name: value for name, value in stated["patient"].items() if name not in _NOT_KEPT_OF_THE_PATIENT},
    )


def key_of(fact: Fact) -> Key:
    """What a fact's visit is known by: visit number, account, admit time, else its message (DOMAIN 1.4)."""
    notice = fact.said
    if isinstance(notice, AllergyUpdate | PersonUpdate | RecordDeleted | IdentityNotice):
        return PERSON
    assert isinstance(notice, VisitNotice | Result)
    if notice.visit_id:
        return fact.site, "visit", notice.visit_id
    if notice.account_id:
        return fact.site, "account", notice.account_id
    if isinstance(notice, Result):
        return fact.site, "order", notice.order_id
    if notice.admitted_at:
        return fact.site, "admitted", str(micros(notice.admitted_at))
    if fact.id.kind in _OPENS_NOTHING:
        return PERSON
    return fact.site, "message", fact.digest or f"{fact.id.stream}.{fact.id.seq}"


def tie_of(fact: Fact) -> Tie | None:
    """What a fact says of two patients, accounts or visits; None where it says nothing of the kind."""
    notice = fact.said
    if isinstance(notice, IdentityNotice):
        account, retired_account = notice.account_id or "", notice.retired_account_id or ""
        visit, retired_visit = notice.visit_id or "", notice.retired_visit_id or ""
    elif isinstance(notice, ClassChange) and (notice.prior_visit_id or notice.prior_account_id):
        account, retired_account = notice.account_id or "", notice.prior_account_id or ""
        visit, retired_visit = notice.visit_id or "", notice.prior_visit_id or ""
    else:
        return None
    recorded = micros(notice.recorded_at)
    return Tie(
        recorded,
        micros(notice.sent_at) if notice.sent_at else recorded,
        CANCEL if isinstance(notice, CancelNotice) else UPDATE,
        fact.digest,
        *fact.id,
        fact.patient,
        fact.retired or 0,
        fact.site,
        account,
        retired_account,
        visit,
        retired_visit,
        micros(notice.occurred_at),
        fact.mute,
    )
