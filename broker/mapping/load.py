"""Mapping files of a folder, with `like` merged in, compiled. Pure: the files' content comes in."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Words
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from broker.errors import Place
from broker.mapping.apply import BEYOND, Door, Mapping
from broker.mapping.compile import Branch, Listed, Placed, compile_fields
from broker.mapping.content_words import LISTS
from broker.mapping.file import Example, MappingFile, Repeat, Take
from broker.mapping.outbound import TYPE, Leaving, Line, ListLine, line_of
from broker.mapping.read import check_condition
from broker.mapping.tables import Table
from broker.notices import NOTICES
from broker.yaml_files import Document, Problems, Wrong, fit, nearest, read_yaml

__all__ = ["MappingFiles"]

Loc = tuple[str | int, ...]
_PARTS = ("fields", "repeats", "examples")


@dataclass(frozen=True, slots=True)
class _Read:
    """One mapping file: as typed, and where its words stand."""

    said: MappingFile
    document: Document
    whole: bool = True


class MappingFiles:
    """The mapping files of a project and the standard ones.

    `files` are the project's by stem, `standard` the shipped ones; both as (name of the file, content).
    A project's file comes before a standard one of the same name, which it may be `like`.
    """

    def __init__(
        self,
        files: Words[str, tuple[str, bytes]],
        standard: Words[str, tuple[str, bytes]],
        tables: Words[str, Table],
        problems: Problems,
        door: Callable[[str], Callable[[], Door]],
    ) -> None:
        self._files, self._standard = files, standard
        self._tables, self._problems, self._door = tables, problems, door
        self._read: dict[str, _Read | None] = {}

    @property
    def names(self) -> list[str]:
        """Every mapping that there is."""
        return [*self._files, *(name for name in self._standard if name not in self._files)]

    def mapping(self, name: str) -> Mapping | None:
        """A mapping by its name; None where there is none or its file is wrong; `problems` then says why."""
        files = self._files if name in self._files else self._standard
        read = self._file(name, files)
        chain = self._chain(name, read, files) if read else None
        return self._compiled(name, chain) if chain else None

    def _file(self, name: str, files: Words[str, tuple[str, bytes]]) -> _Read | None:
        if name not in files:
            return None
        file, content = files[name]
        if file not in self._read:
            document = read_yaml(content, file, self._problems)
            self._read[file] = self._typed(document) if document else None
        return self._read[file]

    def _typed(self, document: Document) -> _Read | None:
        """The file as typed. Of one that does not fit, what does is read all the same, for its own errors."""
        faults: list[Loc] = []
        said = fit(MappingFile, document, self._problems, faults=faults)
        if said is None and isinstance(document.value, dict) and all(loc[0] in _PARTS for loc in faults):
            try:
                said = MappingFile.model_validate(_without(document.value, faults))
            except ValidationError:
                return None
        return _Read(said, document, not faults) if said else None

    def _chain(self, name: str, read: _Read, files: Words[str, tuple[str, bytes]]) -> list[_Read] | None:
        """The mapping and what it is like, the nearest first."""
        chain, seen = [read], {read.document.file}
        while read.said.like is not None:
            like, place = read.said.like, read.document.place(("like",))
            # Like its own name: the standard one that it stands in for.
            files = self._standard if like == name or like not in self._files else self._files
            if like not in files:
                right = nearest(like, self.names)
                self._problems.add("like: there is no such mapping", place, value=like, right=right)
                return None
            if files[like][0] in seen:
                self._problems.add("like: this goes round in a circle", place, value=like)
                return None
            found = self._file(like, files)
            if found is None:
                return None  # its own errors are told
            seen.add(found.document.file)
            chain.append(found)
            name, read = like, found
        return chain

    def _compiled(self, name: str, chain: list[_Read]) -> Mapping | None:
        first = chain[0]
        said, document = first.said, first.document
        produces, start = _first(chain, "produces"), _first(chain, "from_")
        examples = tuple(
            (example, document.place(("examples", n, "name"))) for n, example in enumerate(said.examples)
        )
        if not examples and "examples" not in document.value:
            self._problems.add("examples: at least one is needed", document.place())
        if start is not None:
            return self._leaving(name, chain, start, produces, examples)
        if said.python is not None:
            if said.fields or said.repeats:
                self._problems.add("python: then no fields stand here", document.place(("python",)))
            try:
                door = self._door(said.python)
            except Wrong as wrong:
                self._problems.wrong(wrong, document, ("python",))
                return None
            return Mapping(
                name, said.mapping, produces or "", document.place(), door=door, python=said.python,
                examples=examples,
            )  # fmt: skip
        if produces not in NOTICES:
            right = nearest(produces or "", NOTICES) or "one of " + ", ".join(NOTICES)
            at = document.place(("produces",)) if said.produces else document.place()
            self._problems.add("produces: no such notice", at, value=produces or "", right=right)
            return None
        branch = merged(chain, self._problems)
        before = len(self._problems.errors)
        notice = NOTICES[produces]
        compiled = compile_fields(
            notice,
            branch,
            self._tables,
            self._problems,
            document.place(("fields",)),
            BEYOND.get(produces, ()),
            whole=all(read.whole for read in chain),
        )
        if len(self._problems.errors) > before:
            return None
        return Mapping(
            name,
            said.mapping,
            produces,
            document.place(),
            notice,
            compiled,
            examples=examples,
            tables=tables_of(branch),
        )

    def _leaving(
        self,
        name: str,
        chain: list[_Read],
        start: str,
        produces: str | None,
        examples: tuple[tuple[Example, Place], ...],
    ) -> Mapping | None:
        """A mapping of what leaves."""
        document = chain[0].document
        before = len(self._problems.errors)
        is_text = produces == "text"
        types: dict[str, str | None] = {"tell": produces}
        types["correct"] = _first(chain, "corrects_with") or produces
        types["retract"] = _first(chain, "retracts_with")
        for act, said in types.items():
            if said is not None and not is_text and not TYPE.fullmatch(said):
                key = {"tell": "produces", "correct": "corrects_with", "retract": "retracts_with"}[act]
                right = "such as ADT^A03, ADT^A03^ADT_A03 or text"
                self._problems.add(f"{key}: no message", document.place((key,)), value=said, right=right)
        if produces is None:
            self._problems.add("produces: is missing", document.place())
        version = _first(chain, "version") or "2.5.1"
        branch = merged(chain, self._problems)
        lines = self._lines(branch, is_text=is_text)
        if is_text and list(branch.fields) != ["text"]:
            self._problems.add("fields: of a text there is one, text", document.place(("fields",)))
        lists = tuple(one for key, listed in branch.repeats.items() if (one := self._list(key, listed)))
        if len(self._problems.errors) > before:
            return None
        return Mapping(
            name,
            chain[0].said.mapping,
            produces or "",
            document.place(),
            examples=examples,
            tables=tables_of(branch),
            outbound=Leaving(start, is_text, version, types, lines, lists),
        )

    def _lines(
        self, branch: Branch, *, is_text: bool, within: str = "", segment: str = ""
    ) -> tuple[Line, ...]:
        lines = []
        for key, placed in branch.fields.items():
            try:
                lines.append(line_of(key, placed.take, self._tables, is_text=is_text, within=within))
                if segment and not key.startswith(f"{segment}-"):
                    raise Wrong(f"this stands in a list of {segment}", value=key)
            except Wrong as wrong:
                placed.wrong(wrong)
        return tuple(lines)

    def _list(self, key: str, listed: Listed) -> ListLine | None:
        repeat = listed.repeat
        try:
            if not (len(key) == 3 and key.isupper()):
                raise Wrong("of what leaves, a segment's name is expected", value=key, right="such as DG1")
            if repeat.each not in LISTS:
                right = nearest(repeat.each, LISTS) or ", ".join(LISTS)
                raise Wrong("each: there is no such list", value=repeat.each, right=right, at=("each",))
            if listed.branch.repeats:
                raise Wrong("a list of what leaves has no lists in it", at=("repeats",))
            if repeat.when is not None:
                check_condition(repeat.when, self._tables, "content")
        except Wrong as wrong:
            listed.wrong(wrong)
            return None
        lines = self._lines(listed.branch, is_text=False, within=repeat.each, segment=key)
        return ListLine(key, repeat.each, lines, repeat.when)


def _without(value: dict[str, Any], faults: list[Loc]) -> dict[str, Any]:
    """A mapping's text without the fields, lists and examples that do not fit."""
    kept = {key: dict(one) if isinstance(one, dict) else one for key, one in value.items()}
    for word, *rest in faults:
        if word == "examples" or not rest:
            kept.pop(str(word), None)
        else:
            kept[str(word)].pop(rest[0], None)
    return kept


