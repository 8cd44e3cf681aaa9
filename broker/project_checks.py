"""What holds between the files of a project: names, ports, events with their undo. Floor 6."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as Words
from typing import Any

from broker.care.vocabulary import NOTIFICATION_KINDS
from broker.channel import Care, Channel, Outbound
from broker.channel_file import Use
from broker.conditions import Condition
from broker.mapping import Mapping, Table
from broker.mapping.load import MappingFiles
from broker.site import Site
from broker.yaml_files import Document, Problems, nearest

__all__ = ["UNDO", "check_directions", "check_project"]

# Event: what takes it back (DOMAIN 1.4).
UNDO: Words[str, str] = {
    "A01": "A11", "A02": "A12", "A03": "A13", "A04": "A11", "A05": "A38", "A09": "A33", "A10": "A32",
    "A14": "A27", "A15": "A26", "A16": "A25", "A21": "A52", "A22": "A53", "A24": "A37", "A54": "A55",
    "A61": "A62",
}  # fmt: skip
MERGES = ("A40", "A34", "A18", "A30", "A36", "A39")
_EVENT = re.compile(r"(?:[A-Z][A-Z0-9]{2}\^)?[A-Z][A-Z0-9]{2}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

Loc = tuple[str | int, ...]


def check_project(
    channels: Words[str, Channel],
    documents: Words[str, Document],
    sites: Words[str, Site],
    tables: Words[str, Table],
    mappings: MappingFiles,
    problems: Problems,
) -> set[str]:
    """Checks every channel against the rest; returns the names of the mappings that are used."""
    used: set[str] = set()
    ports: dict[int, list[tuple[str, str]]] = {}
    for name, channel in channels.items():
        document = documents[name]
        checker = _Checker(channel, document, tables, mappings, problems)
        checker.names()
        checker.sites(sites)
        checker.conditions()
        if channel.mllp is not None and channel.mllp.port:
            _check_port(channel, ports, document, problems)
        if channel.answer_to is not None:
            _check_answer_to(channel.answer_to, channels, document, problems)
        used |= checker.deliveries()
    return used


def check_directions(
    channels: Words[str, Channel],
    documents: Words[str, Document],
    mappings: Words[str, Mapping],
    problems: Problems,
) -> None:
    """Whether each mapping goes the way it is used, from the right kind."""
    for name, channel in channels.items():
        for delivery, one in channel.deliver.items():
            at: Loc = ("deliver", delivery, "map")
            if isinstance(one, Care):
                for event, uses in one.map.items():
                    for use in uses:
                        found = mappings.get(use.use)
                        if found is not None and found.outbound is not None:
                            place = documents[name].place((*at, event))
                            problems.add(
                                "this mapping makes no notice: it is for what leaves", place, value=use.use
                            )
            else:
                for kind, used in one.map.items():
                    found = mappings.get(used)
                    place = documents[name].place((*at, kind))
                    if found is not None and found.outbound is None:
                        problems.add("this mapping makes a notice: what leaves has from:", place, value=used)
                    elif found is not None and found.outbound.start != kind:
                        problems.add(f"this mapping is from {found.outbound.start}", place, value=used)


def _check_port(
    channel: Channel, ports: dict[int, list[tuple[str, str]]], document: Document, problems: Problems
) -> None:
    mllp = channel.mllp
    assert mllp is not None
    everywhere = ("0.0.0.0", "::", "")
    for other, host in ports.get(mllp.port, ()):
        if host == mllp.host or host in everywhere or mllp.host in everywhere:
            place = document.place(("receive", "mllp", "port"))
            problems.add(f"channel {other} listens on this port", place, value=str(mllp.port))
    ports.setdefault(mllp.port, []).append((channel.name, mllp.host))


def _check_answer_to(
    said: str, channels: Words[str, Channel], document: Document, problems: Problems
) -> None:
    name, _, delivery = said.partition("/")
    known = [
        f"{one.name}/{key}"
        for one in channels.values()
        for key, outbound in one.deliver.items()
        if isinstance(outbound, Outbound)
    ]
    channel = channels.get(name)
    if channel is None or not isinstance(channel.deliver.get(delivery), Outbound):
        right = nearest(said, known) or "channel/destination"
        problems.add(
            "answer_to: no such destination", document.place(("answer_to",)), value=said, right=right
        )


class _Checker:
    """One channel's checks."""

    def __init__(
        self,
        channel: Channel,
        document: Document,
        tables: Words[str, Table],
        mappings: MappingFiles,
        problems: Problems,
    ) -> None:
        self.channel, self.document, self.tables = channel, document, tables
        self.mappings, self.problems = mappings, problems

    def add(self, text: str, at: Loc, value: str = "", right: str = "") -> None:
        """An error at a place of this channel's file."""
        self.problems.add(text, self.document.place(at), value=value, right=right)

    def names(self) -> None:
        """Names that stand in paths and rows must be plain."""
        for name in (self.channel.name, *self.channel.said.deliver):
            if not _NAME.fullmatch(name):
                at: Loc = () if name == self.channel.name else ("deliver", name)
                self.add("a name has letters, digits, _ and - only", at, name)

    def sites(self, sites: Words[str, Site]) -> None:
        """Every site is there; who receives messages has one."""
        for n, name in enumerate(self.channel.sites):
            if name not in sites:
                self.add(
                    "there is no such site", ("sites", n), name, nearest(name, sites) or ", ".join(sites)
                )
        if self.channel.mllp is not None and not self.channel.sites:
            self.add("sites: at least one is needed where messages are received", ())

    def conditions(self) -> None:
        """`only` asks messages; every table that conditions name is there."""
        if self.channel.only is not None:
            self.condition(self.channel.only, "message", ("only",))

    def condition(self, condition: Condition, asks: str, at: Loc) -> None:
        """One condition."""
        for test in condition.each():
            if (test.path is None) == (asks == "message"):
                right = "a path, such as PV1-2" if asks == "message" else "a word, such as patient_class"
                self.add("a notification has no paths" if test.path else "a message has no such word",
                         (*at, test.key), test.key, right)  # fmt: skip
            if test.table and test.table not in self.tables:
                right = nearest(test.table, self.tables)
                self.add("there is no such table", (*at, test.key), test.table, right)

    def deliveries(self) -> set[str]:
        """Each delivery by its kind; returns the mappings that are used."""
        used: set[str] = set()
        kinds = self.channel.notifications
        for n, kind in enumerate(kinds):
            if kind not in NOTIFICATION_KINDS:
                right = nearest(kind, NOTIFICATION_KINDS) or ", ".join(NOTIFICATION_KINDS)
                self.add("there is no such notification", ("receive", "notifications", n), kind, right)
        for name, one in self.channel.deliver.items():
            at: Loc = ("deliver", name)
            if isinstance(one, Care):
                if self.channel.mllp is None:
                    self.add("care takes messages, not notifications", at)
                used |= self.care(one, at)
            elif self.channel.mllp is not None:
                if one.when is not None:
                    self.condition(one.when, "message", (*at, "when"))
                if one.map:
                    self.add("a message is passed on as it is: map is for notifications", (*at, "map"))
            else:
                used |= self.outbound(one, kinds, at)
        return used

    def care(self, care: Care, at: Loc) -> set[str]:
        """Events and their mappings."""
        used: set[str] = set()
        for event, uses in care.map.items():
            here: Loc = (*at, "map", event)
            if not _EVENT.fullmatch(event):
                self.add("an event is expected (A03), or type and event (ORU^R01)", here, event)
            for n, use in enumerate(uses):
                place: Loc = (*here, n) if len(uses) > 1 else here
                if self.mapping(use.use, place):
                    used.add(use.use)
                if use.when is not None:
                    self.condition(use.when, "message", (*place, "when"))
        self.undone(care.map)
        return used

    def mapping(self, name: str, at: Loc) -> bool:
        """Whether there is such a mapping."""
        known = self.mappings.names
        if name in known:
            return True
        self.add("there is no such mapping", at, name, nearest(name, known))
        return False

    def undone(self, events: Words[str, tuple[Use, ...]]) -> None:
        """Warns of an event that is mapped without what takes it back, and of admissions alone."""
        mapped = {event.rpartition("^")[2] for event in events}
        place = self.document.place(("deliver", "care", "map"))
        for event in sorted(mapped & UNDO.keys()):
            if UNDO[event] not in mapped:
                self.problems.warn(f"{event} is mapped and what takes it back, {UNDO[event]}, is not", place)
        if "A01" in mapped:
            for event, why in (("A06", "an emergency visit becomes an admission by it"),
                               ("A08", "what changes during a stay comes by it")):  # fmt: skip
                if event not in mapped:
                    self.problems.warn(f"A01 is mapped and {event} is not: {why}", place)
            if not mapped & set(MERGES):
                said = f"A01 is mapped and no merge is (one of {', '.join(MERGES)})"
                self.problems.warn(f"{said}: two records of one person stay two", place)

    def outbound(self, one: Outbound, kinds: Iterable[str], at: Loc) -> set[str]:
        """What leaves: each kind with its mapping where the destination needs one."""
        used: set[str] = set()
        if one.when is not None:
            self.condition(one.when, "content", (*at, "when"))
        for kind, name in one.map.items():
            if kind not in kinds:
                self.add("this kind is not received here", (*at, "map", kind), kind, nearest(kind, kinds))
            if self.mapping(name, (*at, "map", kind)):
                used.add(name)
        options: Any = one.options
        if getattr(options, "needs_payload", False):
            for kind in kinds:
                if kind not in one.map:
                    said = f"{kind} has no mapping, and {one.to} needs one: it cannot be sent there"
                    self.problems.warn(said, self.document.place((*at, "map")))
        return used
