"""The schemas that editors complete by: made from the models, and right about every shipped file."""

import datetime
import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from broker.schemas import first_line, schema_files, written
from broker.yaml_files import Problems, read_yaml
from tests.mapping.projects import HERE

SCHEMAS = schema_files()
FILES = sorted(
    path.relative_to(HERE).as_posix()
    for part in ("channels", "mappings")
    for path in (HERE / part).rglob("*.yaml")
)


def schema_of(file):
    folder, _, _ = file.rpartition("/")
    name = first_line(file).partition("$schema=")[2]
    while name.startswith("../"):
        folder, name = folder.rpartition("/")[0], name[3:]
    return SCHEMAS[f"{folder}/{name}"]


def validator(schema):
    return jsonschema.Draft202012Validator(schema)


def as_editors_read(value):
    if isinstance(value, dict):
        return {str(key): as_editors_read(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_editors_read(one) for one in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_schema_and_stands_beside_the_files_as_it_is_made(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert json.loads((HERE / name).read_text()) == json.loads(written(SCHEMAS[name])), (
        "run `python -m broker.schemas`"
    )


@pytest.mark.parametrize("file", FILES)
def test_every_shipped_file_fits_its_schema_and_names_it(file):
    content = (HERE / file).read_bytes()
    assert content.decode().splitlines()[0] == first_line(file)
    document = read_yaml(content, file, Problems())
    check = validator(schema_of(file))
    assert [error.message for error in check.iter_errors(document.value)] == []
    typed = YAML(typ="safe", pure=True).load(content)
    assert [error.message for error in check.iter_errors(as_editors_read(typed))] == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("channels/x.yaml", {"channel": "x", "receive": {"mllp": {"prot": 1}}, "deliver": {"care": {}}}),
        (
            "channels/x.yaml",
            {"channel": "x", "receive": {"mllp": {"port": 1}}, "deliver": {"l": {"to": "x"}}},
        ),
        (
            "channels/x.yaml",
            {"channel": "x", "receive": {"mllp": {"port": 1}}, "deliver": {"l": {"to": "mllp", "hots": "h"}}},
        ),
        ("channels/x.yaml", {"channel": "x", "receive": {"notifications": ["Discharg"]}, "deliver": {}}),
        ("channels/sites/x.yaml", {"site": "x", "zone": "UTC", "facilites": "N"}),
        ("channels/rules/x.yaml", {"rules": "x", "tell": {"a": {"notification": "x", "recipients": "pcp"}}}),
        ("channels/policy.yaml", {"readmision_days": 3}),
        ("mappings/x.yaml", {"mapping": "x", "fields": {"servise": "PV1-10"}}),
        ("mappings/x.yaml", {"mapping": "x", "fields": {"service": {"tke": "PV1-10"}}}),
        (
            "mappings/x.yaml",
            {"mapping": "x", "fields": {"service": {"take": "x", "when": {"PV1-2": {"is": 1}}}}},
        ),
        ("mappings/x.yaml", {"mapping": "x", "examples": [{"nam": "x", "given": "y"}]}),
    ],
)
def test_what_does_not_fit_is_marked(file, said):
    assert list(validator(schema_of(file)).iter_errors(said))


def test_completion_knows_the_fields_of_notices_and_the_words_of_rules():
    fields = SCHEMAS["mappings/.schema/mapping.json"]["properties"]["fields"]["properties"]
    assert {"patient.number", "attending.npi", "disposition", "observations"} <= fields.keys()
    when = SCHEMAS["channels/.schema/rules.json"]["$defs"]["TaskFile"]["properties"]["when"]["properties"]
    assert "goes_home" in when
