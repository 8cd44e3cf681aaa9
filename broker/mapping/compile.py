"""A mapping's fields become steps, once, when the project is loaded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from broker.conditions import Condition
from broker.errors import Place
from broker.hl7 import NULL, Path, View
from broker.mapping.convert import Reading
from broker.mapping.file import Repeat, Take, path_of
from broker.mapping.read import Found, Reader, check_condition, reader_of
from broker.mapping.shape import Shape, fields_of, leaves, shape_of
from broker.mapping.steps import Step, Values, at_segments, coded, missing_part, moved, plain
from broker.mapping.tables import Table
from broker.mapping.whole import Whole, listed_parts, listed_texts, one_part, whole_found, whole_paths
from broker.notices import Part
from broker.yaml_files import Problems, Wrong, nearest

__all__ = ["Branch", "Compiled", "Listed", "Origin", "Placed", "check_table", "compile_fields"]

_YES_NO = frozenset({"yes", "no"})


@dataclass(frozen=True, slots=True)
class Placed:
    """A field's right-hand side, where it stands, and who is told what is wrong with it."""

    take: Take
    place: Place
    wrong: Callable[[Wrong], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of parts, as `Placed`, with the fields of its parts."""

    repeat: Repeat
    branch: Branch
    place: Place
    wrong: Callable[[Wrong], None]


@dataclass(slots=True)
class Branch:
    """Fields and lists with `like` merged in: of a mapping or of one list."""

    fields: dict[str, Placed] = field(default_factory=dict)
    repeats: dict[str, Listed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which path gives a field: for `try`. Of a list, `inner` has those of its parts, in each group."""

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
    *,
    whole: bool = True,
) -> Compiled:
    """Steps for all fields of a model. What is wrong goes to `problems`; `beyond` are required as well.

    Of a file that is not `whole`, since some of it did not fit, it is not asked what it lacks.
    """
    maker = _Maker(model, branch, tables, problems, frozenset(beyond))
    steps = maker.block("")
    lacking = [
        name
        for name, shape in leaves(model)
        if (name in beyond or (shape.kind != "part" and _must(model, name))) and not maker.is_given(name)
    ]
    if lacking and whole:
        problems.add(f"fields: {', '.join(lacking)} cannot be left out", place)
    return Compiled(steps, tuple(maker.origins), tuple(maker.paths))


def _must(model: type[Part], dotted: str) -> bool:
    """Whether a notice cannot be without this: it and every part around it is required."""
    steps = dotted.split(".")
    return all(shape_of(model, ".".join(steps[: n + 1])).required for n in range(len(steps)))


