"""The manual is true: what it shows is a project, and it tells every word."""

import re

import pytest

from broker.conditions import Condition
from broker.mapping.file import DateAdd, Example, MappingFile, Repeat, Take
from broker.project import Project
from broker.project_examples import run_examples
from broker.project_files import standard_files
from broker.yaml_files import Problems, read_yaml
from tests.mapping.projects import HERE, errors_in

MANUAL = (HERE / "docs/mappings.md").read_text()
SHOWN = re.findall(r"```(yaml|csv) (\S+)\n(.*?)```", MANUAL, re.S)
FILES = {name: text.encode() for _, name, text in SHOWN if "/" in name}


def test_the_files_that_it_shows_are_a_project_whose_examples_hold():
    project = Project.from_files(standard_files() | FILES, folder=None)
    assert set(project.channels) == {"hill", "practice"}
    runs = [run for run in run_examples(project, HERE) if run.place.file in FILES]
    assert len(runs) == 5
    assert [(run.name, run.problems) for run in runs if run.problems] == []


def test_the_fields_and_conditions_that_it_shows_are_right():
    (fields,) = (text for _, name, text in SHOWN if name == "fields")
    assert errors_in(fields) == []
    (condition,) = (text for _, name, text in SHOWN if name == "condition")
    document = read_yaml(condition.encode(), "x", Problems())
    assert len(Condition.read(document.value).each()) == 11


@pytest.mark.parametrize("model", [MappingFile, Take, Repeat, Example, DateAdd])
def test_it_tells_every_word_of_a_mapping(model):
    words = [field.alias or name for name, field in model.model_fields.items()]
    assert [word for word in words if not re.search(rf"\b{word}\b", MANUAL)] == []
