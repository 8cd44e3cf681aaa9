"""Channel files, typed: destinations by the options of their type. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping

from broker.channel import Care, Channel, Outbound
from broker.channel_file import CareFile, ChannelFile, OutboundFile
from broker.errors import DestinationError
from broker.hl7.charset import codec_of
from broker.mapping import Table
from broker.yaml_files import Document, Problems, fit, nearest, read_yaml

__all__ = ["read_channels"]

CARE = "care"


def read_channels(
    files: Mapping[str, tuple[str, bytes]], tables: Mapping[str, Table], problems: Problems
) -> tuple[dict[str, Channel], dict[str, Document]]:
    """The channels of a project by name, and the document of each, for what is checked across files."""
    channels: dict[str, Channel] = {}
    documents: dict[str, Document] = {}
    for name, (file, content) in files.items():
        document = read_yaml(content, file, problems)
        said = fit(ChannelFile, document, problems) if document else None
        if said is None or document is None:
            continue
        if said.default_charset is not None and codec_of(said.default_charset) is None:
            place = document.place(("default_charset",))
            problems.add("no character set of HL7 table 0211", place, value=said.default_charset)
        deliver: dict[str, Care | Outbound] = {}
        for one in said.deliver:
            found = _care(document, problems) if one == CARE else _outbound(one, document, problems)
            if found is not None:
                deliver[one] = found
        channels[name] = Channel(name, said, deliver, tables)
        documents[name] = document
    return channels, documents


def _care(document: Document, problems: Problems) -> Care | None:
    said = fit(CareFile, document, problems, ("deliver", CARE))
    return Care(said.map) if said else None


def _outbound(name: str, document: Document, problems: Problems) -> Outbound | None:
    from broker.destinations import REGISTRY

    at = ("deliver", name)
    shared = list(OutboundFile.model_fields)
    said = fit(OutboundFile, document, problems, at, only=shared)
    to = (document.at(at) or {}).get("to")
    kind = REGISTRY.get(to) if isinstance(to, str) else None
    if kind is None:
        if isinstance(to, str):
            right = nearest(to, REGISTRY) or ", ".join(REGISTRY)
            problems.add(
                "to: there is no such destination", document.place((*at, "to")), value=to, right=right
            )
        return None
    try:
        options = fit(kind, document, problems, at, without=shared)
    except DestinationError as error:
        problems.add(error.text, document.place(at))
        return None
    if said is None or options is None:
        return None
    return Outbound(said.to, options, said.when, said.retry, said.claim_secs, said.map)
