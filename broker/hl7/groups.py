"""A part of a message, read by path like the whole: a patient, an order, an observation. Floor 1."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from broker.hl7.grammar import ANCHORS, ORDER_SEGMENTS, carries, owns
from broker.hl7.paths import Path, leaf_of, repetitions_of, segment_fits
from broker.hl7.unreadable import MAX_COMPONENTS

if TYPE_CHECKING:
    from broker.hl7.delimiters import Delimiters
    from broker.hl7.message import Message

__all__ = ["View"]

_NOTHING: list[str] = []


class View:
    """The segments from `start` to before `stop` of a message.

    A path whose segment belongs outside such a group (PV1 seen from an OBX) is read from the group
    around it: the order, the patient, the message. One that belongs inside and is not there is ''.
    """

    __slots__ = ("_first", "_index", "_parent", "_root", "codec", "delimiters", "kind", "start", "stop")

    delimiters: Delimiters
    codec: str

    def __init__(self, root: Message, kind: str, start: int, stop: int) -> None:
        self._root, self.kind, self.start, self.stop = root, kind, start, stop
        self.delimiters, self.codec = root.delimiters, root.codec
        self._parent: View | None = None
        self._first: dict[str, list[str]] = {}
        self._index: dict[str, list[int]] | None = None

    @property
    def root(self) -> Message:
        """The whole message."""
        return self._root

    @property
    def parent(self) -> View:
        """The group around this one; of the message itself, the message."""
        if self._parent is None:
            self._parent = self._find_parent()
        return self._parent

    def _find_parent(self) -> View:
        root = self.root
        if self.kind not in ("ORDER", "PATIENT", ""):
            order = _around(root.orders, self.start)
            if order:
                return View(root, "ORDER", *order)
        if self.kind not in ("PATIENT", ""):
            patient = _around(root.patients, self.start)
            if patient:
                return View(root, "PATIENT", *patient)
        return root

    def get(self, path: Path | str) -> str:
        """The first leaf that the path names, unescaped; '' when empty or absent, `""` when sent as null."""
        if not isinstance(path, Path):
            path = Path.parse(path)
        if not path.plain:
            return self._search(path)
        fields = self._first.get(path.segment)
        if fields is None:
            fields = self._find(path.segment)
        try:
            text = fields[path.field]
        except IndexError:
            return ""
        if not text:
            return ""
        delimiters = self.delimiters
        if delimiters.marks[0] in text:
            if path.field == 2 and path.segment in _WITH_DELIMITERS:
                return text
            parts = text.split(delimiters.marks[0], path.repetition or 1)
            number = path.repetition - 1 if path.repetition else 0
            if number >= len(parts):
                return ""
            text = parts[number]
        elif path.repetition > 1:
            return ""
        return leaf_of(text, path.component, path.subcomponent, delimiters, self.codec)

    def all(self, path: Path | str) -> tuple[str, ...]:
        """The leaves of all segments and repetitions that the path lets through, in order; no empty ones."""
        if not isinstance(path, Path):
            path = Path.parse(path)
        return tuple(value for value in self._leaves(path) if value)

    def first(self, segment: str) -> list[str]:
        """The fields of the first such segment as they came; the index is the field's number. [] if none."""
        fields = self._first.get(segment)
        return self._find(segment) if fields is None else fields

    def repetitions(self, path: Path) -> list[str]:
        """The repetitions of a field that the path lets through, in order and as they came: still escaped.

        Component and subcomponent of the path play no part; empty repetitions are left out.
        """
        root = self.root
        if path.plain:
            segments: Iterable[list[str]] = (self.first(path.segment),)
        elif path.segment not in root.segment_names:
            return []
        else:
            segments = self._segments(path)
        found: list[str] = []
        for fields in segments:
            text = fields[path.field] if path.field < len(fields) else ""
            if text:
                found += repetitions_of(text, path, root.delimiters, root.codec)
        return [part for part in found if part]

    def each(self, group: str) -> tuple[View, ...]:
        """Every segment of a name with what hangs on it, or every PATIENT (a PID until the next) or ORDER.

        An OBR comes as its order: the ORC before it, its NTE, its OBX and theirs.
        """
        root, start, stop = self.root, self.start, self.stop
        if group in ("PATIENT", "PID"):
            return self._inside("PATIENT", root.patients)
        if group in ("ORDER", "OBR", "ORC"):
            views = self._inside("ORDER", root.orders)
            return views if group == "ORDER" else tuple(view for view in views if group in view.names)
        hanging, names = carries(group), root.segment_names
        views_found: list[View] = []
        for at in self._at(group):
            if not start <= at < stop:
                continue
            end = at + 1
            while end < stop and (names[end] in hanging or names[end][0] == "Z"):
                end += 1
            view = View(root, group, at, end)
            view._first[group] = root.fields(at)
            views_found.append(view)
        return tuple(views_found)

    @property
    def names(self) -> list[str]:
        """The names of its segments, in order and in upper case."""
        return self.root.segment_names[self.start : self.stop]

    def path_values(self) -> Iterator[tuple[str, str]]:
        """Every leaf that holds something: its path from this group, as short as may be, and its text."""
        counts: dict[str, int] = {}
        names = self.names
        for at, name in enumerate(names, self.start):
            counts[name] = counts.get(name, 0) + 1
            several = names.count(name) > 1 if counts[name] == 1 else True
            prefix = f"{name}[{counts[name]}]" if several else name
            for number, text in enumerate(self.root.fields(at)):
                if number and text:
                    yield from self._leaves_of_field(f"{prefix}-{number}", name, number, text)

    def _leaves_of_field(self, path: str, name: str, number: int, text: str) -> Iterator[tuple[str, str]]:
        delimiters, codec = self.delimiters, self.codec
        if number <= 2 and name in _WITH_DELIMITERS:
            yield path, text
            return
        repetition, mark, sub, _ = delimiters.marks
        repetitions = text.split(repetition)
        for r, part in enumerate(repetitions, 1):
            here = f"{path}[{r}]" if len(repetitions) > 1 else path
            components = part.split(mark)
            for c, piece in enumerate(components, 1):
                leaves = piece.split(sub)
                for s, leaf in enumerate(leaves, 1):
                    if leaf:
                        tail = f".{c}.{s}" if len(leaves) > 1 else f".{c}" if len(components) > 1 else ""
                        yield here + tail, leaf_of(leaf, 0, 0, delimiters, codec)

    def _search(self, path: Path) -> str:
        return next(self._leaves(path), "")

    def _leaves(self, path: Path) -> Iterator[str]:
        delimiters, codec = self.delimiters, self.codec
        for fields in self._segments(path):
            text = fields[path.field] if path.field < len(fields) else ""
            if path.field <= 2 and path.segment in _WITH_DELIMITERS:
                yield text
                continue
            for part in repetitions_of(text, path, delimiters, codec):
                yield leaf_of(part, path.component, path.subcomponent, delimiters, codec)

    def _segments(self, path: Path) -> Iterator[list[str]]:
        root, number = self.root, 0
        at_all = self._anchored(path) if path.anchor else self._at(path.segment)
        for at in at_all:
            fields = root.fields(at)
            if path.segment_conditions and not segment_fits(fields, path, self.delimiters, self.codec):
                continue
            number += 1
            if not path.segment_number:
                yield fields
            elif number == path.segment_number:
                yield fields
                return

    def _anchored(self, path: Path) -> Iterator[int]:
        names = self.root.segment_names
        for anchor in self._at(path.anchor):
            for at in range(anchor + 1, len(names)):
                if names[at] in ANCHORS and names[at] != path.segment:
                    break
                if names[at] == path.segment:
                    yield at

    def _find(self, name: str) -> list[str]:
        root = self.root
        if self._index is None and name != "NTE":
            try:
                at = root.segment_names.index(name, self.start, self.stop)
            except ValueError:
                pass
            else:
                self._first[name] = found = root.fields(at)
                return found
        places = self._at(name)
        self._first[name] = found = root.fields(places[0]) if places else _NOTHING
        return found

    def _at(self, name: str) -> Sequence[int]:
        """The places of such segments in this group or, if it belongs further out, in the one around it."""
        if self._index is None:
            # What others are read from is indexed once a message, not once for each of the others.
            indexes = self.root.indexes
            self._index = indexes.get((self.kind, self.start))
            if self._index is None:
                self._index = indexes[self.kind, self.start] = self._build()
        places = self._index.get(name)
        if places is not None:
            return places
        if self.kind == "" or owns(self.kind, name):
            return ()
        return self.parent._at(name)

    def _build(self) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        names = self.root.segment_names
        # In an order or a patient, NTE means the notes on the order or the patient itself.
        inner = {"ORDER": frozenset({"OBX", "SPM"}), "PATIENT": ORDER_SEGMENTS}.get(self.kind, frozenset())
        last = ""
        for at in range(self.start, self.stop):
            name = names[at]
            if name != "NTE":
                last = name
            elif last in inner:
                continue
            index.setdefault(name, []).append(at)
        return index

    def _inside(self, kind: str, ranges: list[tuple[int, int]]) -> tuple[View, ...]:
        return tuple(
            View(self.root, kind, start, min(stop, self.stop))
            for start, stop in ranges
            if self.start <= start < self.stop
        )


_WITH_DELIMITERS = frozenset({"MSH", "FHS", "BHS"})


def _around(ranges: list[tuple[int, int]], at: int) -> tuple[int, int] | None:
    place = bisect_right(ranges, (at, MAX_COMPONENTS)) - 1
    if place >= 0 and ranges[place][0] <= at < ranges[place][1]:
        return ranges[place]
    return None
