"""`channels/rules/*.yaml` and `channels/policy.yaml`: what the care core is given. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from broker.care.given import Due, Policy, Rule, Tell
from broker.care.vocabulary import NOTIFICATION_KINDS, OWNERS, RECIPIENTS, WHEN
from broker.errors import Place
from broker.yaml_files import Document, FileModel, Problems, Texts, Wrong, fit, nearest

__all__ = ["PolicyFile", "RuleExample", "Rules", "RulesFile", "read_policy", "read_rules"]

Urgency = Literal["stat", "high", "routine", "digest"]


Anchor = Literal["event", "admitted", "discharged", "expected_discharge"]


class DueFile(FileModel):
    """When a task is due: exactly one length, after (or before) a time of the stay."""

    after: Anchor | None = Field(default=None, description="Counted from then. Not said: event.")
    before: Anchor | None = Field(default=None, description="So long before then.")
    hours: int | None = Field(default=None, ge=0, description="So many hours.")
    days: int | None = Field(default=None, ge=0, description="So many calendar days.")
    business_days: int | None = Field(default=None, ge=0, description="Days on which the site works.")

    @model_validator(mode="after")
    def _one(self) -> DueFile:
        if sum(length is not None for length in (self.hours, self.days, self.business_days)) != 1:
            raise Wrong("exactly one of hours, days and business_days is expected")
        if self.after and self.before:
            raise Wrong("after or before, not both", at=("before",))
        return self


class RuleExample(FileModel):
    """Words of a stay, a result or a person, and whether the task stands then, and when it is due."""

    name: str = Field(min_length=1, description="What it shows, in a few words.")
    given: dict[str, str] = Field(description="Word by word, what is so.")
    at: AwareDatetime | None = Field(default=None, description="The time that `due` counts from.")
    site: str | None = Field(default=None, description="Whose zone and days off count.")
    due: AwareDatetime | None = Field(default=None, description="When the task must be due.")
    stands: bool = Field(default=True, description="Whether the task stands.")

    @model_validator(mode="after")
    def _whole(self) -> RuleExample:
        if self.due is not None and (self.at is None or self.site is None or not self.stands):
            raise Wrong("due: needs at and site, and a task that stands", at=("due",))
        return self


class TaskFile(FileModel):
    """A task that should stand while its conditions hold."""

    kind: str | None = Field(
        default=None, description="What tasks are counted by. Not said: the entry's key."
    )
    title: str = Field(min_length=1, description="What is to be done, for people.")
    owner: str = Field(description="Whose task it is.")
    due: DueFile
    when: dict[str, Texts] = Field(min_length=1, description="Words of a stay, a result or a person.")
    urgency: Urgency = "routine"
    examples: tuple[RuleExample, ...] = Field(default=(), description="Run by `broker test`.")


class TellFile(FileModel):
    """Who is told of a kind of event."""

    notification: str = Field(description="The kind of notification.")
    recipients: Texts = Field(min_length=1, description="Whom, the first being whom it is for.")
    when: dict[str, Texts] = Field(
        default_factory=dict, description="Words of a stay, a result or a person. Not said: always."
    )
    urgency: Urgency = "routine"


class RulesFile(FileModel):
    """What `channels/rules/NAME.yaml` may say."""

    rules: str = Field(min_length=1, description="What these rules are for.")
    tasks: dict[str, TaskFile] = Field(default_factory=dict, description="By key: the tasks.")
    tell: dict[str, TellFile] = Field(default_factory=dict, description="By key: who is told.")


class PolicyFile(FileModel):
    """What `channels/policy.yaml` may say. What is not said is the default."""

    settle_secs: dict[str, int] = Field(
        default_factory=dict, description="Kind of notification, or retraction: how long it waits for more."
    )
    late_after_hours: int = Field(
        default=24, ge=0, description="First told later than this, it is marked late."
    )
    outreach_after_days: int = Field(
        default=30, ge=0, description="Discharges older than this call for no outreach."
    )
    readmission_days: int = Field(default=30, ge=0, description="Within so many days it is a readmission.")
    episode_gap_hours: int = Field(
        default=24, ge=0, description="From an emergency visit's end to an admission: one episode."
    )
    neighbour_days: int = Field(default=30, ge=0, description="How far stays are looked at together.")
    goes_home: frozenset[str] = Field(
        default=frozenset({"home", "home_health"}), description="Dispositions of who went home."
    )
    critical_flags: frozenset[str] = Field(
        default=frozenset({"AA", "HH", "LL"}), description="OBX-8 of a critical result."
    )
    critical_units: frozenset[str] = Field(
        default=frozenset(), description="PV1-3.1 of units whose in and out is told."
    )
    holidays_country: str = Field(default="US", description="Whose holidays are no business days.")


def read_policy(document: Document | None, problems: Problems) -> Policy:
    """The policy; its defaults where there is no file."""
    if document is None:
        return Policy()
    said = fit(PolicyFile, document, problems)
    if said is None:
        return Policy()
    _check(said.goes_home, WHEN["disposition"], document, ("goes_home",), problems)
    _check(said.settle_secs, {*NOTIFICATION_KINDS, "retraction"}, document, ("settle_secs",), problems)
    return Policy(**{one.name: getattr(said, one.name) for one in fields(Policy) if hasattr(said, one.name)})


@dataclass(slots=True)
class Rules:
    """Every rule and tell of a project, by key, and the examples of the rules."""

    rules: dict[str, Rule] = field(default_factory=dict)
    tells: dict[str, Tell] = field(default_factory=dict)
    examples: list[tuple[Rule, RuleExample, Place]] = field(default_factory=list)


def read_rules(documents: Iterable[Document], sites: Container[str], problems: Problems) -> Rules:
    """The rules of the files; each key stands once in the project."""
    found = Rules()
    for document in documents:
        said = fit(RulesFile, document, problems)
        if said is not None:
            for key, task in said.tasks.items():
                _read_task(key, task, document, sites, found, problems)
            for key, tell in said.tell.items():
                _read_tell(key, tell, document, found, problems)
    return found


def _read_task(
    key: str, task: TaskFile, document: Document, sites: Container[str], found: Rules, problems: Problems
) -> None:
    at = ("tasks", key)
    _once(key, found.rules, document, at, problems)
    _check((task.owner,), OWNERS, document, (*at, "owner"), problems)
    _check_when(task.when, document, (*at, "when"), problems)
    due = Due(
        after=task.due.before or task.due.after or "event",
        before=task.due.before is not None,
        **task.due.model_dump(include={"hours", "days", "business_days"}),
    )
    version, kind = _version(document.at(at)), task.kind or key
    rule = Rule(key, version, kind, task.title, task.owner, due, task.when, task.urgency)
    found.rules[key] = rule
    for n, example in enumerate(task.examples):
        here = (*at, "examples", n)
        words = {word: (value,) for word, value in example.given.items()}
        _check_when(words, document, (*here, "given"), problems)
        if example.site is not None and example.site not in sites:
            problems.add("there is no such site", document.place((*here, "site")), value=example.site)
        found.examples.append((rule, example, document.place((*here, "name"))))


def _read_tell(key: str, tell: TellFile, document: Document, found: Rules, problems: Problems) -> None:
    at = ("tell", key)
    _once(key, found.tells, document, at, problems)
    _check((tell.notification,), NOTIFICATION_KINDS, document, (*at, "notification"), problems)
    _check(tell.recipients, RECIPIENTS, document, (*at, "recipients"), problems)
    _check_when(tell.when, document, (*at, "when"), problems)
    version = _version(document.at(at))
    found.tells[key] = Tell(key, version, tell.notification, tell.recipients, tell.when, tell.urgency)


def _once(
    key: str, known: Mapping[str, Any], document: Document, at: tuple[str | int, ...], problems: Problems
) -> None:
    if key in known:
        problems.add("another entry of the project has this key", document.place(at), value=key)


def _check_when(
    when: Mapping[str, tuple[str, ...]], document: Document, at: tuple[str | int, ...], problems: Problems
) -> None:
    for key, words in when.items():
        if key not in WHEN:
            right = nearest(key, WHEN) or ", ".join(WHEN)
            problems.add("there is no such word", document.place((*at, key)), value=key, right=right)
        else:
            _check(words, WHEN[key], document, (*at, key), problems)


def _check(
    words: Iterable[str],
    known: Iterable[str],
    document: Document,
    at: tuple[str | int, ...],
    problems: Problems,
) -> None:
    for word in words:
        if word not in known:
            right = nearest(word, known) or ", ".join(sorted(known))
            problems.add(f"{at[-1]}: there is no such word", document.place(at), value=word, right=right)


def _version(said: Any) -> str:
    """A digest of an entry's text, whatever its spacing, its order of keys and its examples."""
    text = {key: one for key, one in said.items() if key != "examples"}
    return sha256(json.dumps(text, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]
