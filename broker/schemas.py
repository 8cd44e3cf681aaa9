"""JSON Schemas of the files that an analyst writes, made from the typed models, for editors. Floor 6.

`python -m broker.schemas FOLDER` writes them beside a project's files, as `channels/.schema/*.json` and
`mappings/.schema/*.json`. An editor finds them by a file's first line:

    # yaml-language-server: $schema=.schema/mapping.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from broker.care.vocabulary import NOTIFICATION_KINDS, OWNERS, RECIPIENTS, WHEN, WHEN_MEANS
from broker.channel_file import DEFAULT_ANSWERS, CareFile, ChannelFile, OutboundFile
from broker.destinations import REGISTRY
from broker.mapping.file import MappingFile
from broker.mapping.shape import leaves
from broker.notices import NOTICES
from broker.project_rules import PolicyFile, RulesFile
from broker.site import SiteFile
from broker.yaml_files import FileModel

__all__ = ["first_line", "schema_files", "write_schemas"]

Schema = dict[str, Any]
_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_TEXTS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_YES_NO: Schema = {"enum": [True, False, "yes", "no", "true", "false"]}


def schema_files() -> dict[str, Schema]:
    """Every schema by its file in a project folder."""
    return {
        "channels/.schema/channel.json": _channel(),
        "channels/.schema/site.json": _schema(SiteFile),
        "channels/.schema/rules.json": _rules(),
        "channels/.schema/policy.json": _schema(PolicyFile),
        "mappings/.schema/mapping.json": _mapping(),
    }


def first_line(file: str) -> str:
    """The line by which an editor finds the schema of a project's file; "" where it has none."""
    kinds = {
        "channels/sites/": "../.schema/site.json",
        "channels/rules/": "../.schema/rules.json",
        "channels/policy.yaml": ".schema/policy.json",
        "channels/": ".schema/channel.json",
        "mappings/standard/": "../.schema/mapping.json",
        "mappings/": ".schema/mapping.json",
    }
    for begin, schema in kinds.items():
        if file.startswith(begin) and file.endswith(".yaml"):
            return f"# yaml-language-server: $schema={schema}"
    return ""


def write_schemas(folder: Path) -> None:
    """Writes them into a project folder."""
    for name, schema in schema_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(written(schema), encoding="utf-8")


def written(schema: Schema) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _schema(model: type[FileModel]) -> Schema:
    made = model.model_json_schema(by_alias=True)
    loosened: Schema = _loosened(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **loosened}


def _loosened(node: Any) -> Any:
    """What a file may say in the place of what the model holds: text for values, one for a list of one."""
    if isinstance(node, list):
        return [_loosened(one) for one in node]
    if not isinstance(node, dict):
        return node
    known = {
        key: {name: _loosened(inner) for name, inner in one.items()} if key in _NAMED else _loosened(one)
        for key, one in node.items()
        if key not in ("title", "default")
    }
    if node.get("$ref") in _IN_SHORT:
        return {"anyOf": [*_IN_SHORT[node["$ref"]], node]}
    kind = node.get("type")
    if kind == "array" and node.get("items") == {"$ref": "#/$defs/Use"}:
        use = {"anyOf": [_TEXT, node["items"]]}
        return {**known, "type": ["string", "object", "array"], "items": use, **_one_use(node["items"])}
    if kind == "array" and node.get("items", {}).get("type") == "string" and "format" not in node["items"]:
        return {**{key: one for key, one in known.items() if key == "description"}, **_TEXTS}
    if "enum" in node or "const" in node:
        return known
    if kind == "boolean":
        return {key: one for key, one in known.items() if key != "type"} | _YES_NO
    if kind in ("integer", "number"):
        return {**known, "type": [kind, "string"]}
    if kind == "string" and "format" not in node:
        return {**known, **_TEXT}
    return known


