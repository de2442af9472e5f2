"""Texts cut at their batch's longest, beside open_clip's whole rows: small towers of each kind."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.hf_model import HFTextEncoder
from transformers import BertConfig, RobertaConfig

from rar_agent.encoders.open_clip_text import TextTower

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 16, "layers": 1, "width": 32, "patch_size": 8, "head_width": 32}
HF = {"vocab_size": 49408, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
      "intermediate_size": 64, "max_position_embeddings": 80, "pad_token_id": 0}  # fmt: skip
END = 49407
TOKENIZER = open_clip.SimpleTokenizer()


def _clip(**text):
    return open_clip.CLIP(16, VISION, {**TEXT, **text})


def _custom(**text):
    return open_clip.CustomTextCLIP(16, VISION, {**TEXT, **text})


def _coca(correct=False, **text):
    own = {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True, **text}
    decoder = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    vision = {**VISION, "attentional_pool": True, "output_tokens": True}
    model = open_clip.CoCa(16, decoder, own, vision)
    model.text.correct_cls_mask = correct
    return model


def _hf(config, pooler):
    model = _custom()
    model.text = HFTextEncoder("", 16, config(**HF), pooler, "linear")
    return model


MODELS = {
    "clip": (_clip, True),
    "clip, eos": (lambda: _clip(pool_type="eos", eos_id=END), True),
    "text tower of its own": (lambda: _custom(context_length=32), True),
    "its own blocks": (lambda: _custom(qk_norm=True, scale_fc=True, pool_type="eos", eos_id=END),
                       True),
    "coca": (_coca, True),
    "coca, its mask corrected": (lambda: _coca(correct=True), True),
    "roberta": (lambda: _hf(RobertaConfig, "mean_pooler"), True),
    "bert": (lambda: _hf(BertConfig, "cls_last_hidden_state_pooler"), True),
    "siglip": (lambda: _custom(context_length=64, pool_type="last", no_causal_mask=True,
                               proj_bias=True), False),
    "clipa": (lambda: _clip(context_length=32, pool_type="last", no_causal_mask=True), False),
    "mobileclip": (lambda: _custom(no_causal_mask=True), False),
    "the last of a causal one": (lambda: _clip(pool_type="last"), False),
}  # fmt: skip


def _sharp(model):
    """Weights large enough for each token to matter, so that a wrong cut is seen."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "embedding" in name or name.endswith("cls_emb"):
                value.mul_(30)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def towers():
    found = {}
    for kind, (make, _) in MODELS.items():
        torch.manual_seed(0)
        model = _sharp(make())
        width = getattr(getattr(model, "text", model), "context_length", 77)
        tokenizer = partial(TOKENIZER, context_length=min(width, 77))
        found[kind] = model, tokenizer, TextTower(model, tokenizer, "cpu")
    return found


def _unit(rows):
    return torch.nn.functional.normalize(rows, dim=1).numpy()


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_cut_is_known(kind, towers):
    assert towers[kind][2].cuts is MODELS[kind][1]


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", " ", "cat", "!!.!", "!", "<end_of_text>", "a <end_of_text> b", "x" * 400]),
    st.integers(1, 90).map(lambda n: " ".join(["bird"] * n)),
    st.text(st.characters(min_codepoint=0x3000, max_codepoint=0x9FFF), max_size=60),
)


@pytest.mark.parametrize("kind", MODELS)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
@settings(max_examples=40)
def test_cut_equals_whole(kind, texts, towers):
    model, tokenizer, tower = towers[kind]
    with torch.inference_mode():
        whole = _unit(model.encode_text(tokenizer(texts)))
        ours = _unit(tower.encode(texts))
    assert np.abs(whole - ours).max() <= 1e-5


def _widths(model):
    """Widths of the rows that the tower's last norm sees from now on, and how many rows."""
    seen = []
    model.ln_final.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape[:2])))
    return seen


def test_short_texts_cost_little_padding_and_long_ones_are_apart():
    model = _sharp(_clip())
    tower = TextTower(model, TOKENIZER, "cpu")
    assert tower.cuts
    seen = _widths(model)
    tower.encode(["cat", "a photo of a dog.", "x " * 90, "a photo of a cat."])
    assert seen == [(1, 77), (3, 8)]
    seen.clear()
    tower.encode(["a photo of a cat."] * 1_000)
    assert [width for _, width in seen] == [8, 8]
    assert sum(rows for rows, _ in seen) == 1_000


def test_a_mask_that_is_not_causal_is_found_out():
    model = _sharp(_clip())
    model.attn_mask.zero_()
    texts = ["cat", "a photo of a dog."]
    tower = TextTower(model, TOKENIZER, "cpu")
    with torch.inference_mode():
        assert np.array_equal(tower.encode(texts), model.encode_text(TOKENIZER(texts)))
    assert not tower.cuts


def test_a_tower_that_takes_whole_rows_only_gets_them(caplog):
    class Rigid(open_clip.CLIP):
        def encode_text(self, text, normalize=False):
            return super().encode_text(text.reshape(-1, 77), normalize)

    model = _sharp(Rigid(16, VISION, TEXT))
    texts = ["cat", "a photo of a dog."]
    tower = TextTower(model, TOKENIZER, "cpu")
    with torch.inference_mode():
        assert np.array_equal(tower.encode(texts), model.encode_text(TOKENIZER(texts)))
    assert "with their padding" in caplog.text


@pytest.mark.parametrize("kind", ["clip", "coca"])
def test_threads_do_not_disturb_each_other_nor_the_model(kind, towers):
    model, tokenizer, tower = towers[kind]
    lists = [["bird " * n, "cat"] for n in range(1, 41)]

    def encode(texts):
        with torch.inference_mode():
            return tower.encode(texts)

    alone = [encode(texts) for texts in lists]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(encode, lists))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(alone, together, strict=True))
    with torch.inference_mode():
        assert torch.allclose(model.encode_text(tokenizer(lists[0])), alone[0], atol=1e-4)
