import base64
import io

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from PIL import Image

from rar_agent.models.local import LocalChatModel

pytest.importorskip("transformers", reason="the extra local is not installed")
from tests.models.local import tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Where each family's tiny model is; built when it is asked for."""
    place, built = tmp_path_factory.mktemp("tiny"), {}

    def folder(family):
        if family not in built:
            built[family] = tiny.build(family, place / family)
        return built[family]

    return folder


@pytest.fixture
def load(folders):
    def load(family, **options):
        return LocalChatModel(model=str(folders(family)), device="cpu", **options)

    return load


def picture(seed, size=(48, 40)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def block(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {
        "type": "image",
        "base64": base64.b64encode(buffer.getvalue()).decode(),
        "mime_type": "image/png",
    }


def question(*seeds, text="Which bird is this?"):
    """A system message, then text around each image."""
    parts = [{"type": "text", "text": "Look:"}]
    for number, seed in enumerate(seeds):
        parts += [block(picture(seed)), {"type": "text", "text": f" image {number},"}]
    return [
        SystemMessage("You name birds."),
        HumanMessage([*parts, {"type": "text", "text": text}]),
    ]


def conversation(*seeds):
    return [*question(*seeds), AIMessage("An albatross."), HumanMessage("Which one?")]
