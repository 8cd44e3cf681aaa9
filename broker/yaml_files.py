"""Strict YAML: every value is text, every error has a file and a line, and all are told at once. Floor 1.

HL7 codes such as `01`, `NO` or `12:30` must survive YAML, so nothing is a number or a date here: text
becomes a value in the typed field that it is for. Only a plain empty value, `null` or `~` is None.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from broker.errors import BrokerError, ConfigError, ConfigErrors, Place

__all__ = ["Document", "FileModel", "Problems", "Texts", "Wrong", "fit", "nearest", "read_yaml"]

MAX_BYTES = 1024 * 1024
MAX_VALUES = 50_000  # after aliases are followed, so that few lines cannot mean millions of values
MAX_DEPTH = 32

Loc = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "value", "merge")
)
_PATH_WITH_PICK = re.compile(r"[A-Z][A-Z0-9]{2}(?:\[[^\]]*\])?-?[0-9]*\[")


class Wrong(ValueError):
    """Raised where text becomes a value: what is wrong, the right word if there is one, and where within."""

    def __init__(self, text: str, *, value: str = "", right: str = "", at: Loc = ()) -> None:
        super().__init__(text)
        self.text, self.value, self.right, self.at = text, value, right, at


class FileModel(BaseModel):
    """What a YAML file, or a part of one, may say. Unknown keys are errors; values come as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Texts = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]
"""One text or a list of them."""


class Document:
    """One file as it was read: text, lists and mappings, and the line of each."""

    def __init__(self, file: str, value: Any, lines: Mapping[Loc, int]) -> None:
        self.file, self.value, self._lines = file, value, lines

    def place(self, at: Iterable[str | int] = ()) -> Place:
        """Where a value stands; what stands nowhere is placed where its nearest parent does."""
        loc = tuple(at)
        while loc and loc not in self._lines:
            loc = loc[:-1]
        return Place(self.file, self._lines.get(loc, 1))

    def at(self, loc: Iterable[str | int]) -> Any:
        """The value there; None where there is none."""
        value = self.value
        for step in loc:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


class Problems:
    """Everything that is wrong (errors) or doubtful (warnings), collected so that it is told at once."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[str] = []

    def add(self, text: str, place: Place | None = None, *, value: str = "", right: str = "") -> None:
        """One error."""
        self.errors.append(ConfigError(text, place=place, value=value, right=right))

    def warn(self, text: str, place: Place | None = None) -> None:
        """One warning."""
        self.warnings.append(f"{place}: {text}" if place else text)

    def wrong(self, error: Wrong | BrokerError, document: Document, at: Loc = ()) -> None:
        """What a value's reader said of it, at its place."""
        if isinstance(error, Wrong):
            self.add(error.text, document.place(at + error.at), value=error.value, right=error.right)
        else:
            self.add(error.text, document.place(at), value=error.value)

    def end(self) -> None:
        """Raises `ConfigErrors` with all errors, ordered by file and line, if there are any."""
        if self.errors:
            # What a mapping takes over by `like` may be found wrong once for each that is like it.
            self.errors = list({(str(error), error.place): error for error in self.errors}.values())
            self.errors.sort(
                key=lambda error: (error.place.file, error.place.line) if error.place else ("", 0)
            )
            raise ConfigErrors(self.errors)


def nearest(word: str, words: Iterable[str]) -> str:
    """The known word that is most like this one; "" where none is."""
    words = list(words)
    near = difflib.get_close_matches(word, words, 1) or difflib.get_close_matches(
        word.lower(), [one for one in words if one == one.lower()], 1
    )
    return near[0] if near else ""


