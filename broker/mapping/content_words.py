"""The words that a notification's content has, for what leaves: the keys that mappings may take. Pure.

`care/content.py` says what each holds; a test holds the two together.
"""

from __future__ import annotations

from broker.yaml_files import Wrong, nearest

__all__ = ["LISTS", "check_word"]

_PERSON = ("npi", "id", "authority", "family", "given", "address")
_LOCATION = ("unit", "room", "bed", "facility", "building")
_ADDRESS = ("street", "other", "city", "state", "zip", "country")
_PARTS: dict[str, tuple[str, ...]] = {
    "patient.number": ("value", "authority"),
    "patient.address": _ADDRESS,
    "facility": ("name", "title"),
    "location": _LOCATION,
    "attending": _PERSON,
    "admitting": _PERSON,
    "referring": _PERSON,
    "pcp": _PERSON,
    "former_pcp": _PERSON,
    "pcp_change": _PERSON,
    "result.ordering": _PERSON,
    "message": ("control_id", "time", "act", "version"),
}
_PATIENT = ("family", "given", "middle", "birth_date", "sex", "phone", "language")
_RESULT = ("order_id", "code", "text", "status", "collected_at", "reasons")
_PLAIN = (
    "kind", "visit_id", "account_id", "status", "patient_class", "class_code", "occurred_at", "admitted_at",
    "discharged_at", "expected_discharge_at", "service", "reason", "admit_source", "admission_type",
    "disposition", "disposition_code", "destination", "readmission", "planned_readmission", "admission_seen",
    "corrects", "late", "incomplete", "urgency", "cause",
)  # fmt: skip
LISTS: dict[str, tuple[str, ...]] = {
    "diagnoses": ("code", "text", "system", "kind"),
    "unreached": ("role", "name"),
    "result.observations": (
        "code", "system", "text", "sub_id", "kind", "value", "units", "range", "flags", "status",
        "observed_at", "notes",
    ),
}  # fmt: skip
WORDS = frozenset(
    {
        *_PLAIN,
        *(f"patient.{word}" for word in _PATIENT),
        *(f"result.{word}" for word in _RESULT),
        *(f"{part}.{word}" for part, words in _PARTS.items() for word in words),
        *(f"{part}.{word}" for part, words in LISTS.items() for word in words),
    }
)


def check_word(word: str, within: str = "", at: tuple[str | int, ...] = ()) -> None:
    """Whether a content has this word; within a list, whether its parts do. Raises `Wrong`."""
    known = {*LISTS[within], "number"} if within else WORDS
    if word not in known:
        right = nearest(word, known) or ("one of " + ", ".join(sorted(known)) if within else "")
        raise Wrong("a notification has no such word", value=word, right=right, at=at)
