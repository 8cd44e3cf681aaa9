"""What is wrong with a mapping is told with file, line, what stood there and the nearest right word."""

import pytest

from tests.mapping.projects import errors_in, errors_of, mapping_file


@pytest.mark.parametrize(
    ("fields", "text", "value", "right"),
    [
        ("servise: PV1-10", "Discharge has no such field", "servise", "service"),
        ("attending.nip: PV1-7.1", "Practitioner has no such field", "attending.nip", "attending.npi"),
        ("pcp.npi: PD1-4.1", "Discharge has no such field", "pcp.npi", "patient.pcp.npi"),
        ("service.code: PV1-10", "service has no parts", "service.code", ""),
        ("service: PV1.10", "is no path", "PV1.10", "PV1-10"),
        ("service: {tabel: x, take: PV1-10}", "there is no such key", "tabel", "table"),
        ("service: {take: PV1-10, value: x}", "exactly one of", "take and value", ""),
        ("service: {trim: yes}", "exactly one of", "", ""),
        ("service: {take: PV1-10, trim: perhaps}", "yes or no is expected", "perhaps", ""),
        ("service: {take: PV1-10, pad: many}", "a number is expected", "many", ""),
        ("disposition: {take: PV1-36, table: dispositon}", "no such table", "dispositon", "disposition"),
        ("disposition: {take: PV1-36, table: sex}", "disposition has no such word", "female", ""),
        (
            "disposition: {take: PV1-36, table: disposition, unknown: hom}",
            "there is no such word",
            "hom",
            "home",
        ),
        ("disposition: {value: hom}", "there is no such word", "hom", "home"),
        ("disposition: {take: PV1-36, unknown: keep}", "only where there is a table", "keep", ""),
        ("admitted_at: {take: PV1-44, table: disposition}", "no table makes one", "disposition", ""),
        ("service: {take: PV1-10, date_add: {days: 1}}", "is no time", "", ""),
        ("attending: PV1-7.1", "a whole field, not of a component", "PV1-7.1", "PV1-7"),
        ("attending: {take: PV1-7, pad: 3}", "is made of a whole field", "pad", ""),
        ("diagnoses: DG1-3", "stands in repeats", "diagnoses", ""),
        (
            "service: {take: PV1-10, when: {PV1-2: {start_with: I}}}",
            "no such test",
            "start_with",
            "starts_with",
        ),
        ("service: {take: PV1-10, when: {patient_class: I}}", "a path, such as", "patient_class", ""),
        ("service: {take: PV1-10, when: {PV1-2: {in_table: nope}}}", "no such table", "nope", ""),
        ("service: {take: PV1-10, when: {PV1-2: {matches: '(('}}}", "no pattern", "((", ""),
        ("service: {first_of: [PV1-10, {take: PV1_4}]}", "is no path", "PV1_4", ""),
    ],
)
def test_one_error(fields, text, value, right):
    (error, *more) = errors_in(fields)
    assert text in error.text
    assert error.value == value
    assert right in error.right or right in error.text
    assert error.place.line > 0
    assert all(text in one.text for one in more)


def test_the_line_is_that_of_the_word():
    (error,) = errors_in("service: PV1-10\nreason:\n  first_of:\n    - PV2-3.2\n    - {take: pv2-3}")
    assert (error.place.file, error.place.line) == ("mappings/tried.yaml", 11)


def test_a_path_with_brackets_inside_braces_must_be_quoted_and_the_error_says_so():
    (error,) = [
        error for error in errors_in("visit_id: {take: PID-3[5=MR,4.1=NORTH].1}") if "quotes" in error.text
    ]
    assert error.place.line == 7
    assert 'take: "PID-3[5=MR' in error.right


def test_everything_is_told_at_once():
    errors = errors_in("servise: PV1-10\nreason: PV2_3\nvip: {take: PV1-16, tabel: x}")
    assert [error.place.line for error in errors] == [7, 8, 9]
    errors = errors_in("servise: PV1-10\nreason: PV2_3\nadmision: PV1-44")
    assert [error.place.line for error in errors] == [7, 8, 9]


