"""The same weights for all that encode: files of each program's own form.

    python -m benchmarks.weights '{"folder": "FOLDER", "seed": 0}'

ViT-B-32 of open_clip with seeded random weights, as a file of open_clip's and as a folder of
transformers' CLIPModel, as sentence-transformers reads it; the builtin encoder's network as timm
names its layers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import open_clip
import timm
import torch
from open_clip.tokenizer import SimpleTokenizer
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from benchmarks import process
from rar_agent.encoders.builtin import read_weights

State = dict[str, torch.Tensor]
MODEL = "ViT-B-32"
TIMM = "tf_efficientnet_lite2"


def write(folder: Path, seed: int) -> dict[str, str]:
    """Write all forms; places by the names of the programs."""
    torch.manual_seed(seed)
    state: State = open_clip.create_model(MODEL).state_dict()
    places = {
        "open_clip": folder / "vit-b-32.pt",
        "transformers": folder / "vit-b-32",
        "timm": folder / "lite2.pt",
    }
    torch.save(state, places["open_clip"])
    _write_transformers(state, places["transformers"])
    values = [value for name, value in read_weights().items() if not name.startswith("_fc.")]
    names = timm.create_model(TIMM, num_classes=0).state_dict()
    torch.save(dict(zip(names, values, strict=True)), places["timm"])
    return {name: str(place) for name, place in places.items()}


def _write_transformers(state: State, folder: Path) -> None:
    config = CLIPConfig(
        text_config={"hidden_act": "gelu", "eos_token_id": 49407, "bos_token_id": 49406},
        vision_config={"hidden_act": "gelu", "patch_size": 32},
        projection_dim=512,
    )
    model = CLIPModel(config)
    missing, unknown = model.load_state_dict(as_transformers(state), strict=False)
    left = [name for name in missing if not name.endswith("position_ids")]
    if left or unknown:
        raise RuntimeError(f"Layers without weights: {left}; weights without layers: {unknown}.")
    model.save_pretrained(folder)
    words = SimpleTokenizer()
    merges = [" ".join(pair) for pair in words.bpe_ranks]
    tokenizer = CLIPTokenizer(vocab=dict(words.encoder), merges=[tuple(m.split()) for m in merges])
    size = {"size": {"shortest_edge": 224}, "crop_size": 224}
    CLIPProcessor(CLIPImageProcessor(**size), tokenizer).save_pretrained(folder)


def as_transformers(state: State) -> State:
    """Open_clip's names of layers to those of transformers' CLIPModel."""
    found = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    for old, new in norms.items():
        found |= {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}
    layers = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    }
    for name, value in state.items():
        tower, inside, rest = name.partition("transformer.resblocks.")
        if not inside:
            continue
        number, _, layer = rest.partition(".")
        half = "vision_model" if tower else "text_model"
        to = f"{half}.encoder.layers.{number}"
        if layer.startswith("attn.in_proj_"):
            part = layer.removeprefix("attn.in_proj_")
            for kind, piece in zip("qkv", value.chunk(3), strict=True):
                found[f"{to}.self_attn.{kind}_proj.{part}"] = piece.clone()
            continue
        module, _, part = layer.rpartition(".")
        found[f"{to}.{layers[module]}.{part}"] = value
    return found


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    process.tell(write(Path(given["folder"]), given["seed"]))
