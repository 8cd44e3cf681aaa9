"""Every key of every file is explained."""

import pytest

from broker.file_words import file_words


@pytest.mark.parametrize("word", sorted(file_words()))
def test_every_key_says_what_it_means(word):
    for _, text in file_words()[word]:
        assert text.removesuffix("Must be said.").strip()


def test_one_word_may_stand_in_several_files():
    assert {file for file, _ in file_words()["when"]} >= {
        "channels/NAME.yaml",
        "mappings/NAME.yaml",
        "channels/rules/NAME.yaml",
    }
