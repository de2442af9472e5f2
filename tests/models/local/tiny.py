"""Vision-language models small enough to build in a test: seeded random weights, real files.

Architectures, processors and chat templates are those of published models; the tokenizer is
trained here. What such a model says is noise, but how it is computed can be checked exactly.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessor,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3_5Config,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

WORDS = 336
_CORPUS = [
    "Which bird is this? Answer with one letter.",
    "A black footed albatross. B laysan albatross. C sooty albatross.",
    '{"ranking": ["A", "B", "C"]}',
    *["A B C D E F G H"] * 9,  # single tokens, as everywhere
]
_PARTS = (
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
)
# As LLaVA and SmolVLM: an answer begins with a space.
_SPOKEN = (
    "{% for message in messages %}{{ message['role'].upper() + ':' }}"
    "{% if message['content'][0]['type'] == 'text' %}{{ ' ' }}{% endif %}"
    f"{_PARTS}</s>\n{{% endfor %}}{{% if add_generation_prompt %}}ASSISTANT:{{% endif %}}"
)
# As Qwen.
_TURNS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\\n' }}"
    f"{_PARTS}<|im_end|>\n{{% endfor %}}"
    "{% if add_generation_prompt %}<|im_start|>{{ 'assistant\\n' }}{% endif %}"
)
_QWEN_TOKENS = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
_QWEN_TOKENS += ["<|image_pad|>", "<|video_pad|>"]
_QWEN_TEMPLATE = _TURNS.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")


def tokenizer(special: list[str], end: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as most of these models have."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<pad>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=end,
        pad_token="<pad>",
        additional_special_tokens=special,
    )


def _text(words: PreTrainedTokenizerFast, side: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": WORDS,
        "hidden_size": side,
        "intermediate_size": 2 * side,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }


def llava(side: int, layers: int) -> tuple[Any, Any]:
    words = tokenizer(["<image>", "</s>"], "</s>")
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_SPOKEN.replace("IMAGE", "<image>"),
    )
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": side,
            "intermediate_size": 2 * side,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "projection_dim": side,
        },
        text_config={"model_type": "llama", **_text(words, side, layers)},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    return config, processor


def smolvlm(side: int, layers: int) -> tuple[Any, Any]:
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "</s>"]
    words = tokenizer(special, "</s>")
    images = SmolVLMImageProcessor(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
    )
    processor = SmolVLMProcessor(
        images,
        words,
        SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=_SPOKEN.replace("IMAGE", "<image>"),
    )
    config = SmolVLMConfig(
        vision_config={
            "hidden_size": side,
            "intermediate_size": 2 * side,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config={"model_type": "llama", **_text(words, side, layers)},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    return config, processor


def qwen(side: int, layers: int) -> tuple[Any, Any]:
    """Qwen2.5-VL: images of any size, places in three dimensions."""
    words = tokenizer(_QWEN_TOKENS, "<|im_end|>")
    processor = Qwen2_5_VLProcessor(
        _qwen_images(), words, Qwen2VLVideoProcessor(patch_size=8), chat_template=_QWEN_TEMPLATE
    )
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": side,
            "intermediate_size": 2 * side,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": side,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        text_config={**_text(words, side, layers), "rope_parameters": _mrope(side // 4)},
        **_qwen_ids(words),
    )
    return config, processor


def hybrid(side: int, layers: int) -> tuple[Any, Any]:
    """Qwen3.5: three layers of four keep a state instead of keys and values."""
    words = tokenizer(_QWEN_TOKENS, "<|im_end|>")
    processor = Qwen3VLProcessor(
        _qwen_images(), words, Qwen3VLVideoProcessor(patch_size=8), chat_template=_QWEN_TEMPLATE
    )
    config = Qwen3_5Config(
        vision_config={
            "depth": 2,
            "hidden_size": side,
            "intermediate_size": 2 * side,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": side,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [],
        },
        text_config={
            **_text(words, side, layers),
            "head_dim": 16,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "rope_parameters": {**_mrope(16), "mrope_interleaved": True},
        },
        **_qwen_ids(words),
    )
    return config, processor


def _qwen_images() -> Qwen2VLImageProcessor:
    return Qwen2VLImageProcessor(
        patch_size=8, merge_size=2, temporal_patch_size=2, min_pixels=16 * 16, max_pixels=64 * 64
    )


def _mrope(dimension: int) -> dict[str, Any]:
    half = dimension // 2
    section = [half // 4, half // 4, half - 2 * (half // 4)]
    return {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": section}


def _qwen_ids(words: PreTrainedTokenizerFast) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: words.convert_tokens_to_ids(token) for name, token in names.items()}


FAMILIES = {"llava": llava, "smolvlm": smolvlm, "qwen": qwen, "hybrid": hybrid}


def build(family: str, folder: Path, side: int = 32, layers: int = 2, spread: float = 0.2) -> Path:
    """Save a model of random weights, as `save_pretrained` does; it never ends by itself.

    Args:
        family: A key of `FAMILIES`.
        folder: Where; made if it is not there.
        side: Hidden size, a multiple of 32.
        layers: Of the language model.
        spread: Standard deviation of the weights; large enough that answers differ.
    """
    config, processor = FAMILIES[family](side, 4 if family == "hybrid" else layers)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config).float()
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data.normal_(0, spread)
        model.get_output_embeddings().weight.data[processor.tokenizer.eos_token_id] = 0
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
