import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model
from torchvision.transforms.functional import convert_image_dtype, pil_to_tensor

from rar_agent.detection.proposers import load_proposer
from rar_agent.settings import Settings

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
ODD_SIZES = [(1, 1), (2, 1), (1, 700), (1500, 2), (3, 5), (97, 31), (1601, 901)]


def picture(size, seed=0):
    width, height = size
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width])


def network(model=SMALL, classes=91):
    """Seeded random weights: what it finds is noise, but its scores differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = get_model(model, weights=None, weights_backbone=None, num_classes=classes)
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # else features vanish on their way
        pixels = [convert_image_dtype(pil_to_tensor(picture((160, 160), seed))) for seed in (0, 1)]
        with torch.no_grad():
            made.backbone((torch.stack(pixels) - 0.45) / 0.25)
        for name, weight in made.eval().named_parameters():
            if "bbox" in name and weight.dim() > 1:
                weight.data.normal_(0, 0.001)
            elif "cls_score" in name and weight.dim() > 1:
                weight.data.normal_(0, 0.03)
            elif "classification_head" in name and weight.dim() > 1:
                weight.data.normal_(0, 0.3)
    return made


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A network of five classes, and the file of its weights."""
    made, file = network(classes=5), tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(made.state_dict(), file)
    return made, file


@pytest.fixture
def load(checkpoint):
    def load(name=f"torchvision:{SMALL}/{checkpoint[1]}", **given):
        return load_proposer(name, Settings(device="cpu"), **given)

    return load


def inside(found, size):
    """Whether boxes are as a proposer promises them."""
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for left, top, width, height in (one.box for one in found):
        assert left >= 0
        assert top >= 0
        assert width > 0
        assert height > 0
        assert left + width <= size[0] + 1e-9
        assert top + height <= size[1] + 1e-9
    return True