class _Maker:
    """Makes the steps of one model."""

    def __init__(
        self,
        model: type[Part],
        branch: Branch,
        tables: Mapping[str, Table],
        problems: Problems,
        beyond: frozenset[str],
    ) -> None:
        self.model, self.branch, self.tables = model, branch, tables
        self.problems, self.beyond = problems, beyond
        self.origins: list[Origin] = []
        self.paths: list[Path] = []

    def is_given(self, name: str) -> bool:
        """Whether a field, a part around it or something within it is mapped."""
        steps = name.split(".")
        return any(".".join(steps[: n + 1]) in self.branch.fields for n in range(len(steps))) or any(
            one.startswith(f"{name}.") for one in self.branch.fields
        )

    def block(self, before: str) -> tuple[Step, ...]:
        """The steps for what stands below a dotted name ("": in the notice itself)."""
        names = {
            dotted[len(before) :].split(".")[0]: None
            for dotted in (*self.branch.fields, *self.branch.repeats)
            if dotted.startswith(before)
        }
        steps: list[tuple[Path | None, Step]] = []
        for name in names:
            if before + name in self.branch.repeats:
                step = self._list(before + name, name)
                if step is not None:
                    steps.append((None, step))
            else:
                made = self._field(before + name, name)
                if made is not None:
                    steps.append(made)
        return at_segments(steps)

    def _field(self, dotted: str, name: str) -> tuple[Path | None, Step] | None:
        """One field's step, with the path whose emptiness makes it do nothing, if there is such a one."""
        own = self.branch.fields.get(dotted)
        if own is None and not self._are_right(f"{dotted}."):
            return None
        try:
            shape = shape_of(self.model, dotted)
            if shape.kind == "part" and not shape.many:
                return self._part(dotted, name, shape, own)
            assert own is not None
            return self._leaf(dotted, name, shape, own.take)
        except Wrong as wrong:
            if own is not None:
                own.wrong(wrong)
            return None

    def _are_right(self, before: str) -> bool:
        """Whether there are all the fields that begin so; those that are not are told."""
        right = True
        said = [(key, placed.wrong) for key, placed in self.branch.fields.items()]
        said += [(key, listed.wrong) for key, listed in self.branch.repeats.items()]
        for key, tell in said:
            if key.startswith(before):
                try:
                    shape_of(self.model, key)
                except Wrong as wrong:
                    tell(wrong)
                    right = False
        return right

    def _leaf(self, dotted: str, name: str, shape: Shape, take: Take) -> tuple[Path | None, Step]:
        must = self._is_must(dotted, take)
        if shape.many:
            return None, self._many(dotted, name, shape, take)
        if take.all_of is not None:
            raise Wrong(f"{dotted} is no list", value=", ".join(take.all_of), at=("all_of",))
        reader = reader_of(take, self.tables)
        self.paths += reader.paths
        self.origins.append(Origin(dotted, reader.found))
        if shape.kind == "word" or take.table is not None:
            self._check_coded(dotted, shape, take)
            step = coded(dotted, name, shape, reader, must, take.table, take.unknown or "keep")
        else:
            step = plain(dotted, name, shape, reader, must)
        if take.date_add is not None:
            if shape.kind not in ("time", "date"):
                raise Wrong(f"{dotted} is no time", at=("date_add",))
            step = moved(step, name, timedelta(**take.date_add.model_dump()))
        return (None if must else _only_path(take, reader)), step

    def _is_must(self, dotted: str, take: Take | None) -> bool:
        return (take is not None and take.required) or dotted in self.beyond or _must(self.model, dotted)

    def _many(self, dotted: str, name: str, shape: Shape, take: Take) -> Step:
        paths = whole_paths(dotted, take) if shape.kind == "part" else self._text_paths(dotted, shape, take)
        self.paths += paths
        self.origins.append(Origin(dotted, whole_found(paths)))
        condition = self._condition(take)
        if shape.kind == "part":
            return listed_parts(dotted, name, shape, paths, condition, self.tables)
        return listed_texts(name, paths, condition, self.tables)

    def _text_paths(self, dotted: str, shape: Shape, take: Take) -> tuple[Path, ...]:
        texts = take.all_of or ((take.take,) if take.take is not None else ())
        if shape.kind != "text" or not texts:
            raise Wrong(f"{dotted} is a list: take or a list of paths is expected")
        return tuple(path_of(text) for text in texts)

    def _condition(self, take: Take) -> Condition | None:
        if take.when is not None:
            check_condition(take.when, self.tables)
        return take.when

    def _check_coded(self, dotted: str, shape: Shape, take: Take) -> None:
        known = shape.words or (_YES_NO if shape.kind == "flag" else frozenset())
        if shape.kind not in ("word", "text", "flag"):
            raise Wrong(
                f"{dotted} is a {shape.kind}: no table makes one", value=take.table or "", at=("table",)
            )
        if take.table is not None:
            if take.table not in self.tables:
                right = nearest(take.table, self.tables)
                raise Wrong("there is no such table", value=take.table, right=right, at=("table",))
            if known:
                check_table(self.tables[take.table], known, dotted, self.problems)
        for name, said, more in (("unknown", take.unknown, ("keep", "refuse")), ("value", take.value, ())):
            if said is not None and known and said not in known and said not in more:
                if name == "value" and take.table is not None:
                    continue
                words = [*more, *sorted(known)]
                right = nearest(said, words) or ", ".join(words)
                raise Wrong(f"{dotted}: there is no such word", value=said, right=right, at=(name,))

    def _part(self, dotted: str, name: str, shape: Shape, own: Placed | None) -> tuple[Path | None, Step]:
        """A part: of a whole field, of its own fields and lists, or of both, where these come last."""
        assert shape.part is not None
        take = own.take if own else None
        whole: Whole | None = None
        paths: tuple[Path, ...] = ()
        if take is not None:
            paths = whole_paths(dotted, take)
            self.paths += paths
            self.origins.append(Origin(dotted, whole_found(paths)))
            whole = one_part(dotted, shape, paths, self._condition(take), self.tables)
        must = self._is_must(dotted, take)
        steps = self.block(f"{dotted}.")
        needed = tuple(one for one, inner in fields_of(shape.part).items() if inner.required)
        step = _nested(dotted, name, whole, steps, needed, must, paths)
        alone = not must and not steps and len(paths) == 1 and paths[0].plain
        return (paths[0] if alone else None), step

    def _list(self, dotted: str, name: str) -> Step | None:
        listed = self.branch.repeats[dotted]
        repeat = listed.repeat
        try:
            shape = shape_of(self.model, dotted)
            if not (shape.many and shape.part is not None):
                raise Wrong(f"{dotted} is no list of parts", value=dotted)
            if not (repeat.each.isupper() and (len(repeat.each) == 3 or repeat.each in ("ORDER", "PATIENT"))):
                raise Wrong("each: a segment, ORDER or PATIENT is expected", value=repeat.each, at=("each",))
            if repeat.when is not None:
                check_condition(repeat.when, self.tables)
        except Wrong as wrong:
            listed.wrong(wrong)
            return None
        inner = compile_fields(shape.part, listed.branch, self.tables, self.problems, listed.place)
        self.paths += inner.paths
        self.origins.append(Origin(dotted, lambda view: (repeat.each, ""), repeat.each, inner.origins))
        return _each(name, repeat, inner, self.tables)


