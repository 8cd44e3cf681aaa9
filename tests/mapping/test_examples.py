"""Examples say what is not as they say, in words that lead to the mistake."""

from pathlib import Path

import pytest

from broker.hl7 import Message
from broker.mapping.examples import run_example
from broker.mapping.file import Example
from broker.mapping.substitute import substitute
from broker.project_examples import run_examples
from broker.yaml_files import Wrong
from tests.mapping.projects import FIXTURES, mapping_file, project

RAW = (FIXTURES / "north/a03_home.hl7").read_bytes()
FIELDS = """
disposition: {take: PV1-36, table: disposition}
attending: PV1-7
patient.birth_date: PID-7
patient.address: PID-11
vip: {value: yes, when: {PV1-16: {present: yes}}}
"""
MORE = "repeats:\n  diagnoses: {each: DG1, fields: {code: DG1-3.1}}\n"


@pytest.fixture(scope="module")
def made():
    return project({"mappings/tried.yaml": mapping_file(FIELDS, more=MORE)})


def problems(made, **said):
    example = Example.model_validate({"name": "x", "given": "x", **said})
    return run_example(made.mappings["tried"], example, RAW, lambda _: made.sites["north"], made.tables)


@pytest.mark.parametrize(
    "expect",
    [
        {"disposition": "home"},
        {"occurred_at": "2026-03-05T14:10:00-05:00"},
        {"occurred_at": "2026-03-05T19:10:00+00:00"},  # the same instant
        {"attending": {"npi": "1622984510"}},
        {"attending.npi": "1622984510", "patient.birth_date": "1948-03-12"},
        {"diagnoses": [{"code": "I50.23"}, {}]},
        {"vip": ""},  # nothing is said
        {"patient": {"address": {"city": "Granby", "other": ""}}},
    ],
)
def test_what_is_expected_is_looked_at_and_nothing_else(made, expect):
    assert problems(made, expect=expect) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"expect": {"disposition": "snf"}}, "disposition: snf is expected, it is home"),
        (
            {"with": {"PV1-36": "ZZ"}, "expect": {"disposition": "home"}},
            "disposition: home is expected, it is {'unknown': 'ZZ'}",
        ),
        ({"expect": {"vip": "yes"}}, "vip: yes is expected, nothing is said"),
        ({"expect": {"disposition": ""}}, "disposition: '' is expected, it is home"),
        ({"expect": {"patient": {"address": None}}}, "patient.address: null is expected, it is {"),
        (
            {"expect": {"dispositon": "home"}},
            "dispositon: there is no such field; right would be disposition",
        ),
        ({"expect": {"attending.nip": "1"}}, "attending.nip: there is no such field; right would be npi"),
        ({"expect": {"diagnoses": [{"code": "I50.23"}]}}, "diagnoses: 1 are expected, there are 2"),
        ({"expect": {"diagnoses": [{}, {"code": "X"}]}}, "diagnoses[2].code: X is expected, it is N18.3"),
        ({"expect": [{}, {}]}, "2 notices are expected, it makes Discharge"),
        ({"notices": 2}, "notices: 2 are expected, there are 1"),
        ({"error": "missing"}, "error: missing is expected, and it makes Discharge"),
        ({"with": {"PV1-45": ""}, "notices": 1}, "refused: missing at PV1-45"),
        (
            {"with": {"PV1-45": ""}, "error": "bad_time"},
            "error: bad_time is expected, it is refused with missing",
        ),
        ({"with": {"PV1_45": ""}, "notices": 1}, "with: 'PV1_45' is no path"),
        ({"notices": 1, "warnings": "bad_npi"}, "warnings: bad_npi is expected, there are: none"),
    ],
)
def test_what_is_not_so_is_told(made, said, told):
    (problem,) = problems(made, **said)
    assert problem.startswith(told)


def test_a_deleted_value_is_null(made):
    assert problems(made, **{"with": {"PID-11": '""'}, "expect": {"patient": {"address": None}}}) == []


def test_a_refusal_that_is_expected_is_right(made):
    assert problems(made, **{"with": {"PID-3": ""}, "error": "missing"}) == []


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"PV1-36": "ZZ"}, "PV1-36", "ZZ"),
        ({"PID-5": "A^B~C"}, "PID-5[2].1", "C"),
        ({"PID-5.2": "B^&C"}, "PID-5.2", "B^&C"),
        ({"PID-3[3].4.1": "X"}, "PID-3[3].4", "X"),
        ({"PID-11.1.2": "Alder"}, "PID-11.1.2", "Alder"),
        ({"DG1[2]-6": "W"}, "DG1[2]-6", "W"),
        ({"DG1[3]-3": "X"}, "DG1[3]-3", "X"),
        ({"DG1": ""}, "DG1-3", ""),
        ({"ZZZ-2": "new"}, "ZZZ-2", "new"),
        ({"MSH-10": "other"}, "MSH-10", "other"),
        ({"PID-5.1": "Müller"}, "PID-5.1", "Müller"),
        ({"PV1-36": '""'}, "PV1-36", '""'),
    ],
)
def test_a_value_is_set_where_the_path_says(changes, path, value):
    changed = Message(substitute(RAW, changes))
    assert changed.get(path) == value
    assert changed.get("PID-8") == "F"


@pytest.mark.parametrize("path", ["PID-3[5=MR].1", "MSH-2", "PID_3"])
def test_what_cannot_be_set_is_told(path):
    with pytest.raises(Wrong):
        substitute(RAW, {path: "x"})


def test_nothing_is_changed_by_no_changes():
    assert Message(substitute(RAW, {})).segment_names == Message(RAW).segment_names
    assert list(Message(substitute(RAW, {})).path_values()) == list(Message(RAW).path_values())


def test_fixtures_are_found_in_their_folder_only(tmp_path):
    example = "examples:\n  - {name: x, given: GIVEN, notices: 1}\n"
    text = mapping_file("service: PV1-10").partition("examples:")[0]
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures/right.hl7").write_bytes(RAW)
    (tmp_path / "outside.hl7").write_bytes(RAW)

    def told(given):
        made = project({"mappings/tried.yaml": text + example.replace("GIVEN", given)})
        return [run.problems for run in run_examples(made, Path(tmp_path))]

    assert told("right.hl7") == [()]
    assert told("../outside.hl7") == [("given: a file in fixtures/ is expected",)]
    assert told("rihgt.hl7") == [("given: there is no fixture rihgt.hl7; right would be right.hl7",)]
