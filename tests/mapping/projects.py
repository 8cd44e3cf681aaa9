"""Small made-up projects for tests: files as text, beside the shipped standard mappings and tables."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from broker.errors import ConfigError, ConfigErrors
from broker.hl7 import Message
from broker.mapping import Applied, apply
from broker.project import Project
from broker.project_files import standard_files

HERE = Path(__file__).parents[2]
FIXTURES = HERE / "fixtures"
SITE = """\
site: North Hospital
facilities: [NORTH]
authorities: {NORTH: north, ENTERPRISE: region}
patient_number: MR
zone: America/New_York
"""
CHANNEL = """\
channel: North Hospital
receive:
  mllp: {port: 2575}
sites: [north]
deliver:
  care:
    map: {A03: tried}
"""
EXAMPLES = """\
examples:
  - name: as it is
    given: north/a03_home.hl7
    notices: 1
"""
MINIMAL = """\
  patient.number: PID-3
  occurred_at: PV1-45
  recorded_at: EVN-2
"""


def files(more: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The files of a project with one site and one channel, and these more (or in their stead)."""
    found = {"channels/north.yaml": CHANNEL, "channels/sites/north.yaml": SITE}
    found |= {name: dedent(text) for name, text in (more or {}).items()}
    return standard_files() | {name: text.encode() for name, text in found.items()}


def project(more: Mapping[str, str] | None = None) -> Project:
    """A project that is right."""
    return Project.from_files(files(more))


def errors_of(more: Mapping[str, str]) -> list[ConfigError]:
    """What is wrong with a project."""
    try:
        Project.from_files(files(more))
    except ConfigErrors as errors:
        return errors.errors
    return []


def mapping_file(fields: str, *, produces: str = "Discharge", more: str = "") -> str:
    """A mapping's text: these fields beside the three that every notice needs."""
    lines = "".join(f"  {line}\n" for line in dedent(fields).strip().splitlines())
    return f"mapping: On trial\nproduces: {produces}\nfields:\n{MINIMAL}{lines}{dedent(more)}{EXAMPLES}"


def errors_in(fields: str, **kind: str) -> list[ConfigError]:
    """What is wrong with a mapping of these fields."""
    return errors_of({"mappings/tried.yaml": mapping_file(fields, **kind)})


def applied(fields: str, changes: Mapping[str, str] | None = None, **kind: str) -> Applied:
    """What a mapping of these fields makes of a discharge home."""
    made = project({"mappings/tried.yaml": mapping_file(fields, **kind)})
    return applied_by(made, "tried", "north/a03_home.hl7", changes)


def applied_by(
    made: Project, mapping: str, fixture: str, changes: Mapping[str, str] | None = None, site: str = "north"
) -> Applied:
    """What a project's mapping makes of a fixture with some changes."""
    from broker.mapping.substitute import substitute

    message = Message(substitute((FIXTURES / fixture).read_bytes(), changes or {}))
    return apply(made.mappings[mapping], message, made.sites[site], made.tables)


def said(fields: str, changes: Mapping[str, str] | None = None, **kind: str) -> dict:
    """What the notice states, as plain values."""
    (notice,) = applied(fields, changes, **kind).notices
    return notice.model_dump(exclude_unset=True)
