"""Names of models that lead nowhere say where they would."""

import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.models import load_chat_model
from rar_agent.settings import load_settings


def refused(name):
    with pytest.raises(ConfigurationError) as error:
        load_chat_model(load_settings(model=name))
    return error.value


def test_a_folder_leads_to_local(tmp_path):
    (tmp_path / "Qwen").mkdir()
    for name in ("Qwen", "./Qwen", str(tmp_path / "Qwen")):
        assert refused(name).message == f"Model '{name}' names no provider."
        assert refused(name).fix == f"It is a folder: write local:{name} to run it in this process."


def test_a_name_on_the_hub_leads_to_local_or_a_provider():
    fix = refused("Qwen/Qwen2.5-VL-3B").fix
    assert fix.startswith(
        "Write local:Qwen/Qwen2.5-VL-3B to run it in this process, PROVIDER:Qwen/"
    )
    assert "RAR_BASE_URL" in fix


def test_a_bare_name_may_be_anything():
    fix = refused("gpt-5-mini").fix
    assert all(way in fix for way in ("openai:gpt-5-mini", "local:FOLDER", "RAR_BASE_URL"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai:gpt-5-mini", "Did you mean openai:gpt-5-mini? "),
        ("Anthropc:claude:x", "Did you mean anthropic:claude:x? "),
        ("locl:Qwen", "Did you mean local:Qwen? "),
        ("qwen2.5vl:7b", ""),
    ],
)
def test_an_unknown_provider_is_told_without_a_list_of_all(name, meant):
    error = refused(name)
    provider = name.partition(":")[0]
    assert error.message == f"Model '{name}' names a provider that there is not: '{provider}'."
    assert error.fix.startswith(f"{meant}Write openai:NAME or another of LangChain's, local:")
    assert error.fix.endswith("for a local server set RAR_BASE_URL (--base-url).")
