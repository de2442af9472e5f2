"""Zero-shot detectors small enough to build in a test: seeded random weights, real files.

What such a detector finds is noise, but how it is asked and read can be checked exactly.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForZeroShotObjectDetection,
    BertTokenizer,
    DetrImageProcessor,
    GroundingDinoConfig,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    OmDetTurboConfig,
    OmDetTurboProcessor,
    Owlv2Config,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTImageProcessor,
    OwlViTProcessor,
    PreTrainedTokenizerFast,
)

WORDS = ["object", "bird", "boat", "black", "footed", "albatross", "st", "bernard", "kite"]
_SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 2],
    "window_size": 4,
    "out_indices": [2, 3, 4],
}


def _clip_tokenizer() -> PreTrainedTokenizerFast:
    """Words between a start and an end, whose id is the highest, as OWL-ViT needs it."""
    vocabulary = ["<pad>", *WORDS, "<unk>", "<start>", "<end>"]
    made = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(name, vocabulary.index(name)) for name in ("<start>", "<end>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=16,
    )


def _owl(kind: Any, images: Any, processor: Any) -> tuple[Any, Any]:
    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    side |= {"num_attention_heads": 4}
    words = _clip_tokenizer()
    config = kind(
        text_config={
            **side,
            "vocab_size": len(words),
            "pad_token_id": words.pad_token_id,
            "bos_token_id": words.bos_token_id,
            "eos_token_id": words.eos_token_id,
        },
        vision_config={**side, "image_size": 64, "patch_size": 8},
        projection_dim=32,
    )
    return config, processor(images(size={"height": 64, "width": 64}), words)


def _grounding_dino() -> tuple[Any, Any]:
    vocabulary = [f"[unused{at}]" for at in range(1100)]
    # Where BERT has them: the model looks for these ids.
    for at, word in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: "."}.items():
        vocabulary[at] = word
    vocabulary[1029] = "?"
    vocabulary[1040 : 1040 + len(WORDS)] = WORDS
    words = BertTokenizer(vocab={word: at for at, word in enumerate(vocabulary)})
    config = GroundingDinoConfig(
        backbone_config=_SWIN,
        text_config={
            "model_type": "bert",
            "vocab_size": len(vocabulary),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
        },
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=20,
        max_text_len=16,
    )
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return config, GroundingDinoProcessor(images, words)


def _omdet() -> tuple[Any, Any]:
    words = _clip_tokenizer()
    config = OmDetTurboConfig(
        backbone_config={**_SWIN, "image_size": 64},
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "projection_dim": 32,
            "bos_token_id": words.bos_token_id,
            "eos_token_id": words.eos_token_id,
        },
        apply_layernorm_after_vision_backbone=False,  # for backbones of timm
        image_size=64,
        text_projection_in_dim=32,
        text_projection_out_dim=32,
        task_encoder_hidden_dim=64,
        class_embed_dim=32,
        num_queries=20,
        encoder_hidden_dim=64,
        decoder_hidden_dim=64,
        vision_features_channels=[64, 64, 64],
        encoder_in_channels=[32, 64, 128],
        encoder_dim_feedforward=64,
        decoder_dim_feedforward=64,
        decoder_num_layers=2,
    )
    images = DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    return config, OmDetTurboProcessor(images, words)


FAMILIES = {
    "owlvit": lambda: _owl(OwlViTConfig, OwlViTImageProcessor, OwlViTProcessor),
    "owlv2": lambda: _owl(Owlv2Config, Owlv2ImageProcessor, Owlv2Processor),
    "grounding-dino": _grounding_dino,
    "omdet-turbo": _omdet,
}


def build(family: str, folder: Path) -> Path:
    """Save a detector of random weights, as `save_pretrained` does."""
    config, processor = FAMILIES[family]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForZeroShotObjectDetection.from_config(config).float()
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data.normal_(0, 0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
