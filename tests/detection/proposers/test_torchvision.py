"""torchvision's detectors: the numbers of its own forward pass, from weights on disk."""

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import detection as detectors
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.functional import convert_image_dtype, pil_to_tensor

from rar_agent.detection.proposers import Limits, load_proposer
from rar_agent.detection.proposers.shown import shown
from rar_agent.detection.proposers.torchvision_files import _download, build
from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from tests.detection.proposers.conftest import ODD_SIZES, SMALL, inside, network, picture

ALL = Limits(iou=None)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torchvision's published weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return Path(torch.hub.get_dir(), "checkpoints")


def plain(model, image):
    """torchvision's own forward pass: corners (n, 4), scores and labels."""
    with torch.inference_mode():
        [found] = model([convert_image_dtype(pil_to_tensor(image))])
    return [found[key].double().numpy() for key in ("boxes", "scores", "labels")]


def assert_same(found, corners, scores, atol=1e-3):
    boxes = np.array([one.box for one in found])
    boxes[:, 2:] += boxes[:, :2]
    assert len(boxes) == len(corners) > 10
    np.testing.assert_allclose([one.score for one in found], scores, atol=1e-5)
    np.testing.assert_allclose(boxes, corners, atol=atol)


@pytest.mark.parametrize("size", [(500, 400), (640, 480), (60, 300)])
def test_numbers_are_those_of_a_plain_forward_pass(load, checkpoint, size):
    image = picture(size)
    corners, scores, _ = plain(checkpoint[0], image)
    assert_same(load(limits=ALL).propose(image), corners, scores)


def test_a_large_image_is_shrunk_and_its_boxes_are_not(load, checkpoint):
    image = picture((3000, 2001))
    small = shown(image, 320, 640)
    assert small.size == (960, 640)
    corners, scores, _ = plain(checkpoint[0], small)
    found = load(limits=ALL).propose(image)
    assert inside(found, image.size)
    assert_same(found, corners * np.tile([3000 / 960, 2001 / 640], 2), scores, atol=1e-2)


def test_boxes_that_overlap_are_kept_once(load, checkpoint):
    image = picture((300, 200))
    every, found = load(limits=ALL).propose(image), load(limits=Limits(iou=0.3)).propose(image)
    assert 0 < len(found) < len(every)
    assert {one.box for one in found} <= {
        one.box for one in load(limits=Limits(1_000, iou=None)).propose(image)
    }
    assert found[0] == every[0]


def test_limits_do_not_change_what_others_get(load):
    image = picture((200, 200))
    whole = load(limits=ALL)
    before = whole.propose(image)
    few = load(limits=Limits(most=3, least=0.3, iou=None)).propose(image)
    more = load(limits=Limits(most=500, least=0.001, iou=None)).propose(image)
    assert whole.propose(image) == before
    assert few == [one for one in before if one.score > 0.3][:3]
    assert more[:100] == before
    assert len(more) > len(before) == 100


def test_weights_load_once(load):
    one, other = (load(limits=Limits(most=most)) for most in (1, 2))
    pairs = zip(one._network.parameters(), other._network.parameters(), strict=True)
    assert all(mine is its for mine, its in pairs)


@pytest.mark.parametrize("size", ODD_SIZES)
def test_any_size(load, size):
    found = load().propose(picture(size))
    assert found
    assert inside(found, size)


