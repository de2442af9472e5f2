from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings, load_settings, unknown_variables


def test_arguments_over_environment_over_file_over_defaults(monkeypatch):
    assert load_settings().k == 5
    Path("rar.toml").write_text("k = 6\nmemory = 'filed'\n")
    assert (load_settings().k, load_settings().memory) == (6, "filed")
    monkeypatch.setenv("RAR_K", "7")
    assert load_settings().k == 7
    assert load_settings(k=8, memory=None).k == 8
    assert load_settings(memory=None).memory == "filed"


def test_roots_are_a_path_list(monkeypatch):
    monkeypatch.setenv("RAR_ROOTS", "/a:/b")
    assert load_settings().roots == (Path("/a"), Path("/b"))


@pytest.mark.parametrize(("name", "value"), [("k", "0"), ("k", "many"), ("precision", "int3")])
def test_bad_values_say_where_to_correct_them(monkeypatch, name, value):
    monkeypatch.setenv(f"RAR_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as error:
        load_settings()
    assert f"RAR_{name.upper()}" in str(error.value)
    assert value in str(error.value)


def test_bad_files(monkeypatch):
    Path("rar.toml").write_text("k = = 6")
    with pytest.raises(ConfigurationError, match=r"rar\.toml"):
        load_settings()
    Path("rar.toml").write_text("kk = 6")
    with pytest.raises(ConfigurationError, match="kk"):
        load_settings()


def test_misspelt_variables_are_found(monkeypatch):
    monkeypatch.setenv("RAR_MODLE", "x")
    monkeypatch.setenv("RAR_DATA", "x")
    assert unknown_variables() == ["RAR_MODLE"]


def test_options_of_a_model(monkeypatch):
    Path("rar.toml").write_text('model_options = {reasoning_effort = "minimal", top_p = 0.5}')
    assert load_settings().model_options == {"reasoning_effort": "minimal", "top_p": 0.5}
    monkeypatch.setenv("RAR_MODEL_OPTIONS", '{"top_p": 1}')  # takes the place of one, not of all
    assert load_settings().model_options == {"reasoning_effort": "minimal", "top_p": 1}
    monkeypatch.setenv("RAR_MODEL_OPTIONS", "top_p=1")
    with pytest.raises(ConfigurationError, match=r"model_options.*JSON"):
        load_settings()


def test_every_setting_says_what_it_is():
    assert all(field.description for field in Settings.model_fields.values())
