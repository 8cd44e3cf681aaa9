"""A mapping's fields become steps: functions that put a value into what a notice is made of. Pure.

Compiled once, when the project is loaded, so that a message costs a few calls a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from broker.conditions import Condition
from broker.errors import Hl7Error, MappingError, Place
from broker.hl7 import NULL, Path, View
from broker.mapping.convert import CONVERTERS, PARTS, Reading, UnknownCode
from broker.mapping.file import Repeat, Take, path_of
from broker.mapping.read import Found, Reader, check_condition, reader_of
from broker.mapping.shape import Shape, fields_of, leaves, shape_of
from broker.mapping.tables import Table
from broker.notices import Part, Practitioner
from broker.yaml_files import Problems, Wrong, nearest

__all__ = ["Branch", "Compiled", "Origin", "Placed", "Step", "check_table", "compile_fields"]

Values = dict[str, Any]
Step = Callable[[View, Values, Reading], None]
_WHOLE_WORDS = ("take", "first_of", "all_of", "when", "required")


@dataclass(frozen=True, slots=True)
class Placed:
    """A field's right-hand side and where it stands."""

    take: Take
    place: Place
    wrong: Callable[[Wrong], None]


@dataclass(slots=True)
class Branch:
    """Fields and lists, with `like` merged in: of a mapping or of one list."""

    fields: dict[str, Placed] = field(default_factory=dict)
    repeats: dict[str, tuple[Repeat, Branch, Place, Callable[[Wrong], None]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which path gives a field: for `try`. Of a list, `each` has those of its parts."""

    name: str
    found: Callable[[View], Found]
    each: str = ""
    inner: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """The steps of a mapping or of one list, and where each value comes from."""

    steps: tuple[Step, ...]
    origins: tuple[Origin, ...]
    paths: tuple[Path, ...]


def compile_fields(
    model: type[Part],
    branch: Branch,
    tables: Mapping[str, Table],
    problems: Problems,
    place: Place,
    beyond: Sequence[str] = (),
) -> Compiled:
    """Steps for all fields of a model. What is wrong goes to `problems`; `beyond` are required as well."""
    maker = _Maker(model, tables, problems, frozenset(beyond))
    steps = maker.block("", branch)
    missing = [
        name
        for name, shape in leaves(model)
        if _must(model, name) and shape.kind != "part" and not maker.is_given(name, branch)
    ]
    if missing:
        problems.add(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed in fields", place)
    return Compiled(tuple(steps), tuple(maker.origins), tuple(maker.paths))


def _must(model: type[Part], dotted: str) -> bool:
    """Whether a notice cannot be without this: it and every part around it is required."""
    steps = dotted.split(".")
    return all(shape_of(model, ".".join(steps[: n + 1])).required for n in range(len(steps)))


class _Maker:
    """Makes the steps of one model."""

    def __init__(
        self, model: type[Part], tables: Mapping[str, Table], problems: Problems, beyond: frozenset[str]
    ) -> None:
        self.model, self.tables, self.problems, self.beyond = model, tables, problems, beyond
        self.origins: list[Origin] = []
        self.paths: list[Path] = []

    def is_given(self, name: str, branch: Branch) -> bool:
        """Whether a field or a part around it is mapped."""
        steps = name.split(".")
        return any(".".join(steps[: n + 1]) in branch.fields for n in range(len(steps)))

    def block(self, before: str, branch: Branch) -> list[Step]:
        """The steps for the fields below a dotted name ("": of the notice itself)."""
        names: dict[str, None] = {}
        for dotted in branch.fields:
            if dotted.startswith(before):
                names[dotted[len(before) :].split(".")[0]] = None
        steps: list[Step] = []
        for name in names:
            step = self._field(before, name, branch)
            if step is not None:
                steps.append(step)
        for dotted, (repeat, inner, place, wrong) in branch.repeats.items():
            head, _, tail = dotted.rpartition(".")
            if f"{head}." == before or (not head and not before):
                step = self._list(dotted, tail, repeat, inner, place, wrong)
                if step is not None:
                    steps.append(step)
        return steps

    def _field(self, before: str, name: str, branch: Branch) -> Step | None:
        dotted = before + name
        own = branch.fields.get(dotted)
        within = [one for one in (*branch.fields, *branch.repeats) if one.startswith(f"{dotted}.")]
        try:
            shape = shape_of(self.model, dotted)
            if shape.kind == "part" and not shape.many:
                whole = self._whole(dotted, shape, own) if own else None
                return self._nested(dotted, name, shape, whole, own, self.block(f"{dotted}.", branch))
            assert own is not None or within
            if own is None:
                raise Wrong(f"{dotted} has no parts", value=within[0])
            return self._leaf(dotted, name, shape, own.take)
        except Wrong as wrong:
            (own or branch.fields.get(within[0]) or next(iter(branch.fields.values()))).wrong(wrong)
            return None

    # One value

    def _leaf(self, dotted: str, name: str, shape: Shape, take: Take) -> Step:
        must = take.required or dotted in self.beyond or _must(self.model, dotted)
        if shape.many:
            return self._many(dotted, name, shape, take)
        if take.all_of is not None:
            raise Wrong(f"{dotted} is no list", value=", ".join(take.all_of), at=("all_of",))
        reader = self._reader(take)
        self.origins.append(Origin(dotted, reader.found))
        if shape.kind == "word" or take.table is not None:
            step = self._coded(dotted, name, shape, take, reader, must)
        else:
            step = _plain(dotted, name, shape, take, reader, must)
        if take.date_add is not None:
            if shape.kind != "time" and shape.kind != "date":
                raise Wrong(f"{dotted} is no time", at=("date_add",))
            length = timedelta(**take.date_add.model_dump())
            return _moved(step, name, length)
        return step

    def _reader(self, take: Take) -> Reader:
        reader = reader_of(take, self.tables)
        self.paths += reader.paths
        return reader

    def _coded(self, dotted: str, name: str, shape: Shape, take: Take, reader: Reader, must: bool) -> Step:
        table = take.table
        if table is not None and table not in self.tables:
            raise Wrong(
                "there is no such table", value=table, right=nearest(table, self.tables), at=("table",)
            )
        self._check_words(dotted, shape, take)
        unknown = take.unknown or "keep"
        words, kind, convert = shape.words, shape.kind, CONVERTERS.get(shape.kind)

        def step(view: View, into: Values, reading: Reading) -> None:
            code = reader.get(view)
            if not code or code == NULL:
                if must:
                    raise _missing(dotted, reader, view)
                if code:
                    into[name] = None
                return
            word = reading.word(table, code) if table is not None else code if code in words else None
            if word is None:
                if unknown == "refuse":
                    raise MappingError(
                        f"{dotted}: not in table {table}",
                        code="unknown_code",
                        where=reader.found(view)[0],
                        value=code,
                    )
                if kind == "word" or kind == "text":
                    reading.unknown.append(UnknownCode(table or dotted, code, reader.found(view)[0]))
                if unknown == "keep":
                    if kind == "word":
                        into[name] = {"unknown": code}
                    elif kind == "text":
                        into[name] = code
                    elif must:
                        raise _missing(dotted, reader, view)
                    return
                word = unknown
            if kind == "word":
                into[name] = word
            else:
                assert convert is not None
                into[name] = convert(word, reading, "")

        return step

    def _check_words(self, dotted: str, shape: Shape, take: Take) -> None:
        known = shape.words or (frozenset({"yes", "no"}) if shape.kind == "flag" else frozenset())
        if shape.kind not in ("word", "text", "flag"):
            raise Wrong(
                f"{dotted} is a {shape.kind}: no table makes one", value=take.table or "", at=("table",)
            )
        if take.unknown not in (None, "keep", "refuse") and known and take.unknown not in known:
            words = ["keep", "refuse", *sorted(known)]
            raise Wrong(
                "no such word", value=take.unknown or "", right=nearest(take.unknown or "", words) or ", ".join(words),
                at=("unknown",),
            )  # fmt: skip
        if take.table is None and known and take.value is not None and take.value not in known:
            words = sorted(known)
            raise Wrong(
                f"{dotted}: no such word", value=take.value, right=nearest(take.value, words) or ", ".join(words),
                at=("value",),
            )  # fmt: skip
        if take.table is not None and known:
            check_table(self.tables[take.table], known, dotted, self.problems)

    def _many(self, dotted: str, name: str, shape: Shape, take: Take) -> Step:
        if shape.kind == "part":
            return self._many_parts(dotted, name, shape, take)
        if shape.kind != "text":
            raise Wrong(f"{dotted} is a list of {shape.kind}s, which no mapping makes")
        texts = take.all_of or ((take.take,) if take.take is not None else ())
        if not texts:
            raise Wrong(f"{dotted} is a list: take or a list of paths is expected")
        paths = tuple(path_of(text) for text in texts)
        self.paths += paths
        condition, tables = self._condition(take), self.tables

        def read(view: View) -> list[str]:
            return [text for path in paths for text in view.all(path)]

        def step(view: View, into: Values, reading: Reading) -> None:
            if condition is not None and not condition.holds(view, tables):
                return
            found = read(view)
            if found:
                values = tuple(text for text in found if text != NULL)
                into[name] = values or None

        self.origins.append(Origin(dotted, lambda view: (", ".join(texts), " ".join(read(view)))))
        return step

    def _condition(self, take: Take) -> Condition | None:
        if take.when is not None:
            check_condition(take.when, self.tables)
        return take.when

    # Parts made of a whole field

    def _many_parts(self, dotted: str, name: str, shape: Shape, take: Take) -> Step:
        read = self._part_reader(dotted, shape)
        paths = self._whole_paths(dotted, take)
        condition, tables = self._condition(take), self.tables

        def step(view: View, into: Values, reading: Reading) -> None:
            if condition is not None and not condition.holds(view, tables):
                return
            found, deleted = [], False
            for path in paths:
                for text in view.repetitions(path):
                    said = read(text, view, reading, path)
                    if said:
                        found.append(said)
                    deleted = deleted or said is None
            if found:
                into[name] = tuple(found)
            elif deleted:
                into[name] = None

        self._whole_origin(dotted, paths)
        return step

    def _whole(self, dotted: str, shape: Shape, own: Placed) -> Callable[[View, Reading], Values | None]:
        take = own.take
        read = self._part_reader(dotted, shape)
        paths = self._whole_paths(dotted, take)
        condition, tables = self._condition(take), self.tables
        picks = dotted == "patient.number"
        merges = shape.part is Practitioner

        def whole(view: View, reading: Reading) -> Values | None:
            if condition is not None and not condition.holds(view, tables):
                return {}
            deleted = False
            for path in paths:
                found = []
                for text in view.repetitions(path):
                    said = read(text, view, reading, path)
                    deleted = deleted or said is None
                    if said:
                        if not picks and not merges:
                            return said
                        found.append(said)
                if found:
                    chosen = _pick_number(found, reading) if picks else _one_person(found)
                    if chosen:
                        return chosen
            return None if deleted else {}

        self._whole_origin(dotted, paths)
        return whole

    def _whole_origin(self, dotted: str, paths: tuple[Path, ...]) -> None:
        def found(view: View) -> Found:
            for path in paths:
                texts = view.repetitions(path)
                if texts:
                    return path.text, view.root.delimiters.marks[0].join(texts)
            return paths[0].text, ""

        self.origins.append(Origin(dotted, found))

    def _part_reader(self, dotted: str, shape: Shape) -> Any:
        assert shape.part is not None
        read = PARTS.get(shape.part)
        if read is None:
            names = ", ".join(f"{dotted}.{name}" for name in fields_of(shape.part))
            raise Wrong(
                f"{dotted} is made of its parts: " + ("it stands in repeats" if shape.many else names),
                value=dotted,
            )
        return read

    def _whole_paths(self, dotted: str, take: Take) -> tuple[Path, ...]:
        used = [name for name in take.model_fields_set if name not in _WHOLE_WORDS]
        texts = take.all_of or ((take.take,) if take.take is not None else ())
        if take.first_of is not None:
            texts = tuple(one.take or "" for one in take.first_of if one.model_fields_set == {"take"})
            if len(texts) != len(take.first_of):
                used.append("first_of with more than paths")
        if used or not texts:
            raise Wrong(
                f"{dotted} is made of a whole field: {', '.join(_WHOLE_WORDS)} are what it takes",
                value=", ".join(used),
            )
        paths = []
        for text in texts:
            path = path_of(text)
            if path.component:
                right = text.rpartition(".")[0]
                raise Wrong(
                    f"{dotted} is made of a whole field, not of one component", value=text, right=right
                )
            paths.append(path)
        self.paths += paths
        return tuple(paths)

    def _nested(
        self,
        dotted: str,
        name: str,
        shape: Shape,
        whole: Callable[[View, Reading], Values | None] | None,
        own: Placed | None,
        steps: list[Step],
    ) -> Step:
        assert shape.part is not None
        must = dotted in self.beyond or _must(self.model, dotted) or (own is not None and own.take.required)
        needed = tuple(one for one, inner in fields_of(shape.part).items() if inner.required)
        paths = self._whole_paths(dotted, own.take) if own else ()
        first = paths[0] if paths else None
        inner_steps = tuple(steps)
        number = dotted == "patient.number"

        def step(view: View, into: Values, reading: Reading) -> None:
            inner = whole(view, reading) if whole is not None else {}
            deleted = inner is None
            inner = inner or {}
            for one in inner_steps:
                one(view, inner, reading)
            if number and "value" in inner and not inner.get("authority"):
                inner["authority"] = reading.site.resolve_authority("")
            for key in needed:
                if inner.get(key) is None:
                    if must:
                        raise _missing_part(dotted, first, view, reading if number else None)
                    inner = {}
                    break
            if inner:
                into[name] = inner
            elif must:
                raise _missing_part(dotted, first, view, None)
            elif deleted:
                into[name] = None

        return step

    # Lists

    def _list(
        self,
        dotted: str,
        name: str,
        repeat: Repeat,
        branch: Branch,
        place: Place,
        wrong: Callable[[Wrong], None],
    ) -> Step | None:
        try:
            shape = shape_of(self.model, dotted)
            if not (shape.many and shape.part is not None):
                raise Wrong(f"{dotted} is no list of parts", value=dotted)
            if not repeat.each or not repeat.each.isupper():
                raise Wrong("each: a segment, ORDER or PATIENT is expected", value=repeat.each, at=("each",))
            if repeat.when is not None:
                check_condition(repeat.when, self.tables)
        except Wrong as error:
            wrong(error)
            return None
        inner = compile_fields(shape.part, branch, self.tables, self.problems, place)
        self.paths += inner.paths
        self.origins.append(Origin(dotted, lambda view: (repeat.each, ""), repeat.each, inner.origins))
        steps, group, condition, tables = inner.steps, repeat.each, repeat.when, self.tables
        key = inner.origins[0].found if inner.origins else None

        def step(view: View, into: Values, reading: Reading) -> None:
            views = view.each(group)
            if condition is not None:
                views = tuple(one for one in views if condition.holds(one, tables))
            if not views:
                return
            if len(views) == 1 and key is not None and key(views[0])[1] == NULL:
                into[name] = None
                return
            found = []
            for one in views:
                values: Values = {}
                for each in steps:
                    each(one, values, reading)
                if values:
                    found.append(values)
            if found:
                into[name] = tuple(found)

        return step


def check_table(table: Table, known: frozenset[str], dotted: str, problems: Problems) -> None:
    """Every word of a table that a field uses must be a word of that field."""
    for row in table:
        if row.word not in known:
            words = sorted(known)
            error = f"{dotted} has no such word"
            place = Place(table.file, row.line)
            if all(one.place != place or one.text != error for one in problems.errors):
                problems.add(error, place, value=row.word, right=nearest(row.word, words) or ", ".join(words))


def _plain(dotted: str, name: str, shape: Shape, take: Take, reader: Reader, must: bool) -> Step:
    """A text, or what is converted from one; what cannot be is left unset with a warning, unless it must be."""
    get = reader.get
    if shape.kind == "text" and not must:
        authority = name == "authority"

        def text_step(view: View, into: Values, reading: Reading) -> None:
            text = get(view)
            if text:
                into[name] = (
                    None if text == NULL else reading.site.resolve_authority(text) if authority else text
                )

        return text_step
    convert = CONVERTERS[shape.kind]

    def step(view: View, into: Values, reading: Reading) -> None:
        text = get(view)
        if not text or text == NULL:
            if must:
                raise _missing(dotted, reader, view)
            if text:
                into[name] = None
            return
        try:
            into[name] = convert(text, reading, dotted)
        except Hl7Error as error:
            where = reader.found(view)[0]
            if must:
                raise MappingError(
                    f"{dotted}: {error.text}", code=error.code, where=where, value=text
                ) from error
            reading.warnings.append(f"{error.code} at {where}")

    return step


def _moved(step: Step, name: str, length: timedelta) -> Step:
    def moved(view: View, into: Values, reading: Reading) -> None:
        step(view, into, reading)
        if into.get(name) is not None:
            into[name] += length

    return moved


def _pick_number(found: list[Values], reading: Reading) -> Values:
    """The repetition that is the patient's number at this site; {} where none is."""
    picks = reading.site.picks_number
    for said in found:
        if picks(said.get("type", ""), said.get("authority", "")):
            return said
    return {}


def _one_person(found: list[Values]) -> Values:
    """The first of the repetitions, with the NPI that another one of the same name has."""
    first = found[0]
    if "npi" not in first:
        for other in found[1:]:
            if "npi" in other and other.get("family") == first.get("family"):
                return {**first, "npi": other["npi"]}
    elif "id" not in first:
        for other in found[1:]:
            if "id" in other and other.get("family") == first.get("family"):
                return {**other, **first}
    return first


def _missing(dotted: str, reader: Reader, view: View) -> MappingError:
    return _missing_at(dotted, reader.paths, view)


def _missing_part(dotted: str, path: Path | None, view: View, reading: Reading | None) -> MappingError:
    if path is not None and reading is not None and view.repetitions(path):
        text = f"{dotted}: none of the numbers in {path} is of the kind that is the patient's at {reading.site.name}"
        return MappingError(text, code="missing", where=path.text, value="~".join(view.repetitions(path)))
    return _missing_at(dotted, (path,) if path else (), view)


def _missing_at(dotted: str, paths: tuple[Path, ...], view: View) -> MappingError:
    names = view.root.segment_names
    if paths and all(path.segment not in names for path in paths):
        segment = paths[0].segment
        return MappingError(f"{dotted} needs {segment}: there is none", code="missing_segment", where=segment)
    if not paths:
        return MappingError(f"{dotted} is not said", code="missing")
    said = f"one of {', '.join(map(str, paths))}" if len(paths) > 1 else str(paths[0])
    return MappingError(f"{dotted} needs {said}: nothing stands there", code="missing", where=paths[0].text)
