"""Runs the examples of a project's mappings and rules, as `broker test` does. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from broker.care.clocks import due_at
from broker.care.given import Directory, Given, Rule
from broker.care.in_force import person_rules, result_rules, stay_rules
from broker.errors import BrokerError, Place
from broker.hl7 import Message
from broker.mapping import Mapping
from broker.mapping.examples import run_example
from broker.mapping.file import Example
from broker.mapping.outbound import run_outbound_example
from broker.project import Project
from broker.project_rules import RuleExample
from broker.site import Site, SiteFile, choose, site_words
from broker.validate import validate
from broker.yaml_files import nearest

__all__ = ["ExampleRun", "run_examples"]

FIXTURES = "fixtures"
# Where no site of the project writes such a message: nobody's, in universal time.
_NOBODY = SiteFile.model_validate({"site": "No site of this project", "zone": "UTC"})


@dataclass(frozen=True, slots=True)
class ExampleRun:
    """One example of a mapping or rule: where it stands, and what is not as it says (nothing: all well)."""

    mapping: str
    name: str
    place: Place
    problems: tuple[str, ...]


def run_examples(
    project: Project,
    folder: Path,
    only: Callable[[str], bool] = lambda name: True,
    *,
    structures: bool = True,
) -> list[ExampleRun]:
    """Every example of the project's mappings and rules (of those whose name `only` lets through).

    Messages that leave are also held against HL7's structures, by hl7apy, unless `structures` is no.
    """
    runs: list[ExampleRun] = []
    leaving: list[tuple[int, bytes]] = []
    for mapping in sorted(project.mappings.values(), key=lambda mapping: mapping.name):
        if not only(mapping.name):
            continue
        for example, place in mapping.examples:
            problems, made = _run(project, mapping, example, folder / FIXTURES)
            if made and not mapping.outbound.is_text:
                leaving.append((len(runs), made))
            runs.append(ExampleRun(mapping.name, example.name, place, tuple(problems)))
    if structures:
        for (n, _), wrong in zip(leaving, validate([made for _, made in leaving]), strict=True):
            runs[n] = replace(runs[n], problems=(*runs[n].problems, *wrong))
    return [*runs, *(_run_rule(project, *one) for one in project.rule_examples if only(one[0].key))]


def _run_rule(project: Project, rule: Rule, example: RuleExample, place: Place) -> ExampleRun:
    """One example of a rule: whether its task stands for the given words, and when it is due."""
    now = example.at or datetime.now(UTC)
    given = Given((rule,), (), project.policy, project.site_facts, Directory(), now, lambda *words: _NO_NAME)
    found = stay_rules(example.given, given)
    found += result_rules(example.given, given) + person_rules(example.given, given)
    problems = []
    if bool(found) != example.stands:
        problems.append(f"the task {'does not stand' if example.stands else 'stands'}")
    elif example.due is not None and example.at is not None and example.site is not None:
        site = project.site_facts[example.site]
        due = due_at(rule.due, example.at, site.zone, site.days_off)
        if due != example.due:
            problems.append(f"due: {example.due.isoformat()} is expected, it is {due.isoformat()}")
    return ExampleRun(rule.key, example.name, place, tuple(problems))


_NO_NAME = UUID(int=0)


def _run(project: Project, mapping: Mapping, example: Example, fixtures: Path) -> tuple[list[str], bytes]:
    """What is not as the example says, and the bytes that leave."""
    file = (fixtures / example.given).resolve()
    if not file.is_relative_to(fixtures.resolve()):
        return ["given: a file in fixtures/ is expected"], b""
    try:
        raw = file.read_bytes()
    except OSError:
        known = [path.relative_to(fixtures).as_posix() for path in fixtures.rglob("*") if path.is_file()]
        near = nearest(example.given, known)
        right = f"; right would be {near}" if near else ""
        return [f"given: there is no fixture {example.given}{right}"], b""
    if example.site is not None and example.site not in project.sites:
        right = nearest(example.site, project.sites) or ", ".join(project.sites)
        return [f"site: there is no site {example.site}; right would be {right}"], b""
    try:
        if mapping.outbound is None:
            return run_example(mapping, example, raw, _site_of(project, example), project.tables), b""
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise ValueError
        return run_outbound_example(mapping, example, content, project.tables)
    except ValueError:
        return ["given: a notification's content as JSON is expected"], b""
    except BrokerError as error:
        return [str(error)], b""


def _site_of(project: Project, example: Example) -> Callable[[Message], Site]:
    def site_of(message: Message) -> Site:
        if example.site is not None:
            return project.sites[example.site]
        found = choose(tuple(project.sites.values()), *site_words(message))
        return found or Site("nobody", _NOBODY, project.tables)

    return site_of