def read_yaml(content: bytes, file: str, problems: Problems) -> Document | None:
    """A file's document; None when it cannot be read, which `problems` then says with the line."""
    if len(content) > MAX_BYTES:
        problems.add(f"the file is greater than {MAX_BYTES} bytes", Place(file))
        return None
    try:
        text = content.decode("utf-8-sig")
        node = YAML(typ="safe", pure=True).compose(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.add("the file is not UTF-8", Place(file, line))
        return None
    except MarkedYAMLError as error:
        problems.errors.append(_unreadable(error, file, text))
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        problems.add(f"this is no YAML: {type(error).__name__}", Place(file))
        return None
    reader = _Reader(file, problems)
    before = len(problems.errors)
    value = reader.value(node, (), 0) if node is not None else {}
    return None if len(problems.errors) > before else Document(file, value, reader.lines)


def _unreadable(error: MarkedYAMLError, file: str, text: str) -> ConfigError:
    # What was never closed is to be mended where it was opened, not at the end of the file.
    unclosed = error.context_mark is not None and "stream end" in str(error.problem)
    mark = error.context_mark if unclosed or error.problem_mark is None else error.problem_mark
    line = mark.line + 1 if mark else 0
    lines = text.splitlines()
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    found = _PATH_WITH_PICK.search(written)
    if "flow" in str(error.context) and found:
        return ConfigError(
            "a path with [ ] must stand in quotes where it is inside { } or [ ]",
            place=Place(file, line),
            value=written.strip(),
            right='such as {take: "PID-3[5=MR,4.1=NORTH].1"}',
            code="yaml",
        )
    said = ", ".join(str(part) for part in (error.context, error.problem) if part)
    return ConfigError(
        f"this is no YAML: {said}", place=Place(file, line), value=written.strip(), code="yaml"
    )


class _Reader:
    """Nodes to plain values, counting what they come to."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file, self.problems = file, problems
        self.lines: dict[Loc, int] = {}
        self.count = 0
        self.full = False

    def value(self, node: Node, at: Loc, depth: int) -> Any:
        self.count += 1
        if self.full or self.count > MAX_VALUES or depth > MAX_DEPTH:
            if not self.full:
                self.full = True
                text = f"more than {MAX_VALUES} values" if depth <= MAX_DEPTH else "values stand too deep"
                self.problems.add(f"{text}; aliases count as what they stand for", self._place(node))
            return None
        if node.tag not in _TAGS:
            self.problems.add("a file here has no tags", self._place(node), value=str(node.tag))
            return None
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            plain = node.style is None or node.style == ""
            return None if plain and node.value in ("", "null", "~") else node.value
        if isinstance(node, SequenceNode):
            return [self.value(item, (*at, n), depth + 1) for n, item in enumerate(node.value)]
        assert isinstance(node, MappingNode)
        return self._mapping(node, at, depth)

    def _mapping(self, node: MappingNode, at: Loc, depth: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self.problems.add("a key is a word", self._place(key))
                continue
            if key.value in read:
                self.problems.add("this key stands twice", self._place(key), value=key.value)
                continue
            self.lines[(*at, key.value)] = key.start_mark.line + 1
            read[key.value] = self.value(item, (*at, key.value), depth + 1)
        return read

    def _place(self, node: Node) -> Place:
        return Place(self.file, node.start_mark.line + 1)


def fit(
    model: type[Model],
    document: Document,
    problems: Problems,
    at: Loc = (),
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    faults: list[Loc] | None = None,
) -> Model | None:
    """A typed value from what stands at `at`; None when it does not fit, which `problems` then says.

    `only` and `without` leave keys out that another model reads; `faults` is given the place of each error.
    """
    value = document.at(at)
    if not isinstance(value, Mapping):
        problems.add(f"a mapping of {_keys(model)} is expected", document.place(at), value=_shown(value))
        return None
    wanted = set(value if only is None else only) - set(without)
    try:
        return model.model_validate({key: one for key, one in value.items() if key in wanted})
    except ValidationError as error:
        for found in error.errors(include_url=False):
            problems.errors.append(_told(found, model, document, at, tuple(without)))
            if faults is not None:
                faults.append(tuple(found["loc"]))
        return None


def _told(
    found: Any, model: type[BaseModel], document: Document, at: Loc, also: tuple[str, ...] = ()
) -> ConfigError:
    loc: Loc = tuple(found["loc"])
    place = document.place(at + loc)
    kind, given = found["type"], _shown(found["input"])
    wrong = found.get("ctx", {}).get("error")
    if isinstance(wrong, Wrong):
        return ConfigError(
            wrong.text, place=document.place(at + loc + wrong.at), value=wrong.value, right=wrong.right
        )
    name = ".".join(str(step) for step in loc)
    if kind == "extra_forbidden":
        known = _names(_model_at(model, loc[:-1])) + (list(also) if len(loc) == 1 else [])
        right = nearest(str(loc[-1]), known) or ", ".join(known)
        return ConfigError("there is no such key", place=place, value=str(loc[-1]), right=right)
    if kind == "missing":
        return ConfigError(f"{loc[-1]}: is missing", place=document.place(at + loc[:-1]))
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", found["ctx"]["expected"])
        right = nearest(given, words) or " or ".join(words)
        return ConfigError(f"{name}: no such word", place=place, value=given, right=right)
    return ConfigError(f"{name}: {_words(kind, found)}", place=place, value=given)


def _words(kind: str, found: Any) -> str:
    if kind in ("string_type", "tuple_type", "dict_type", "model_type", "list_type", "frozen_set_type"):
        expected = {"string": "text", "dict": "a mapping", "model": "a mapping"}.get(
            kind.split("_")[0], "a list"
        )
        return f"{expected} is expected"
    if kind.startswith("bool"):
        return "yes or no is expected"
    if kind.startswith(("int", "float", "decimal")):
        return "a number is expected"
    text = str(found["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return re.sub(r"\s+", " ", str(value))[:80]


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(_names(model))


def _names(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model whose keys stand at `loc`, as far as the types say."""
    here: Any = model
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            if step not in fields:
                return None
            here = _bare(fields[str(step)].annotation)
        else:
            inner = [_bare(arg) for arg in get_args(here) if arg is not Ellipsis]
            if not inner:
                return None
            here = inner[-1]
    here = _bare(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """An annotation without Annotated, Optional and the like."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin is None or origin in (tuple, list, dict, Literal) or _holds_others(origin):
            return annotation
        else:
            inner = [arg for arg in get_args(annotation) if arg is not type(None)]
            if not inner:
                return annotation
            annotation = inner[0]


def _holds_others(origin: Any) -> bool:
    """Whether an origin is a container whose arguments say what is in it."""
    return isinstance(origin, type) and issubclass(origin, (Sequence, Mapping, frozenset))
