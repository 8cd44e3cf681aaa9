import stat

import pytest

from broker.errors import ConfigErrors, OperationError
from broker.home import home_of


def test_a_data_folder_of_the_file_starts_at_the_project_and_one_of_a_flag_where_we_are(
    tmp_path, monkeypatch
):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "broker.toml").write_text('data = "kept"\n')
    monkeypatch.chdir(tmp_path)
    assert home_of(tmp_path / "project", {}, {}).data == tmp_path / "project" / "kept"
    assert home_of(tmp_path / "project", {"data": "here"}, {}).data == tmp_path / "here"
    assert home_of(tmp_path / "project", {}, {"HANDOFF_DATA": "there"}).data == tmp_path / "there"


def test_a_child_is_given_every_setting_and_nothing_else_is_taken_from_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDOFF_SMTP_PASSWORD", "kept for who names it")
    home = home_of(tmp_path, {"store": "postgresql://handoff@store/handoff", "web": "127.0.0.1:9"}, {})
    environment = home.environment()
    again = home_of(tmp_path, {}, environment)
    assert again.settings == home.settings
    assert environment["HANDOFF_SMTP_PASSWORD"] == "kept for who names it"


def test_the_data_folder_is_closed_even_where_it_stood_open(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    home_of(tmp_path, {"data": folder}, {}).make_data_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperationError, match="Not a directory"):
        home_of(tmp_path, {"data": tmp_path / "file" / "data"}, {}).make_data_folder()


def test_a_project_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OperationError, match="is no folder"):
        home_of(tmp_path / "nowhere", {}, {})


def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path):
    (tmp_path / "broker.toml").write_text("\nwrokers = 2\n")
    with pytest.raises(ConfigErrors, match=r"broker\.toml:2"):
        home_of(tmp_path, {}, {})
