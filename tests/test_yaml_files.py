"""Strict YAML: text stays text, and what is wrong has a line."""

import pytest
from pydantic import Field

from broker.yaml_files import FileModel, Problems, fit, nearest, read_yaml


def read(text):
    problems = Problems()
    document = read_yaml(text if isinstance(text, bytes) else text.encode(), "f.yaml", problems)
    return document, problems.errors


@pytest.mark.parametrize(
    "code", ["01", "NO", "12:30", "1e3", "0x1F", "2026-03-05", "off", "1_000", ".5", "="]
)
def test_codes_survive(code):
    document, errors = read(f"a: {code}\nb: [{code}]\n")
    assert errors == []
    assert document.value == {"a": code, "b": [code]}


def test_only_a_plain_nothing_is_none():
    document, _ = read('a:\nb: null\nc: ~\nd: "null"\ne: ""\nf: Null\n')
    assert document.value == {"a": None, "b": None, "c": None, "d": "null", "e": "", "f": "Null"}


def test_places_are_lines_and_what_stands_nowhere_is_at_its_parent():
    document, _ = read("a:\n  b:\n    - x\n    - y: 1\n")
    assert document.place(("a", "b", 1, "y")).line == 4
    assert document.place(("a", "b", 7)).line == 2
    assert str(document.place()) == "f.yaml:1"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\na: 2\n", 2, "stands twice"),
        ("b: 2\na: [1,\nc: 2\n", 2, "no YAML"),
        ("a: !!python/object:os.system x\n", 1, "no tags"),
        ("a: 1\n---\nb: 2\n", 2, "no YAML"),
        ("? [a]\n: 1\n", 1, "a key is a word"),
        ("a: {take: PID-3[5=MR].1}\n", 1, "in quotes"),
        ("a: x\nb: [ROL[3.1=PP]-4, PD1-4]\n", 2, "in quotes"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        (b"a: \x00\n", 0, "no YAML"),
        ("&a [*a]\n", 1, "too deep"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", 1, "too deep"),
    ],
)
def test_what_is_no_strict_yaml_is_told_with_its_line(text, line, words):
    document, errors = read(text)
    assert document is None
    assert words in errors[0].text
    assert errors[0].place.line == line


def test_aliases_count_as_what_they_stand_for():
    lines = ['a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    document, errors = read("\n".join(lines))
    assert document is None
    assert "more than 50000 values" in errors[0].text
    document, errors = read("a: &a {x: 1}\nb: *a\n")
    assert errors == []
    assert document.value["b"] == {"x": "1"}


def test_a_file_is_not_read_past_its_limit():
    assert "greater than" in read(b"a: " + b"x" * 2_000_000)[1][0].text


class Inner(FileModel):
    port: int = 0
    on: bool = False


class Outer(FileModel):
    name: str
    inner: Inner = Inner()
    listed: dict[str, Inner] = Field(default_factory=dict)


def test_text_becomes_a_value_in_the_field_that_it_is_for():
    document, _ = read("name: 01\ninner: {port: 2575, on: yes}\n")
    assert fit(Outer, document, Problems()) == Outer(name="01", inner=Inner(port=2575, on=True))


def test_all_that_does_not_fit_is_told_with_the_nearest_word():
    document, _ = read("nam: x\ninner:\n  prot: 1\n  on: maybe\nlisted:\n  a: {prt: 1}\n")
    problems = Problems()
    assert fit(Outer, document, problems) is None
    told = {(error.place.line, error.value, error.right) for error in problems.errors}
    assert told == {
        (1, "nam", "name"),
        (1, "", ""),
        (3, "prot", "port"),
        (4, "maybe", ""),
        (6, "prt", "port"),
    }


def test_the_nearest_word():
    assert nearest("dispositon", ["disposition", "destination"]) == "disposition"
    assert nearest("xyz", ["disposition"]) == ""
