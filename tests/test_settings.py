import pytest

from broker.errors import ConfigErrors
from broker.settings import read_settings


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file():
    text = 'drain_secs = 1\nbatch_secs = 2\nweb = "127.0.0.1:1"\n'
    environment = {
        "HANDOFF_BATCH_SECS": "3",
        "HANDOFF_WEB": "127.0.0.1:2",
        "HANDOFF_UNRELATED": "x",
        "HOME": "/",
    }
    settings = read_settings(text, environment, {"web": "127.0.0.1:3", "store": None})
    assert (settings.drain_secs, settings.batch_secs, settings.web_at()) == (1, 3, ("127.0.0.1", 3))
    assert settings.store is None


def test_every_mistake_is_told_at_once_with_its_line_and_the_nearest_word():
    with pytest.raises(ConfigErrors) as caught:
        read_settings('batch_secs = 0\n\nwrokers = 2\nweb = "nowhere"\n')
    told = [str(error) for error in caught.value.errors]
    assert any(text.startswith("broker.toml:3: no such key") and "workers" in text for text in told)
    assert any(text.startswith("broker.toml:4: web: HOST:PORT is expected") for text in told)
    assert any(text.startswith("broker.toml:1: batch_secs: ") for text in told)


def test_a_mistake_in_the_environment_is_told_by_its_name():
    with pytest.raises(ConfigErrors, match=r"HANDOFF_WORKERS: workers: .*found 'many'"):
        read_settings("", {"HANDOFF_WORKERS": "many"})


def test_links_begin_with_the_public_address_where_there_is_one():
    assert read_settings("").link() == "http://127.0.0.1:8080"
    assert (
        read_settings('public_url = "https://handoff.example.org/"').link() == "https://handoff.example.org"
    )


def test_every_key_is_described():
    settings = read_settings("")
    assert all(field.description for field in type(settings).model_fields.values())