def _first(chain: list[_Read], word: str) -> str | None:
    """What the nearest of a chain says."""
    return next((said for read in chain if (said := getattr(read.said, word)) is not None), None)


def merged(chain: list[_Read], problems: Problems) -> Branch:
    """All fields and lists of a mapping and what it is like: by key, the nearer word wins, null removes."""
    branch = Branch()
    for read in reversed(chain):
        _merge(branch, read.said.fields, read.said.repeats, read.document, (), problems)
    return branch


def _merge(
    branch: Branch,
    fields: Words[str, Take | None],
    repeats: Words[str, Repeat | None],
    document: Document,
    at: Loc,
    problems: Problems,
) -> None:
    for key, take in fields.items():
        if take is None:
            branch.fields.pop(key, None)
            continue
        loc = (*at, "fields", key)
        branch.fields[key] = Placed(take, document.place(loc), _teller(problems, document, loc))
    for key, repeat in repeats.items():
        if repeat is None:
            branch.repeats.pop(key, None)
            continue
        loc = (*at, "repeats", key)
        known = branch.repeats.get(key)
        inner = known.branch if known else Branch()
        if known and not repeat.each:
            repeat = _with_group(repeat, known.repeat)
        branch.repeats[key] = Listed(repeat, inner, document.place(loc), _teller(problems, document, loc))
        _merge(inner, repeat.fields, repeat.repeats, document, loc, problems)


def _with_group(repeat: Repeat, known: Repeat) -> Repeat:
    """A list that says only what differs has the group of the one that it is like."""
    return repeat.model_copy(update={"each": known.each, "when": repeat.when or known.when})


def _teller(problems: Problems, document: Document, loc: Loc) -> Callable[[Wrong], None]:
    return lambda wrong: problems.wrong(wrong, document, loc)


def tables_of(branch: Branch) -> frozenset[str]:
    """The tables that its fields name."""
    named = {placed.take.table for placed in branch.fields.values() if placed.take.table}
    for listed in branch.repeats.values():
        named |= tables_of(listed.branch)
    return frozenset(named)
