import hashlib

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from rar_agent.encoders import builtin as module
from rar_agent.encoders.builtin import WEIGHTS_SHA256, read_weights, weights_path
from rar_agent.encoders.imagenet import imagenet_categories
from rar_agent.errors import ConfigurationError
from rar_agent.images import admit
from tests.conftest import draw


def test_the_network_equals_the_reference_implementation(builtin, photo):
    reference = EfficientNet.from_name("efficientnet-lite2")
    reference.load_state_dict(read_weights())
    reference.eval()
    images = [admit(photo).rgb, draw("red", 1), draw("blue", 2, 300)]
    pixels = torch.from_numpy(np.stack([builtin.prepare(image) for image in images]))
    batch = (pixels.permute(0, 3, 1, 2) - 127.0) / 128.0
    with torch.inference_mode():
        expected = reference.extract_features(batch).mean(dim=(2, 3)).numpy()
        logits = reference(batch).numpy()
    vectors, norms = builtin.encode_images_with_norms(images)
    assert np.allclose(vectors * norms[:, None], expected, atol=2e-4)
    ours = (vectors * norms[:, None]) @ builtin.head_weights.T + builtin.head_bias
    assert np.allclose(ours, logits, atol=2e-3)


def test_preprocessing_is_resize_then_centre_crop(builtin, photo):
    image = admit(photo).rgb
    scale = 292 / min(image.size)
    resized = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (resized.width - 260) // 2, (resized.height - 260) // 2
    cropped = np.asarray(resized.crop((left, top, left + 260, top + 260)), np.float32)
    ours = builtin.prepare(image)
    assert np.abs(ours - cropped).max() <= 1.0


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (260, 260)])
def test_extreme_shapes_encode(builtin, size):
    vector = builtin.encode_images([Image.new("RGB", size, "red")])
    assert vector.shape == (1, 1280)
    assert np.isfinite(vector).all()


def test_embeddings_are_unit_float32_and_batches_agree_with_singles(builtin):
    images = [draw("red", i) for i in range(5)]
    together = builtin.encode_images(images)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([builtin.encode_images([image]) for image in images])
    assert np.allclose(together, alone, atol=1e-5)
    assert builtin.encode_images([]).shape == (0, 1280)


def test_canonical_vectors_pin_the_numerics(builtin, photo):
    vector, norm = builtin.encode_images_with_norms([admit(photo).rgb])
    assert vector[0][[1132, 386, 1093, 1204, 1214]] == pytest.approx(
        [0.2703, 0.2573, 0.1808, 0.1756, 0.1645], abs=1e-3
    )
    assert norm[0] == pytest.approx(11.765, abs=0.02)


def test_texts_land_near_what_they_name(builtin):
    texts = builtin.encode_texts(["tabby cat", "sports car", "espresso"])
    assert texts.shape == (3, 1280)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    rows = builtin.head_weights / np.linalg.norm(builtin.head_weights, axis=1, keepdims=True)
    names = [category.name for category in imagenet_categories()]
    best = (texts @ rows.T).argmax(axis=1)
    assert [names[i] for i in best] == ["tabby", "sports car", "espresso"]


def test_thousand_distinct_names_with_definitions():
    categories = imagenet_categories()
    assert len({category.name for category in categories}) == 1000
    assert categories[281].name == "tabby"
    assert categories[281].description.startswith("a cat with a grey or tawny coat")
    assert categories[134].name == "crane (bird)"


def test_fingerprint_names_the_weights(builtin):
    assert builtin.fingerprint.details["weights"] == WEIGHTS_SHA256[:16]
    assert hashlib.sha256(weights_path().read_bytes()).hexdigest() == WEIGHTS_SHA256


def test_changed_weights_are_refused(tmp_path, monkeypatch):
    changed = bytearray(weights_path().read_bytes())
    changed[1_000_000] ^= 1
    (tmp_path / "w.pth").write_bytes(changed)
    monkeypatch.setattr(module, "weights_path", lambda: tmp_path / "w.pth")
    with pytest.raises(ConfigurationError, match="sha256"):
        read_weights()


def test_bf16_stays_near_fp32(builtin):
    from rar_agent.encoders.builtin import BuiltinEncoder

    images = [draw("red", 1), draw("green", 2)]
    lowered = BuiltinEncoder("cpu", precision="bf16")
    assert lowered.fingerprint.identity == builtin.fingerprint.identity
    assert lowered.fingerprint.precision == "bf16"
    cosines = (lowered.encode_images(images) * builtin.encode_images(images)).sum(axis=1)
    assert (cosines > 0.99).all()
