"""What a mapping file may say, word by word. `docs/mappings.md` shows each with an example. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from broker.conditions import Condition
from broker.errors import Hl7Error
from broker.hl7 import Path
from broker.yaml_files import FileModel, Texts, Wrong

__all__ = ["DateAdd", "Example", "MappingFile", "Repeat", "Source", "Take", "path_of"]


def path_of(text: str) -> Path:
    """A path of a message. Raises `Wrong`."""
    try:
        return Path.parse(text)
    except Hl7Error as error:
        raise Wrong(error.text, value=text) from error


class DateAdd(FileModel):
    """How far a time is moved; negative lengths go back."""

    days: int = 0
    hours: int = 0
    minutes: int = 0


_WAYS = ("take", "first_of", "join", "join_all", "value")


class Source(FileModel):
    """Where a text comes from: exactly one of take, first_of, join, join_all and value."""

    take: str | None = Field(
        default=None, description="A path, such as PID-5.1; what leaves takes a word of ours."
    )
    first_of: tuple[SourceOrPath, ...] | None = Field(
        default=None, min_length=1, description="The first of these that holds something."
    )
    join: tuple[SourceOrPath, ...] | None = Field(
        default=None, min_length=1, description="These, one after the other; what is empty is left out."
    )
    join_all: str | None = Field(
        default=None, description="Every value of a path (all segments, all repetitions), joined."
    )
    value: str | None = Field(default=None, description="A fixed text.")
    separator: str = Field(default=" ", description="What stands between the texts that are joined.")
    trim: bool = Field(default=False, description="Whether blanks at both ends are taken off.")
    default: str | None = Field(default=None, description="The text where nothing was found.")
    pad: int | None = Field(
        default=None, ge=1, le=100, description="Zeros are put before it up to so many characters."
    )
    when: Condition | None = Field(default=None, description="Only where this holds; else nothing is said.")

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        said = [way for way in _WAYS if getattr(self, way) is not None]
        if len(said) != 1:
            raise Wrong(
                f"exactly one of {', '.join(_WAYS)} is expected",
                value=" and ".join(said),
                at=(said[-1],) if said else (),
            )
        return self


def _source(value: Any) -> Any:
    return {"take": value} if isinstance(value, str) else value


SourceOrPath = Annotated[Source, BeforeValidator(_source)]


class Take(Source):
    """The right-hand side of a field."""

    all_of: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Of a field that is a list: all that these paths hold, in order.",
    )
    table: str | None = Field(default=None, description="The table that turns their code into our word.")
    unknown: str | None = Field(
        default=None,
        description="A code without a row: `keep` it as it came, and list it; `refuse` it; or our word.",
    )
    date_add: DateAdd | None = Field(default=None, description="A time is moved by so much.")
    required: bool = Field(default=False, description="Without it the message is refused.")
    format: Literal["day", "minute", "second"] | None = Field(
        default=None, description="Of what leaves: how exactly a time is written."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Take:
        said = [way for way in (*_WAYS, "all_of") if getattr(self, way) is not None]
        if len(said) != 1:
            raise Wrong(
                f"exactly one of {', '.join((*_WAYS, 'all_of'))} is expected",
                value=" and ".join(said),
                at=(said[-1],) if said else (),
            )
        if self.unknown is not None and self.table is None:
            raise Wrong("unknown: only where there is a table", value=self.unknown, at=("unknown",))
        return self


def _take(value: Any) -> Any:
    if isinstance(value, str):
        return {"take": value}
    return {"all_of": value} if isinstance(value, list) else value


TakeOrPath = Annotated[Take, BeforeValidator(_take)]


class Repeat(FileModel):
    """A list of parts: one for each segment (with what hangs on it) or group."""

    each: str = Field(default="", description="A segment, or ORDER or PATIENT; of what leaves a list's word.")
    when: Condition | None = Field(default=None, description="Only those of which this holds.")
    fields: dict[str, TakeOrPath | None] = Field(default_factory=dict)
    repeats: dict[str, Repeat | None] = Field(default_factory=dict)


class Example(FileModel):
    """A message and what the mapping must make of it."""

    name: str = Field(min_length=1, description="What it shows, in a few words.")
    given: str = Field(min_length=1, description="A file in fixtures/.")
    with_: dict[str, str] = Field(
        default_factory=dict,
        alias="with",
        description='Paths that are set to other values first; "" empties.',
    )
    for_each: Literal["PATIENT", "ORDER"] | None = Field(
        default=None, description="As in the channel: the mapping is applied to each such group."
    )
    act: Literal["tell", "correct", "retract"] | None = Field(
        default=None, description="Of what leaves: which of these is written. Not said: tell."
    )
    site: str | None = Field(
        default=None, description="The site whose words hold. Not said: by the fixture's MSH-4."
    )
    expect: Annotated[Any, WithJsonSchema({"type": ["object", "array"]})] = Field(
        default=None, description="What must stand in the notice, at least; a list for several notices."
    )
    notices: int | None = Field(default=None, ge=0, description="How many notices there must be.")
    error: str | None = Field(default=None, description="The code with which it must be refused.")
    warnings: Texts | None = Field(default=None, description="Words that must stand among the warnings.")

    @model_validator(mode="after")
    def _expects(self) -> Example:
        if self.error is None and self.expect is None and self.notices is None:
            raise Wrong("one of expect, notices and error is needed")
        if self.error is not None and (self.expect is not None or self.notices is not None):
            raise Wrong("a message that is refused makes no notices", at=("error",))
        return self


class MappingFile(FileModel):
    """A mapping: what a message means as a notice, or a notification as a message."""

    mapping: str = Field(min_length=1, description="What it is for, in a few words.")
    produces: str | None = Field(
        default=None, description="A kind of notice; of what leaves: ADT^A03 and the like, or text."
    )
    from_: str | None = Field(
        default=None, alias="from", description="Of what leaves: the kind of notification."
    )
    like: str | None = Field(
        default=None,
        description="Another mapping, of the project or the standard ones; only differences stand here.",
    )
    python: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$",
        description="package.module:function in mappings/, (Message) -> notices: where words are not enough.",
    )
    version: str | None = Field(default=None, description="Of what leaves: MSH-12. Not said: 2.5.1.")
    corrects_with: str | None = Field(default=None, description="Of what leaves: MSH-9 of a correction.")
    retracts_with: str | None = Field(
        default=None, description="Of what leaves: MSH-9 of a retraction. Not said: none is sent this way."
    )
    fields: dict[str, TakeOrPath | None] = Field(
        default_factory=dict, description="Field of the notice: where from."
    )
    repeats: dict[str, Repeat | None] = Field(default_factory=dict, description="Lists of parts.")
    examples: tuple[Example, ...] = Field(default=(), description="Run by `broker test`. At least one.")
