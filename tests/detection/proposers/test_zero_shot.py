"""Zero-shot detectors: what transformers' own post-processing gives, from weights on disk."""

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rar_agent import pretrained
from rar_agent.detection.proposers import Limits, load_proposer
from rar_agent.detection.proposers.shown import shown
from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from tests.detection.proposers.conftest import ODD_SIZES, inside, picture

pytest.importorskip("transformers", reason="the extra local is not installed")
import transformers

from tests.detection.proposers import tiny

LABELS = ("bird", "St. Bernard", "black footed albatross")
FAMILIES = sorted(tiny.FAMILIES)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Where each family's tiny detector is; built when it is asked for."""
    place, built = tmp_path_factory.mktemp("tiny"), {}

    def folder(family):
        if family not in built:
            built[family] = tiny.build(family, place / family)
        return built[family]

    return folder


@pytest.fixture
def load(folders):
    def load(family, limits=None, labels=LABELS):
        name = f"zero-shot:{folders(family)}"
        return load_proposer(name, Settings(device="cpu"), limits, labels)

    return load


@pytest.fixture
def broken(folders, tmp_path):
    """A copy of a detector's folder, to spoil."""
    return shutil.copytree(folders("owlv2"), tmp_path / "broken")


def refusal(body, **given):
    with pytest.raises(ConfigurationError) as caught:
        load_proposer(f"zero-shot:{body}", Settings(device="cpu", **given))
    return str(caught.value)


def plain(folder, image, labels, **given):
    """As the documentation of transformers has it: corners (n, 4), scores and names."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=image, text=[list(labels)], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    [found] = processor.post_process_grounded_object_detection(
        outputs, target_sizes=[(image.height, image.width)], text_labels=[list(labels)], **given
    )
    return found["boxes"].double().numpy(), found["scores"].numpy(), found["text_labels"]


@pytest.mark.parametrize("size", [(90, 70), (700, 333)])
@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_are_those_of_transformers(load, folders, family, size):
    labels = ("bird", "black footed albatross", "boat")
    proposer = load(family, Limits(iou=None), labels)
    image = picture(size)
    small = shown(image, *proposer._sees)
    corners, scores, names = plain(folders(family), small, labels)
    corners = corners * np.tile([image.width / small.width, image.height / small.height], 2)
    corners = np.clip(corners, 0, np.tile(image.size, 2))
    seen = (corners[:, 2:] > corners[:, :2]).all(1)
    order = [at for at in np.argsort(-scores, kind="stable") if seen[at]][:100]
    found = proposer.propose(image)
    assert len(found) == len(order) > 3
    boxes = np.array([one.box for one in found])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, corners[order], atol=1e-3)
    np.testing.assert_allclose([one.score for one in found], scores[order], atol=1e-6)
    assert [one.name for one in found] == [names[at] for at in order]


@pytest.mark.parametrize(("family", "threshold"), [("owlv2", 0.1), ("grounding-dino", 0.25)])
def test_without_a_limit_the_detectors_own_threshold_holds(load, family, threshold):
    image = picture((80, 60))
    every = load(family, Limits(least=0, iou=None)).propose(image)
    own = load(family, Limits(iou=None)).propose(image)
    assert own == [one for one in every if one.score > threshold]


@pytest.mark.parametrize("size", ODD_SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_any_size(load, family, size):
    assert inside(load(family, Limits(least=0)).propose(picture(size)), size)


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_get_the_same(load, family):
    proposer, images = load(family), [picture((60, 40 + 9 * seed), seed) for seed in range(4)]
    alone = [proposer.propose(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(proposer.propose, images * 3)) == alone * 3


def test_labels_that_do_not_fit_one_prompt_are_asked_in_several(load):
    labels = (*tiny.WORDS, "black kite", "bird", " boat ")
    proposer = load("grounding-dino", Limits(least=0, iou=None), labels)
    asked = proposer._labels
    assert len(asked) > 1
    assert [label for one in asked for label in one] == [*tiny.WORDS, "black kite"]
    words = proposer._processor.tokenizer
    assert all(len(words(". ".join(one) + ".")["input_ids"]) <= 16 for one in asked)
    image = picture((80, 60))
    alone = [
        one
        for part in asked
        for one in load("grounding-dino", Limits(least=0, iou=None), part).propose(image)
    ]
    assert sorted(one.score for one in alone) == sorted(
        one.score for one in proposer.propose(image)
    )
    assert len(load("owlv2", labels=[f"bird {n}" for n in range(600)])._labels) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_long_labels_and_full_stops_are_read(load, family):
    labels = ("St. Bernard", "black " * 40 + "kite")
    found = load(family, labels=labels).propose(picture((80, 60)))
    assert found
    if family != "grounding-dino":  # which says the words of the prompt that it saw
        assert {one.name for one in found} <= set(labels)


def test_weights_load_once_whatever_is_asked(load):
    one, other = load("owlv2"), load("owlv2", Limits(most=3), ("boat",))
    assert one._model is other._model


def test_what_is_not_on_disk_is_said_before_anything_loads():
    says = refusal("google/owlv2-base-patch16-ensemble")
    assert "RAR_DOWNLOAD=1" in says
    assert "0.5 to 2 GB" in says
    assert "neither a folder nor a name on the hub" in refusal("nowhere")
    assert "There is no folder './a/b'" in refusal("./a/b")


def test_without_transformers_the_extra_is_named(monkeypatch, folders):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    assert "pip install 'rar-agent[local]'" in refusal(folders("owlv2"))


def test_pickled_weights_are_not_loaded(broken):
    torch.save(load_file(broken / "model.safetensors"), broken / "pytorch_model.bin")
    (broken / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(broken)


def test_missing_weights_are_not_made_up(broken):
    weights = load_file(broken / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert "lacks weights" in refusal(broken)


def test_another_kind_of_model_is_refused(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    assert "is a zero-shot detector of transformers" in refusal(broken)


def test_code_from_the_hub_is_not_run(broken, tmp_path):
    ran = tmp_path / "ran"
    (broken / "modelling.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\n")
    config = json.loads((broken / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "modelling.Config"}}
    (broken / "config.json").write_text(json.dumps(config))
    assert "code from the hub is never run" in refusal(broken)
    assert not ran.exists()


class ConnectedError(BaseException):
    """No library takes it for a network that is down, and goes on."""


def test_nothing_opens_a_connection_unless_downloads_are_allowed(folders, tmp_path, monkeypatch):
    def refuse(*given):
        raise ConnectedError(given)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    hub = huggingface_hub.constants
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(folders("owlv2"), repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = shutil.copytree(folders("owlv2"), tmp_path / "folder")
    image = picture((60, 40))
    found = [
        load_proposer(f"zero-shot:{name}", Settings(device="cpu")).propose(image)
        for name in (folder, "org/tiny")
    ]
    assert found[0] == found[1] != []
    assert "RAR_DOWNLOAD=1" in refusal("org/other")
    with pytest.raises(ConnectedError):
        load_proposer("zero-shot:org/other", Settings(device="cpu", download=True))
