"""The one language of conditions: `only`, `when`, test patients. Floor 2.

    {MSH-9.1: ADT, PV1-2: [I, E], PV1-36: {present: yes}, any: [{ZDS-2: DC}, {ZDS-2: {starts_with: D}}]}

All must hold, each by any repetition of its path. A key is a path of a message or, where a notification's
content is asked, a word of ours such as `patient_class`. Patterns are RE2's, which are linear in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple, Protocol

import re2
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from broker.errors import Hl7Error
from broker.hl7 import NULL, Path
from broker.yaml_files import Wrong, nearest

__all__ = ["Condition", "Subject", "Tables", "Test", "word_values"]

TESTS = ("starts_with", "matches", "present", "above", "below", "in_table", "not")
MAX_PATTERN = 500  # characters
MAX_PATTERN_MEMORY = 1 << 20
_WORD = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_YES = {"yes": True, "true": True, "no": False, "false": False}

Tables = Mapping[str, Container[str]]
Check = Callable[[tuple[str, ...], Tables], bool]


class Subject(Protocol):
    """What is asked: a message or a part of one."""

    def get(self, path: Path | str, /) -> str: ...
    def all(self, path: Path | str, /) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Test:
    """One key and what must hold of its values. `first`: words of which the first value may be one."""

    key: str
    path: Path | None
    says: str
    check: Check
    first: frozenset[str]
    table: str = ""

    def holds(self, subject: Any, tables: Tables) -> bool:
        """Whether it holds of a message, or of a content where the key is a word of ours."""
        path = self.path
        if path is None:
            return self.check(word_values(subject, self.key), tables)
        if self.first and subject.get(path) in self.first:
            return True
        return self.check(subject.all(path), tables)

    def found(self, subject: Any) -> tuple[str, ...]:
        """The values that were asked."""
        return word_values(subject, self.key) if self.path is None else tuple(subject.all(self.path))


@dataclass(frozen=True, slots=True)
class Condition:
    """Everything that must hold at once."""

    tests: tuple[Test, ...]
    any_of: tuple[Condition, ...] = ()
    source: Any = None

    def holds(self, subject: Any, tables: Tables) -> bool:
        """Whether all hold of a message, a view of one, or a content."""
        for test in self.tests:
            if not test.holds(subject, tables):
                return False
        return not self.any_of or any(one.holds(subject, tables) for one in self.any_of)

    def explain(self, subject: Any, tables: Tables) -> list[str]:
        """A line for each that does not hold: what was asked, and what stood there."""
        told = [
            f"{test.key} {test.says}: found {', '.join(test.found(subject)) or 'nothing'}"
            for test in self.tests
            if not test.holds(subject, tables)
        ]
        if self.any_of and not any(one.holds(subject, tables) for one in self.any_of):
            told.append(
                "none of any: " + "; ".join(t for o in self.any_of for t in o.explain(subject, tables))
            )
        return told

    def each(self) -> tuple[Test, ...]:
        """Every test in it, those of `any` too."""
        return self.tests + tuple(test for one in self.any_of for test in one.each())

    @property
    def asks(self) -> Literal["message", "content", "both"]:
        """What its keys are: paths of a message, words of ours, or (which is wrong) both."""
        kinds = {test.path is None for test in self.each()}
        return "both" if len(kinds) == 2 else "content" if True in kinds else "message"

    @classmethod
    def read(cls, value: Any) -> Condition:
        """A condition from what a file says. Raises `Wrong`."""
        if isinstance(value, Condition):
            return value
        if not isinstance(value, Mapping) or not value:
            raise Wrong("a condition is a mapping, such as {PV1-2: [I, E]}", value=str(value or ""))
        tests: list[Test] = []
        any_of: tuple[Condition, ...] = ()
        for key, right in value.items():
            if key == "any":
                any_of = _read_any(right)
            else:
                tests.append(_read_test(key, right))
        return cls(tuple(tests), any_of, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return condition_schema()


def word_values(content: Any, word: str) -> tuple[str, ...]:
    """What a content holds under a dotted word: texts; yes or no; each of a list."""
    values: list[Any] = [content]
    for step in word.split("."):
        inner: list[Any] = []
        for value in values:
            found = value.get(step) if isinstance(value, Mapping) else None
            if isinstance(found, (list, tuple)):
                inner += found
            elif found is not None:
                inner.append(found)
        values = inner
    return tuple(said for value in values if (said := _said(value)))


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if isinstance(value, (Mapping, list, tuple)) else str(value)


def _read_any(right: Any) -> tuple[Condition, ...]:
    if not isinstance(right, list) or not right:
        raise Wrong("any: a list of conditions is expected", at=("any",))
    read = []
    for n, one in enumerate(right):
        try:
            read.append(Condition.read(one))
        except Wrong as wrong:
            wrong.at = ("any", n, *wrong.at)
            raise
    return tuple(read)


def _read_test(key: str, right: Any) -> Test:
    path: Path | None = None
    if not _WORD.fullmatch(key):
        try:
            path = Path.parse(key)
        except Hl7Error as error:
            raise Wrong(error.text, value=key, at=(key,)) from error
    try:
        read = _read_right(right)
    except Wrong as wrong:
        wrong.at = (key, *wrong.at)
        raise
    return Test(key, path, read.says, read.check, read.first, read.table)


class _Right(NamedTuple):
    """What stands on the right: the check, its words, what a first value may be, the table that it asks."""

    check: Check
    says: str
    first: frozenset[str] = frozenset()
    table: str = ""


def _read_right(right: Any) -> _Right:
    if isinstance(right, str):
        right = [right]
    if isinstance(right, list):
        if not right or not all(isinstance(one, str) for one in right):
            raise Wrong('a list of values is expected; nothing is written as ""')
        return _is_one_of(right)
    if not isinstance(right, Mapping) or len(right) != 1:
        raise Wrong(
            f"a value, a list of values, or one of {', '.join(TESTS)} is expected", value=str(right or "")
        )
    (name, what), *_ = right.items()
    if name not in TESTS:
        raise Wrong(
            "there is no such test", value=name, right=nearest(name, TESTS) or ", ".join(TESTS), at=(name,)
        )
    try:
        if name == "not":
            inner, says, _, table = _read_right(what)
            return _Right(lambda values, tables: not inner(values, tables), f"is not ({says})", table=table)
        if not isinstance(what, str) or not what:
            raise Wrong(f"{name}: a text is expected", value=str(what or ""))
        return _READERS[name](what)
    except Wrong as wrong:
        wrong.at = (name, *wrong.at)
        raise


def _is_one_of(words: list[str]) -> _Right:
    wanted = frozenset(words)
    empty = "" in wanted

    def check(values: tuple[str, ...], tables: Tables) -> bool:
        return not wanted.isdisjoint(values) or (empty and not values)

    says = "is " + " or ".join(word or "empty" for word in words)
    return _Right(check, says, wanted - {""})


def _starts_with(what: str) -> _Right:
    return _Right(
        lambda values, tables: any(value.startswith(what) for value in values), f"starts with {what}"
    )


def _matches(what: str) -> _Right:
    if len(what) > MAX_PATTERN:
        raise Wrong(f"a pattern of more than {MAX_PATTERN} characters", value=what[:80])
    options = re2.Options()
    options.max_mem, options.log_errors = MAX_PATTERN_MEMORY, False
    try:
        pattern = re2.compile(what, options=options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise Wrong(f"this is no pattern (RE2): {said}", value=what) from error
    return _Right(lambda values, tables: any(pattern.search(value) for value in values), f"matches {what}")


def _present(what: str) -> _Right:
    if what.lower() not in _YES:
        raise Wrong("yes or no is expected", value=what)
    wanted = _YES[what.lower()]
    return _Right(
        lambda values, tables: any(value != NULL for value in values) is wanted,
        "is present" if wanted else "is not present",
    )


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _compared(what: str, *, above: bool) -> _Right:
    bound = _number(what)
    if bound is None:
        raise Wrong("a number is expected", value=what)

    def check(values: tuple[str, ...], tables: Tables) -> bool:
        numbers = [number for value in values if (number := _number(value)) is not None]
        return any(number > bound if above else number < bound for number in numbers)

    return _Right(check, f"is {'above' if above else 'below'} {what}")


def _in_table(what: str) -> _Right:
    return _Right(
        lambda values, tables: any(value in tables[what] for value in values),
        f"is in table {what}",
        table=what,
    )


_READERS: dict[str, Callable[[str], _Right]] = {
    "starts_with": _starts_with,
    "matches": _matches,
    "present": _present,
    "above": lambda what: _compared(what, above=True),
    "below": lambda what: _compared(what, above=False),
    "in_table": _in_table,
}


def condition_schema() -> dict[str, Any]:
    """What an editor knows of a condition."""
    text = {"type": "string"}
    test: dict[str, Any] = {name: text for name in TESTS if name not in ("not", "present")}
    test["present"] = {"enum": ["yes", "no"]}
    test["not"] = {}
    one = {
        "anyOf": [
            text,
            {"type": "array", "items": text, "minItems": 1},
            {"type": "object", "properties": test, "additionalProperties": False, "maxProperties": 1},
        ]
    }
    return {
        "type": "object",
        "minProperties": 1,
        "description": "All must hold, each by any repetition of its path. any: [...] for or.",
        "properties": {"any": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
        "additionalProperties": one,
    }
