"""Published detectors find the cat in the example photo; 13 to 690 MB are downloaded."""

import huggingface_hub
import pytest
from PIL import Image

from rar_agent.detection.proposers import load_proposer
from rar_agent.settings import Settings

pytestmark = [pytest.mark.live, pytest.mark.enable_socket]


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return Settings(device="cpu", download=True)


@pytest.mark.parametrize(
    "name",
    [
        "torchvision:ssdlite320_mobilenet_v3_large",
        "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn",
        "torchvision:fasterrcnn_resnet50_fpn_v2",
        "zero-shot:google/owlv2-base-patch16-ensemble",
        "zero-shot:IDEA-Research/grounding-dino-tiny",
        "zero-shot:omlab/omdet-turbo-swin-tiny-hf",
    ],
)
def test_the_cat_is_found(name, online, photo):
    image = Image.open(photo).convert("RGB")
    best = load_proposer(name, online, labels=("cat", "boat")).propose(image)[0]
    assert best.name == "cat"
    assert best.box[2] * best.box[3] > image.width * image.height / 10