def test_what_a_notice_cannot_be_without_cannot_be_left_out():
    text = "mapping: x\nproduces: Result\nfields: {patient.family: PID-5.1}\n"
    text += "examples: [{name: x, given: y, notices: 1}]\n"
    (error,) = errors_of({"mappings/tried.yaml": text})
    assert error.text == (
        "fields: patient.number.value, occurred_at, recorded_at, order_id cannot be left out"
    )


@pytest.mark.parametrize(
    ("produces", "right"), [("Discharg", "Discharge"), ("discharge", "Discharge"), ("Sale", "Admission")]
)
def test_a_kind_of_notice_that_there_is_not(produces, right):
    (error,) = errors_in("service: PV1-10", produces=produces)
    assert error.value == produces
    assert right in error.right


def test_a_mapping_needs_an_example():
    text = mapping_file("service: PV1-10").replace("examples:", "examples: []\nnotes:")
    assert any("notes" in error.value for error in errors_of({"mappings/tried.yaml": text}))
    text = "mapping: x\nlike: adt_discharge\nproduces: Discharge\n"
    (error,) = errors_of({"mappings/tried.yaml": text})
    assert error.text == "examples: at least one is needed"


def test_like_nothing_like_itself_and_null_removes():
    example = "examples: [{name: x, given: y, notices: 1}]\n"
    tried = {"mappings/tried.yaml": f"mapping: x\nlike: adt_discharg\n{example}"}
    (error,) = errors_of(tried)
    assert (error.value, error.right) == ("adt_discharg", "adt_discharge")
    tried = {
        "mappings/tried.yaml": f"mapping: x\nlike: other\n{example}",
        "mappings/other.yaml": f"mapping: x\nlike: tried\n{example}",
    }
    assert {error.text for error in errors_of(tried)} == {"like: this goes round in a circle"}
    tried = {
        "mappings/tried.yaml": "mapping: x\nproduces: Discharge\nlike: adt_discharge\n"
        f"fields: {{patient.number: null}}\n{example}"
    }
    (error,) = errors_of(tried)
    assert "patient.number.value" in error.text


def test_a_table_says_what_is_wrong_with_its_lines():
    table = "code,wort,note\nA,home\n"
    (error,) = errors_of({"mappings/tables/bad.csv": table, **_tried()})[:1]
    assert (error.value, error.right, error.place.line) == ("wort", "word", 1)
    table = "code,word,note\nA,home,\nA,snf,\nB,,x\n,home,\nC,home,much,too much\n"
    errors = errors_of({"mappings/tables/bad.csv": table, **_tried()})
    assert [error.place.line for error in errors] == [3, 4, 5, 6]


def _tried():
    return {"mappings/tried.yaml": mapping_file("service: PV1-10")}


@pytest.mark.parametrize(
    ("python", "text", "value", "right"),
    [
        ("own.doors:notises", "has no such function", "notises", "notices"),
        ("own.dors:notices", "there is no mappings/own/dors.py", "own.dors", ""),
        ("own.broken:notices", "line 1: this is no Python", "", ""),
        ("doors", "should match", "doors", ""),
    ],
)
def test_a_door_that_leads_nowhere_is_told_before_anything_is_imported(python, text, value, right):
    door = "raise SystemExit\ndef notices(message): ...\n"
    tried = f"mapping: x\npython: {python}\nexamples: [{{name: x, given: y, notices: 1}}]\n"
    more = {"mappings/own/doors.py": door, "mappings/own/broken.py": "def notices(:\n"}
    (error,) = errors_of({**more, "mappings/tried.yaml": tried})
    assert text in error.text
    assert (error.value, error.right, error.place.line) == (value, right, 2)


def test_a_merge_must_say_who_is_given_up():
    (error,) = errors_in("account_id: PID-18", produces="PatientMerge")
    assert error.text == "fields: retired cannot be left out"


def test_what_is_wrong_in_a_mapping_is_told_once_for_all_that_are_like_it():
    example = "examples: [{name: x, given: y, notices: 1}]\n"
    like = f"mapping: x\nlike: tried\n{example}"
    more = {f"mappings/like{n}.yaml": like for n in range(3)}
    errors = errors_of({**more, "mappings/tried.yaml": mapping_file("servise: PV1-10\nvip: {tke: x}")})
    assert [(error.place.line, error.value) for error in errors] == [(7, "servise"), (8, "tke")]
