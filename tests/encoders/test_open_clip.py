"""Real open_clip code on a small architecture with seeded random weights: numerics, no accuracy."""

import json

import numpy as np
import open_clip
import pytest
import torch

from rar_agent.encoders import choose_encoder, load_encoder
from rar_agent.encoders.open_clip import OpenClipEncoder
from rar_agent.encoders.open_clip_files import missing_files
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory.teaching.texts import encode_categories
from rar_agent.settings import Settings
from rar_agent.types import Category
from tests.conftest import draw

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}
PREPROCESS = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def make_folder(folder, seed=0):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**CONFIG)
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def encoder(folder):
    return OpenClipEncoder(str(folder), device="cpu")


def test_images_and_texts_equal_open_clips_own(encoder, folder):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    images, texts = [draw("red", 1), draw("blue", 2, 50)], ["a cat.", "Bachman's sparrow"]
    with torch.no_grad():
        expected = model.encode_image(torch.stack([transform(i) for i in images]), normalize=True)
        named = model.encode_text(tokenizer(texts), normalize=True)
    assert np.allclose(encoder.encode_images(images), expected.numpy(), atol=1e-5)
    assert np.allclose(encoder.encode_texts(texts), named.numpy(), atol=1e-5)
    assert encoder.text_scale == pytest.approx(float(model.logit_scale.exp()))
    assert encoder.dimension == 32
    assert encoder.names_help


def test_the_same_weights_elsewhere_have_the_same_identity(encoder, tmp_path):
    again = OpenClipEncoder(str(make_folder(tmp_path / "copy")), device="cpu")
    assert again.fingerprint.identity == encoder.fingerprint.identity


def test_weights_and_preprocessing_change_the_identity(encoder, tmp_path):
    other = OpenClipEncoder(str(make_folder(tmp_path / "other", seed=1)), device="cpu")
    differing = {
        key
        for key, value in other.fingerprint.details.items()
        if value != encoder.fingerprint.details[key]
    }
    assert differing == {"weights"}
    config = {"model_cfg": CONFIG, "preprocess_cfg": {**PREPROCESS, "interpolation": "bilinear"}}
    changed = make_folder(tmp_path / "changed")
    (changed / "open_clip_config.json").write_text(json.dumps(config))
    resized = OpenClipEncoder(str(changed), device="cpu")
    assert resized.fingerprint.identity != encoder.fingerprint.identity


def test_a_checkpoint_file_of_a_known_model(tmp_path):
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32-quickgelu")
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    loaded = load_encoder(
        f"open_clip:ViT-B-32-quickgelu/{tmp_path / 'mine.pt'}", Settings(device="cpu")
    )
    assert loaded.dimension == 512
    assert loaded.encode_images([draw("red", 1)]).shape == (1, 512)


def test_a_folder_without_weights_is_refused_not_filled_at_random(tmp_path):
    folder = make_folder(tmp_path / "empty")
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEncoder(str(folder))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    folder = make_folder(tmp_path / "damaged")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEncoder(str(folder))


def test_nothing_downloads_unasked():
    pair = "ViT-B-16-SigLIP/webli"
    assert missing_files(pair) == ["weights timm/ViT-B-16-SigLIP", "tokenizer timm/ViT-B-16-SigLIP"]
    with pytest.raises(ConfigurationError, match="RAR_DOWNLOAD=1"):
        OpenClipEncoder(pair)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("ViT-B-16", "MODEL/PRETRAINED"),
        ("NoSuch/openai", "no model 'NoSuch'"),
        ("ViT-B-32/nosuch", "laion2b_s34b_b79k"),
    ],
)
def test_wrong_names_say_what_is_known(body, says):
    with pytest.raises(InputError) as error:
        missing_files(body)
    assert says in str(error.value)


def test_auto_takes_what_is_on_disk_and_names_the_stronger_one():
    choice = choose_encoder("auto")
    assert choice.name == "builtin"
    assert "ViT-B-16-SigLIP/webli" in choice.stronger
    assert "MB" in choice.stronger
    assert choose_encoder("builtin").name == "builtin"


def test_what_is_in_the_cache_is_loaded_without_asking_the_hub(tmp_path, monkeypatch):
    """A hub's cache with a checkpoint, and a hub that counts who asks: a server on loopback."""
    import http.server
    import threading

    from huggingface_hub import constants
    from safetensors.torch import save_file

    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_error(404)

        def do_GET(self):
            self.do_HEAD()

        def log_message(self, *_):
            pass

    hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{hub.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K" / "snapshots" / "c0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("c0")
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32")
    save_file(model.state_dict(), snapshot / "open_clip_model.safetensors")
    pair = "ViT-B-32/laion2b_s34b_b79k"
    assert missing_files(pair) == []
    assert OpenClipEncoder(pair, device="cpu").dimension == 512
    assert asked == []
    hub.shutdown()
    hub.server_close()


def test_a_text_that_comes_twice_is_encoded_once(encoder):
    encoder.encode_texts(["x"])  # the first ones are probed
    seen = []
    hook = encoder._model.ln_final.register_forward_hook(
        lambda _, args, __: seen.append(len(args[0]))
    )
    texts = ["a cat.", "a dog.", "a cat.", "a cat.", "a bird."]
    rows = encoder.encode_texts(texts)
    hook.remove()
    assert sum(seen) == 3
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.allclose(rows, alone, atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, 32)


def test_categories_equal_open_clips_own_zero_shot_classifier(encoder, folder):
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    names, templates = open_clip.IMAGENET_CLASSNAMES[:6], open_clip.OPENAI_IMAGENET_TEMPLATES
    expected = open_clip.build_zero_shot_classifier(
        model, open_clip.get_tokenizer(f"local-dir:{folder}"), names, templates
    )
    ours = encode_categories(
        encoder, [Category(name=name) for name in names], [fill("{}") for fill in templates]
    )
    assert np.abs(ours - expected.T.numpy()).max() <= 1e-5