def check_table(table: Table, known: frozenset[str], dotted: str, problems: Problems) -> None:
    """Every word of a table that a field uses must be a word of that field."""
    for row in table:
        if row.word not in known:
            words, place = sorted(known), Place(table.file, row.line)
            said = f"{dotted} has no such word"
            if all(one.place != place or one.text != said for one in problems.errors):
                problems.add(said, place, value=row.word, right=nearest(row.word, words) or ", ".join(words))


def _only_path(take: Take, reader: Reader) -> Path | None:
    """The path whose empty field means that nothing is said at all."""
    if take.take is None or take.default is not None or not reader.paths[0].plain:
        return None
    return reader.paths[0]


def _nested(
    dotted: str,
    name: str,
    whole: Whole | None,
    steps: tuple[Step, ...],
    needed: tuple[str, ...],
    must: bool,
    paths: tuple[Path, ...],
) -> Step:
    number = dotted == "patient.number"

    def put(view: View, into: Values, reading: Reading) -> None:
        said = whole(view, reading) if whole is not None else {}
        inner = said or {}
        for step in steps:
            step(view, inner, reading)
        if number and "value" in inner and not inner.get("authority"):
            inner["authority"] = reading.site.resolve_authority("")
        for key in needed:
            if inner.get(key) is None:
                if must:
                    raise missing_part(dotted, paths, view, reading)
                inner = {}
                break
        if inner:
            into[name] = inner
        elif must:
            raise missing_part(dotted, paths, view, reading)
        elif said is None:
            into[name] = None

    return put


def _each(name: str, repeat: Repeat, inner: Compiled, tables: Mapping[str, Table]) -> Step:
    """One part for each segment or group. A single one whose first field is `""` deletes the list."""
    steps, group, condition = inner.steps, repeat.each, repeat.when
    key = inner.origins[0].found if inner.origins else None

    def put(view: View, into: Values, reading: Reading) -> None:
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
            for step in steps:
                step(one, values, reading)
            if values:
                found.append(values)
        if found:
            into[name] = tuple(found)

    return put
