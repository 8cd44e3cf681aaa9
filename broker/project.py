"""A project: channels, sites, mappings, tables and rules of a folder, loaded whole and checked. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping as Words
from dataclasses import dataclass, field
from pathlib import Path

from broker.care.given import Policy, Rule, SiteFacts, Tell
from broker.channel import Channel, Outbound
from broker.errors import ConfigErrors, MappingError, Place
from broker.hl7 import Header, View
from broker.mapping import Mapping, Table, read_table
from broker.mapping.load import MappingFiles
from broker.project_channels import read_channels
from broker.project_checks import check_directions, check_project
from broker.project_files import Doors, digest_of, read_folder, stems
from broker.project_rules import RuleExample, read_policy, read_rules
from broker.settings import FILE, Settings, read_settings
from broker.site import Site, SiteFile, check_calendar, choose, site_words
from broker.yaml_files import Document, Problems, fit, nearest, read_yaml

__all__ = ["Project", "load_project"]

MAX_SITES_KNOWN = 10_000


@dataclass(repr=False)
class Project:
    """Everything that a folder says. It is one value: named by its digest, never changed."""

    digest: str
    channels: Words[str, Channel]
    sites: Words[str, Site]
    mappings: Words[str, Mapping]
    tables: Words[str, Table]
    rules: tuple[Rule, ...]
    tells: tuple[Tell, ...]
    rule_examples: tuple[tuple[Rule, RuleExample, Place], ...]
    policy: Policy
    site_facts: Words[str, SiteFacts]
    settings: Settings
    warnings: tuple[str, ...]
    folder: Path | None = None
    _files: Words[str, bytes] = field(default_factory=dict, repr=False)
    _chosen: dict[tuple[str, str, str, str], Site] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Project({self.digest[:12]})"

    def site_of(self, channel: Channel, message: View) -> Site:
        """The site of a message: of the channel's, the one that MSH-4 names, refined by PV1-3.4.

        Raises `MappingError` ("unknown_site") where it is none of them.
        """
        words = site_words(message)
        site = self._site(channel, *words)
        if site is None:
            raise MappingError(
                f"MSH-4 names no site of channel {channel.name}",
                code="unknown_site",
                where="MSH-4",
                value=words[0],
            )
        return site

    def site_for_order(self, channel: Channel, header: Header) -> Site:
        """The site as intake knows it, by port and MSH-4; of an unknown one the channel's first."""
        site = self._site(channel, header.part(4, 1), header.part(4, 2), "")
        return site or self.sites[channel.sites[0]]

    def _site(self, channel: Channel, facility: str, facility_id: str, place: str) -> Site | None:
        key = (channel.name, facility, facility_id, place)
        site = self._chosen.get(key)
        if site is None:
            site = choose(tuple(self.sites[name] for name in channel.sites), facility, facility_id, place)
            if site is not None:
                if len(self._chosen) >= MAX_SITES_KNOWN:
                    self._chosen.clear()
                self._chosen[key] = site
        return site

    def destinations(self) -> dict[str, Outbound]:
        """Every destination, by channel/name."""
        return {
            f"{channel.name}/{name}": one
            for channel in self.channels.values()
            for name, one in channel.deliver.items()
            if isinstance(one, Outbound)
        }

    def files(self) -> dict[str, bytes]:
        """What its bundle is made of: every file by its name. Settings are a node's own, and not in it."""
        return dict(self._files)

    @classmethod
    def from_files(
        cls, files: Words[str, bytes], *, settings: Settings | None = None, folder: Path | None = None
    ) -> Project:
        """A project from its files, without a folder. Raises `ConfigErrors` with everything that is wrong."""
        problems = Problems()
        project = _load(files, problems, settings or Settings(), folder)
        problems.end()
        return project


