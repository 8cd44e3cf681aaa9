"""What `explain` tells stays whole: every error code that the program can give is there."""

import ast
from pathlib import Path

import broker as package
from broker.commands.words import ANSWERS, CODES, STATES, WORDS

HOUSE = Path(package.__file__).parent


def codes_of(tree):
    """Error codes: `code = "..."` of an error class, and `code="..."` where one of our errors is made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("Error" in ast.unparse(one) for one in node.bases):
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                    yield line.value.value
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("Error", "Unreadable", "StoreDied")
        ):
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield keyword.value.value


def test_every_error_code_is_explained():
    given = {code for path in HOUSE.rglob("*.py") for code in codes_of(ast.parse(path.read_text()))}
    assert {code for code in given if isinstance(code, str)} - CODES.keys() == set()


def test_every_explanation_is_a_sentence():
    for words in (WORDS, STATES, ANSWERS, CODES):
        for word, text in words.items():
            assert text[0].isupper() or text[0] in "`/", word
            assert text.endswith("."), word