def test_threads_get_the_same(load):
    proposer, images = load(), [picture((90, 60 + 40 * seed), seed) for seed in range(2)]
    alone = [proposer.propose(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(proposer.propose, images * 3)) == alone * 3


def test_own_classes_have_no_names(load):
    assert {one.name for one in load().propose(picture((200, 200)))} == {""}


def publish(model, hub):
    """Random weights under the published ones' name, where torchvision itself looks for them."""
    published = get_model_weights(model).DEFAULT
    state = network(model, len(published.meta["categories"])).state_dict()
    if "ssd" not in model:  # trained with frozen batch norms, which count no batches
        state = {key: value for key, value in state.items() if "num_batches" not in key}
    hub.mkdir(parents=True)
    torch.save(state, hub / Path(published.url).name)
    return published


@pytest.mark.parametrize("model", [SMALL, "ssdlite320_mobilenet_v3_large"])
def test_published_weights_give_what_torchvisions_builder_gives(model, hub):
    published = publish(model, hub)
    theirs = get_model(model, weights=published).eval()
    image, names = picture((160, 120)), published.meta["categories"]
    corners, scores, labels = plain(theirs, image)
    proposer = load_proposer(f"torchvision:{model}", Settings(device="cpu"), ALL)
    assert proposer.name == f"torchvision:{model}"
    found = proposer.propose(image)
    assert_same(found, corners[:100], scores[:100])
    called = [names[int(label)] for label in labels[:100]]
    assert [one.name for one in found] == ["" if name == "N/A" else name for name in called]


@pytest.mark.slow
def test_batch_norms_are_as_torchvisions_builder_makes_them_and_masks_are_not_painted(hub):
    model = "maskrcnn_resnet50_fpn"  # one of those whose published weights know no epsilon
    theirs = get_model(model, weights=publish(model, hub))
    ours, names = build(model, str(next(hub.iterdir())))
    assert len(names) == 91
    norms = [
        {name: one.eps for name, one in made.named_modules() if isinstance(one, FrozenBatchNorm2d)}
        for made in (ours, theirs)
    ]
    assert norms[0] == norms[1]
    assert len(norms[0]) > 50
    assert set(norms[0].values()) == {0.0}
    states = [made.state_dict() for made in (ours, theirs)]
    assert {key for key in states[1] if "mask_head" not in key} == set(states[0])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert theirs.roi_heads.has_mask()
    assert not ours.roi_heads.has_mask()


def test_weights_that_are_not_there_are_said_with_their_size(hub):
    with pytest.raises(ConfigurationError) as caught:
        load_proposer("torchvision:fasterrcnn_resnet50_fpn_v2", Settings(device="cpu"))
    for part in ("RAR_DOWNLOAD=1", "167 MB", "https://download.pytorch.org/", str(hub)):
        assert part in str(caught.value)
    assert not hub.exists()


@pytest.mark.parametrize("model", list_models(module=detectors))
def test_every_detector_says_what_it_would_download(model, hub):
    with pytest.raises(ConfigurationError, match=r"to download \d+ MB from https"):
        load_proposer(f"torchvision:{model}", Settings(device="cpu"))


def test_a_download_is_checked(tmp_path):
    source = tmp_path / "source.pth"
    torch.save({}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    good, bad = (tmp_path / "hub" / f"tiny-{hash_}.pth" for hash_ in (digest, "0" * 8))
    _download(source.as_uri(), good)
    assert good.read_bytes() == source.read_bytes()
    with pytest.raises(ConfigurationError, match="hash"):
        _download(source.as_uri(), bad)
    with pytest.raises(ConfigurationError, match="cannot be downloaded"):
        _download((tmp_path / "nowhere").as_uri(), bad)
    assert list(good.parent.iterdir()) == [good]


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda file: file.write_bytes(pickle.dumps(Code(), 2)), "cannot be loaded"),
        (lambda file: torch.save({"x": Code()}, file), "code is never run"),
        (lambda file: torch.save({"x": torch.zeros(1)}, file), "Missing key"),
        (lambda file: torch.save([1], file), "cannot be loaded"),
        (lambda file: file.write_text("no weights"), "cannot be loaded"),
    ],
)
def test_files_that_are_no_weights(load, tmp_path, write, says):
    write(tmp_path / "file.pth")
    with pytest.raises(ConfigurationError, match=says):
        load(f"torchvision:{SMALL}/file.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("yolo", "There are fasterrcnn_mobilenet_v3_large_320_fpn, "),
        (f"{SMALL}/none.pth", "no file 'none.pth'"),
        (f"{SMALL}/.", "no file"),
    ],
)
def test_names_of_nothing(load, body, says):
    with pytest.raises(ConfigurationError, match=says):
        load(f"torchvision:{body}")


def test_a_name_means_the_same_from_anywhere(load, checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint[1].parent)
    assert load(f"torchvision:{SMALL}/mine.pth").name == load().name