def load_project(folder: Path) -> Project:
    """The project of a folder. Raises `ConfigErrors`: everything that is wrong, each with file and line."""
    problems = Problems()
    settings = Settings()
    text = folder / FILE
    if text.is_file():
        try:
            settings = read_settings(text.read_text("utf-8"))
        except ConfigErrors as errors:
            problems.errors += errors.errors
        except UnicodeDecodeError:
            problems.add("the file is not UTF-8", Place(FILE))
    if not (folder / "channels").is_dir():
        problems.add("this is no project: it has no folder channels/", Place(str(folder)))
        problems.end()
    files = read_folder(folder)
    project = _load(files, problems, settings, folder)
    problems.end()
    return project


def _load(files: Words[str, bytes], problems: Problems, settings: Settings, folder: Path | None) -> Project:
    tables = _tables(files, problems)
    policy_file = files.get("channels/policy.yaml")
    policy = read_policy(
        read_yaml(policy_file, "channels/policy.yaml", problems) if policy_file is not None else None,
        problems,
    )
    sites = _sites(files, tables, policy, problems)
    doors = Doors(files)
    standard = stems(files, "mappings/standard", ".yaml")
    mapping_files = MappingFiles(stems(files, "mappings", ".yaml"), standard, tables, problems, doors.door)
    channel_files = stems(files, "channels", ".yaml")
    channel_files.pop("policy", None)
    channels, documents = read_channels(channel_files, tables, problems)
    used = check_project(channels, documents, sites, tables, mapping_files, problems)
    own = [name for name in mapping_files.names if name not in standard or folder is not None]
    mappings = {name: found for name in {*own, *used} if (found := mapping_files.mapping(name)) is not None}
    check_directions(channels, documents, mappings, problems)
    rules = read_rules(_documents(stems(files, "channels/rules", ".yaml"), problems), sites, problems)
    return Project(
        digest=digest_of(files),
        channels=channels,
        sites=sites,
        mappings=mappings,
        tables=tables,
        rules=tuple(rules.rules.values()),
        tells=tuple(rules.tells.values()),
        rule_examples=tuple(rules.examples),
        policy=policy,
        site_facts={
            site.name: SiteFacts(site.name, site.title, site.zone, site.days_off) for site in sites.values()
        },
        settings=settings,
        warnings=tuple(problems.warnings),
        folder=folder,
        _files=files,
    )


def _documents(files: Words[str, tuple[str, bytes]], problems: Problems) -> list[Document]:
    read = (read_yaml(content, file, problems) for file, content in files.values())
    return [document for document in read if document is not None]


def _tables(files: Words[str, bytes], problems: Problems) -> dict[str, Table]:
    """Tables by name; the project's come before standard ones of the same name."""
    found = {**stems(files, "mappings/standard/tables", ".csv"), **stems(files, "mappings/tables", ".csv")}
    return {name: read_table(content, name, file, problems) for name, (file, content) in found.items()}


def _sites(
    files: Words[str, bytes], tables: Words[str, Table], policy: Policy, problems: Problems
) -> dict[str, Site]:
    sites: dict[str, Site] = {}
    for name, (file, content) in stems(files, "channels/sites", ".yaml").items():
        document = read_yaml(content, file, problems)
        said = fit(SiteFile, document, problems) if document else None
        if said is None or document is None:
            continue
        if amiss := check_calendar(said.holidays):
            problems.add(amiss, document.place(("holidays",)))
            continue
        for theirs, ours in said.tables.items():
            for name_of_table in (theirs, ours):
                if name_of_table not in tables:
                    right = nearest(name_of_table, tables)
                    place = document.place(("tables", theirs))
                    problems.add("there is no such table", place, value=name_of_table, right=right)
        if said.test_patients is not None:
            for test in said.test_patients.each():
                place = document.place(("test_patients", test.key))
                if test.path is None:
                    problems.add("a path is expected, such as PID-5.1", place, value=test.key)
                if test.table and test.table not in tables:
                    problems.add("there is no such table", place, value=test.table)
        sites[name] = Site(name, said, tables, policy.holidays_country)
    for table in tables.values():
        for row in table:
            if row.site and row.site not in sites:
                right = nearest(row.site, sites)
                problems.add(
                    "there is no such site", Place(table.file, row.line), value=row.site, right=right
                )
    return sites
