"""Runs the examples of a project's mappings, as `broker test` does. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.errors import BrokerError, Place
from broker.hl7 import Message
from broker.mapping import Mapping
from broker.mapping.examples import run_example
from broker.mapping.file import Example
from broker.project import Project
from broker.site import Site, SiteFile, choose, site_words
from broker.yaml_files import nearest

__all__ = ["ExampleRun", "run_examples"]

FIXTURES = "fixtures"
# Where no site of the project writes such a message: nobody's, in universal time.
_NOBODY = SiteFile.model_validate({"site": "No site of this project", "zone": "UTC"})


@dataclass(frozen=True, slots=True)
class ExampleRun:
    """One example: where it stands, and what is not as it says. Empty `problems`: all is well."""

    mapping: str
    name: str
    place: Place
    problems: tuple[str, ...]


def run_examples(
    project: Project, folder: Path, only: Callable[[str], bool] = lambda name: True
) -> Iterator[ExampleRun]:
    """Every example of the project's mappings (of those whose name `only` lets through)."""
    for mapping in sorted(project.mappings.values(), key=lambda mapping: mapping.name):
        if only(mapping.name):
            for example, place in mapping.examples:
                problems = tuple(_run(project, mapping, example, folder / FIXTURES))
                yield ExampleRun(mapping.name, example.name, place, problems)


def _run(project: Project, mapping: Mapping, example: Example, fixtures: Path) -> list[str]:
    file = (fixtures / example.given).resolve()
    if not file.is_relative_to(fixtures.resolve()):
        return ["given: a file in fixtures/ is expected"]
    try:
        raw = file.read_bytes()
    except OSError:
        known = [path.relative_to(fixtures).as_posix() for path in fixtures.rglob("*") if path.is_file()]
        near = nearest(example.given, known)
        return [f"given: there is no fixture {example.given}" + (f"; right would be {near}" if near else "")]
    if example.site is not None and example.site not in project.sites:
        return [f"site: there is no site {example.site}"]

    def site_of(message: Message) -> Site:
        if example.site is not None:
            return project.sites[example.site]
        found = choose(tuple(project.sites.values()), *site_words(message))
        return found or Site("nobody", _NOBODY, project.tables)

    try:
        if mapping.outbound is not None:
            from broker.mapping.outbound import run_outbound_example

            return run_outbound_example(mapping, example, raw, project.tables)
        return run_example(mapping, example, raw, site_of, project.tables)
    except BrokerError as error:
        return [str(error)]
