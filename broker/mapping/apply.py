"""A message becomes notices. Pure; nothing here is looked up by name that could be looked up before."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Words
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from broker.errors import MappingError, Place
from broker.hl7 import Path, View
from broker.mapping.compile import Compiled, Origin
from broker.mapping.convert import Facility, Reading, UnknownCode
from broker.mapping.file import Example
from broker.mapping.tables import Table
from broker.notices import Identifier, IdentityNotice, Notice

__all__ = ["BEYOND", "Applied", "Mapping", "apply"]

# What a notice of a kind cannot be without, beside what its model requires: "who" has two halves here.
BEYOND: Words[str, tuple[str, ...]] = {
    "PatientMerge": ("retired",),
    "IdentifierChange": ("retired",),
    "IdentifierMove": ("retired",),
    "Link": ("retired",),
    "Unlink": ("retired",),
    "AccountMerge": ("account_id", "retired_account_id"),
    "AccountChange": ("account_id", "retired_account_id"),
    "AccountMove": ("retired", "retired_account_id"),
    "VisitMerge": ("visit_id", "retired_visit_id"),
    "VisitChange": ("visit_id", "retired_visit_id"),
    "VisitMove": ("retired", "retired_visit_id"),
}
_TWO_PATIENTS = frozenset({"PatientMerge", "IdentifierChange", "Link", "Unlink"})

Door = Callable[[View], Any]


@dataclass(frozen=True)
class Mapping:
    """A mapping, compiled. `door` gives its Python function, which is imported only then."""

    name: str
    title: str
    produces: str
    place: Place
    notice: type[Notice] | None = None
    compiled: Compiled | None = None
    door: Callable[[], Door] | None = None
    python: str = ""
    examples: tuple[tuple[Example, Place], ...] = ()
    tables: frozenset[str] = frozenset()
    outbound: Any = None

    @cached_property
    def function(self) -> Door:
        """The Python door's function."""
        assert self.door is not None
        return self.door()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path that it reads."""
        return self.compiled.paths if self.compiled else ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Which paths give which field."""
        return self.compiled.origins if self.compiled else ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a mapping made of a message. Warnings are codes and paths, without values."""

    notices: tuple[Notice, ...]
    unknown_codes: tuple[UnknownCode, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def apply(mapping: Mapping, message: View, site: Facility, tables: Words[str, Table]) -> Applied:
    """The notices that a message means. Raises `MappingError`: `missing`, `missing_segment`, `bad_time`,
    `no_zone`, `unknown_code`, `same_patient`, `bad_value`."""
    if mapping.door is not None:
        return Applied(_through_the_door(mapping, message))
    assert mapping.compiled is not None and mapping.notice is not None
    reading = Reading(site, tables, site.zone)
    values: dict[str, Any] = {}
    for step in mapping.compiled.steps:
        step(message, values, reading)
    try:
        notice = mapping.notice.model_validate(values)
    except ValidationError as error:
        raise _bad_value(mapping, error) from error
    if mapping.produces in _TWO_PATIENTS:
        _check_two(notice)
    return Applied((notice,), tuple(reading.unknown), tuple(reading.warnings))


def _check_two(notice: Notice) -> None:
    """A merge into itself, or a link with itself, means nothing and must harm nobody."""
    assert isinstance(notice, IdentityNotice)
    retired, number = notice.retired, notice.patient.number
    if retired and _key(retired, number.authority) == _key(number, number.authority):
        raise MappingError(
            "the patient that is given up is the one that stays",
            code="same_patient",
            where="MRG-1",
            value=number.value,
        )


def _key(number: Identifier, authority: str) -> tuple[str, str]:
    return number.authority or authority, number.value


def _through_the_door(mapping: Mapping, message: View) -> tuple[Notice, ...]:
    made = mapping.function(message)
    notices = (made,) if isinstance(made, Notice) else tuple(made or ())
    for notice in notices:
        if not isinstance(notice, Notice):
            raise MappingError(f"{mapping.python} gave something that is no notice", code="bad_value")
    return notices


def _bad_value(mapping: Mapping, error: ValidationError) -> MappingError:
    """What the notice's model says no to: nothing of it is a patient's but `value`."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(step) for step in first["loc"] if not isinstance(step, int))
    return MappingError(
        f"{mapping.produces}.{name}: {first['msg']}",
        code="bad_value",
        where=name,
        value=str(first["input"])[:200],
    )
