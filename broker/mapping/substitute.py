"""A message with some paths set to other values: what an example's `with:` says. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from broker.hl7 import Message, Path, escape
from broker.mapping.file import path_of
from broker.yaml_files import Wrong

__all__ = ["substitute"]

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")


def substitute(raw: bytes, changes: Mapping[str, str]) -> bytes:
    """The message with these values.

    A path to a whole field or repetition takes text as a message has it, delimiters and all; a path to a
    component takes a value, which is escaped. "" empties. A segment's name alone with "" takes all such
    segments away; a path into a segment that is not there adds one at the end. Raises `Wrong`.
    """
    message = Message(raw)
    lines = [[name, *message.fields(at)[1:]] for at, name in enumerate(message.segment_names)]
    for text, value in changes.items():
        try:
            if _SEGMENT.fullmatch(text) and not value:
                lines = [line for line in lines if line[0] != text]
            else:
                _set(lines, path_of(text), value, message)
        except Wrong as wrong:
            wrong.at = (text, *wrong.at)
            raise
    separator = message.delimiters.field
    written = []
    for line in lines:
        # In MSH the separator itself is the first field.
        written.append(separator.join([line[0], *line[2:]] if line[0] == "MSH" else line).rstrip(separator))
    text = "".join(f"{line}\r" for line in written)
    try:
        return text.encode(message.codec)
    except UnicodeEncodeError as error:
        if message.header.charsets:
            raise Wrong(f"a value does not fit the message's character set, {message.codec}") from error
        return text.encode()  # as one that names none is read


def _set(lines: list[list[str]], path: Path, value: str, message: Message) -> None:
    if path.conditions or path.segment_conditions or path.anchor:
        raise Wrong("a number says where a value is set, such as DG1[2]-3.1", value=path.text)
    if path.segment == "MSH" and path.field <= 2:
        raise Wrong("delimiters cannot be set", value=path.text)
    found = [line for line in lines if line[0] == path.segment]
    number = path.segment_number or 1
    while len(found) < number:
        found.append([path.segment])
        lines.append(found[-1])
    fields = found[number - 1]
    _lengthen(fields, path.field)
    repetition, component, subcomponent, _ = message.delimiters.marks
    if not path.component and not path.repetition:
        fields[path.field] = value
        return
    parts = fields[path.field].split(repetition)
    place = (path.repetition or 1) - 1
    _lengthen(parts, place)
    if not path.component:
        parts[place] = value
    else:
        text = escape(value, message.delimiters) if value != '""' else value
        components = parts[place].split(component)
        _lengthen(components, path.component - 1)
        leaves = components[path.component - 1].split(subcomponent)
        if path.subcomponent:
            _lengthen(leaves, path.subcomponent - 1)
            leaves[path.subcomponent - 1] = text
        else:
            leaves = [text]
        components[path.component - 1] = subcomponent.join(leaves)
        parts[place] = component.join(components).rstrip(component)
    fields[path.field] = repetition.join(parts)


def _lengthen(texts: list[str], last: int) -> None:
    texts += [""] * (last + 1 - len(texts))