_NAMED = ("properties", "$defs")  # here keys are names of the file, not words of JSON Schema
_IN_SHORT: Mapping[str, list[Schema]] = {
    "#/$defs/Take": [_TEXT, {"type": "array", "items": _TEXT}],
    "#/$defs/Source": [_TEXT],
    "#/$defs/PatientNumber": [_TEXT, {"type": "array", "items": _TEXT}],
}


def _one_use(use: Schema) -> Schema:
    return {"if": {"type": "object"}, "then": use}


def _channel() -> Schema:
    schema = _schema(ChannelFile)
    care = _schema(CareFile)
    schema["$defs"] |= care.pop("$defs", {})
    shared = _schema(OutboundFile)
    schema["$defs"] |= shared.pop("$defs", {})
    kinds: list[Schema] = []
    for name, kind in REGISTRY.items():
        options = _loosened(kind.model_json_schema(by_alias=True))
        schema["$defs"] |= options.pop("$defs", {})
        properties = {**shared["properties"], **options["properties"], "to": {"const": name}}
        required = ["to", *(one for one in options.get("required", ()))]
        kinds.append(
            {
                "type": "object",
                "title": name,
                "description": (kind.__doc__ or "").strip(),
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        )
    schema["properties"]["deliver"] |= {
        "properties": {"care": _bare(care)},
        "additionalProperties": {"anyOf": kinds},
    }
    answers = schema["properties"]["answers"]
    answers["propertyNames"] = {"enum": list(DEFAULT_ANSWERS)}
    receive = schema["$defs"]["Receive"]["properties"]["notifications"]
    _enumerate(receive, list(NOTIFICATION_KINDS))
    return schema


def _mapping() -> Schema:
    schema = _schema(MappingFile)
    schema["$defs"]["Right"] = schema["properties"]["fields"]["additionalProperties"]
    right = {"$ref": "#/$defs/Right"}
    schema["properties"]["fields"] |= {
        "properties": dict.fromkeys((*_field_names(), "text"), right),
        "patternProperties": {r"^[A-Z][A-Z0-9]{2}[-\[]": right},
        "additionalProperties": False,
    }
    produces = schema["properties"]["produces"]
    produces["examples"] = [*NOTICES, "ADT^A03", "text"]
    return schema


def _field_names() -> Iterator[str]:
    """Every field that any notice has, once."""
    seen: set[str] = set()
    for notice in NOTICES.values():
        for name, _ in leaves(notice):
            if name not in seen:
                seen.add(name)
                yield name


def _rules() -> Schema:
    schema = _schema(RulesFile)
    for kind in ("TaskFile", "TellFile"):
        when = schema["$defs"][kind]["properties"]["when"]
        when["properties"] = {
            key: {"description": WHEN_MEANS[key], **_words(sorted(words))} for key, words in WHEN.items()
        }
        when["additionalProperties"] = False
    tell = schema["$defs"]["TellFile"]["properties"]
    tell["recipients"] = {"description": tell["recipients"]["description"], **_words(list(RECIPIENTS))}
    tell["notification"] = {
        "enum": list(NOTIFICATION_KINDS),
        "description": tell["notification"]["description"],
    }
    owner = schema["$defs"]["TaskFile"]["properties"]["owner"]
    owner.pop("type")
    owner["enum"] = list(OWNERS)
    return schema


def _words(words: list[str]) -> Schema:
    """One of these words, or a list of them; yes and no may stand without quotes."""
    both: list[Any] = [*words, *([True, False] if "yes" in words else [])]
    return {"anyOf": [{"enum": both}, {"type": "array", "items": {"enum": both}}]}


def _enumerate(node: Schema, words: list[str]) -> None:
    """Puts the words that are known into a text, or a list of them, that may be left out."""
    for option in node.get("anyOf", ()):
        if "anyOf" in option:
            option["anyOf"] = _words(words)["anyOf"]


def _bare(schema: Schema) -> Schema:
    return {key: one for key, one in schema.items() if key != "$schema"}


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
