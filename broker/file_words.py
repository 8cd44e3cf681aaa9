"""Every key of every file that an analyst writes, and what it means: for `broker explain`. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from broker.care.vocabulary import NOTIFICATION_KINDS, RECIPIENTS, WHEN_MEANS
from broker.channel_file import CareFile, ChannelFile, OutboundFile
from broker.mapping.content_words import WORDS
from broker.mapping.file import MappingFile
from broker.project_rules import PolicyFile, RulesFile
from broker.site import SiteFile

__all__ = ["FILES", "file_words"]

FILES: dict[str, tuple[type[BaseModel], ...]] = {
    "channels/NAME.yaml": (ChannelFile, CareFile, OutboundFile),
    "channels/sites/NAME.yaml": (SiteFile,),
    "channels/rules/NAME.yaml": (RulesFile,),
    "channels/policy.yaml": (PolicyFile,),
    "mappings/NAME.yaml": (MappingFile,),
}
_CONDITIONS = {
    "starts_with": "A condition: a value begins with this.",
    "matches": "A condition: a value matches this pattern (RE2), anywhere in it.",
    "present": 'A condition: yes, something other than nothing or "" stands there; no, it does not.',
    "above": "A condition: a value is a number above this.",
    "below": "A condition: a value is a number below this.",
    "in_table": "A condition: a value is a code of this table.",
    "not": "A condition: no value is this, one of these, or such.",
    "any": "A condition: at least one of these conditions holds.",
}


@cache
def file_words() -> dict[str, tuple[tuple[str, str], ...]]:
    """By word: in which file it stands and what it means there."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file, models in FILES.items():
        for model in models:
            for key, text in _keys(model, set()):
                said = (file, text)
                if said not in found.setdefault(key, []):
                    found[key].append(said)
    for word, text in _CONDITIONS.items():
        found.setdefault(word, []).append(("only, when", text))
    for words, where in (
        (WHEN_MEANS, "when"),
        (RECIPIENTS, "recipients"),
        (NOTIFICATION_KINDS, "notification"),
    ):
        for word, text in words.items():
            found.setdefault(word, []).append((f"channels/rules/NAME.yaml, {where}", text))
    told = f"What a notification says, for mappings of what leaves: {', '.join(sorted(WORDS))}."
    found.setdefault("content", []).append(("mappings/NAME.yaml, fields", told))
    return {word: tuple(said) for word, said in found.items()}


def _keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[str, str]]:
    """Every key of a model and of what stands in it."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        inners = tuple(_models(field.annotation))
        description = field.description or next((_first_words(inner) for inner in inners), "")
        yield field.alias or name, _text(description, field.default, required=field.is_required())
        for inner in inners:
            yield from _keys(inner, seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _first_words(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _text(description: str, default: Any, *, required: bool) -> str:
    said = [description] if description else []
    if required:
        said.append("Must be said.")
    elif isinstance(default, (str, int, float)) and default != "":
        plain = {True: "yes", False: "no"}.get(default, default) if isinstance(default, bool) else default
        said.append(f"Not said: {plain}.")
    return " ".join(said)
