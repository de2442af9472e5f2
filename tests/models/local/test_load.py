import json
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from rar_agent.errors import ConfigurationError
from rar_agent.models import load_chat_model
from rar_agent.models.local import LocalChatModel, load
from rar_agent.settings import load_settings
from tests.forks import Stuck, in_fork, needs_fork
from tests.models.local.conftest import question


@pytest.fixture
def broken(folders, tmp_path):
    """A copy of a model's folder, to spoil."""
    return shutil.copytree(folders("qwen"), tmp_path / "broken")


def refusal(name, **options):
    with pytest.raises(ConfigurationError) as caught:
        LocalChatModel(model=str(name), **{"device": "cpu", **options}).invoke("Which?")
    return str(caught.value)


def test_settings_name_a_local_model(folders, monkeypatch):
    monkeypatch.chdir(folders("qwen").parent)
    settings = load_settings(model="local:./qwen", device="cpu", model_precision="bf16", seed=7)
    chat = load_chat_model(settings)
    assert chat.name == "local:./qwen"
    assert isinstance(chat.model, LocalChatModel)
    assert (chat.model.seed, chat.model.temperature) == (7, 0)
    chat.model.bind(max_tokens=1).invoke(question(1))
    weights = chat.model._backend().model
    assert {p.dtype for p in weights.parameters()} == {torch.bfloat16}
    exact = LocalChatModel(model=str(folders("qwen")), device="cpu", precision="fp32")
    expected = exact.score_options(question(1), ["A", "sooty"])
    assert chat.model.score_options(question(1), ["A", "sooty"]) == pytest.approx(expected, abs=0.3)


def test_settings_reach_a_local_model(folders):
    name = f"local:{folders('qwen')}"
    given = load_settings(
        model=name, device="cpu", quantize="4bit", model_options={"max_tokens": 9, "top_p": 0.5}
    )
    model = load_chat_model(given).model
    assert (model.precision, model.quantize) == ("auto", "4bit")
    assert (model.max_tokens, model.top_p, model.temperature) == (9, 0.5, 0)
    with pytest.raises(ConfigurationError, match="needs CUDA"):
        model.invoke("Which?")
    for options, says in (
        ({"reasoning_effort": "low"}, "no option reasoning"),
        ({"top_p": 9}, "top_p = 9"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            load_chat_model(load_settings(model=name, model_options=options))


def test_a_local_name_goes_to_no_server(server, folders):
    name = f"local:{folders('qwen')}"
    chat = load_chat_model(load_settings(model=name, base_url=server.url, device="cpu"))
    chat.model.bind(max_tokens=1).invoke("Which?")
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("org/not-on-disk", "RAR_DOWNLOAD=1"),
        ("nowhere", "local:FOLDER"),
        ("./a/b", "There is no folder"),
    ],
)
def test_what_is_not_on_disk_is_said_before_anything_loads(name, says):
    with pytest.raises(ConfigurationError, match=says):
        load_chat_model(load_settings(model=f"local:{name}"))


def test_weights_load_once_for_all(folders, monkeypatch):
    from rar_agent.models.local import load

    monkeypatch.setattr(load, "_loaded", {})
    models = [LocalChatModel(model=str(folders("qwen")), device="cpu") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        backends = list(pool.map(lambda model: model._backend(), models))
    assert len({id(backend) for backend in backends}) == 1


def test_pickled_weights_are_not_loaded(broken):
    weights = broken / "model.safetensors"
    torch.save(load_file(weights), broken / "pytorch_model.bin")
    weights.unlink()
    assert "no model.safetensors" in refusal(broken)


def test_missing_weights_are_not_made_up(broken):
    weights = load_file(broken / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert "lacks weights" in refusal(broken)


def test_cut_weights_are_an_error(broken):
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "cannot be loaded" in refusal(broken)


def test_a_model_without_a_chat_template_is_refused(broken):
    (broken / "chat_template.jinja").unlink()
    assert "chat template" in refusal(broken)


def test_code_from_the_hub_is_not_run(broken, tmp_path):
    ran = tmp_path / "ran"
    (broken / "modelling.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\n")
    config = json.loads((broken / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "modelling.Config"}}
    (broken / "config.json").write_text(json.dumps(config))
    assert "code from the hub is never run" in refusal(broken)
    assert not ran.exists()


def test_what_the_machine_has_not(folders):
    assert "RAR_DEVICE" in refusal(folders("qwen"), device="cuda:99")
    assert "needs CUDA" in refusal(folders("qwen"), quantize="4bit")


class ConnectedError(BaseException):
    """No library takes it for a network that is down, and goes on."""


@pytest.fixture
def no_connections(monkeypatch, tmp_path):
    """Raises at the first attempt to connect, while the hub's client thinks it is online."""

    def refuse(*given):
        raise ConnectedError(given)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    hub = huggingface_hub.constants
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    # What the client keeps of one connection to need no second one.
    monkeypatch.setattr(hub, "AGENT_HARNESSES_PATH", str(tmp_path / "agents"), raising=False)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    assert not huggingface_hub.is_offline_mode()


def test_nothing_opens_a_connection_unless_downloads_are_allowed(
    folders, tmp_path, no_connections, monkeypatch
):
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(folders("qwen"), repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = shutil.copytree(folders("qwen"), tmp_path / "folder")
    for name in (str(folder), "org/tiny"):
        model = LocalChatModel(model=name, device="cpu", max_tokens=2)
        assert model.invoke(question(1)).usage_metadata["output_tokens"] == 2
        assert len(model.score_options(question(1), ["A", "sooty"])) == 2
        assert len(list(model.stream("Which?"))) > 0
    assert "RAR_DOWNLOAD=1" in refusal("org/other")
    with pytest.raises(ConnectedError):
        LocalChatModel(model="org/other", device="cpu", download=True).invoke("Which?")


def test_only_a_question_imports_the_libraries():
    check = (
        "import sys, rar_agent, rar_agent.models, rar_agent.models.local\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@needs_fork
def test_a_fork_in_the_middle_of_a_load_loads_for_itself(folders, monkeypatch):
    stuck, whole = Stuck(), load._load

    def slowly(key, download):
        stuck()
        return whole(key, download)

    monkeypatch.setattr(load, "_load", slowly)
    monkeypatch.setattr(load, "_loaded", {})
    asked = (str(folders("qwen")), "cpu", "fp32", None, False)
    with stuck.held(lambda: load.load(*asked)):
        assert in_fork(lambda: load.load(*asked).model is not None)
