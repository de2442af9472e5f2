"""What the chat model in this process adds to transformers' bare passes.

    python -m benchmarks.local [--side 512] [--layers 12]

A tiny and a larger random LLaVA on the CPU, one image, five options. All ways take turns, and the
medians are over turns; transformers' own way starts from the same PNG and messages.
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from PIL import Image

from rar_agent.example import example_photo
from rar_agent.models.local import LocalChatModel
from tests.models.local.tiny import build

LETTERS = ["B", "C", "D", "E", "F"]
NAMES = ["black footed albatross", "laysan albatross", "sooty albatross", "gull", "tern"]
TEXT = "Which bird is this? Answer with one letter. " + " ".join(
    f"{letter}: {name}." for letter, name in zip(LETTERS, NAMES, strict=True)
)


def photo() -> bytes:
    """The sample photo as a PNG of the size in which a ranker sends it."""
    buffer = io.BytesIO()
    with Image.open(example_photo()) as image:
        image.thumbnail((384, 384))
        image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def ways(model: LocalChatModel, png: bytes) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    block = {
        "type": "image",
        "base64": base64.b64encode(png).decode(),
        "mime_type": "image/png",
    }
    user: list[str | dict[str, Any]] = [block, {"type": "text", "text": TEXT}]
    messages: list[BaseMessage] = [SystemMessage("You name birds."), HumanMessage(user)]
    said = [
        {"role": "system", "content": [{"type": "text", "text": "You name birds."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": TEXT}]},
    ]
    backend = model._backend()
    weights, processor = backend.model, backend.processor

    def prepare(answers: list[str]) -> Any:  # noqa: ANN401
        text = processor.apply_chat_template(said, add_generation_prompt=True)
        with Image.open(io.BytesIO(png)) as image:
            pictures = [[image.convert("RGB")] for _ in answers]
        texts = [text + answer for answer in answers]
        return processor(text=texts, images=pictures, padding=True, return_tensors="pt")

    ready = prepare([""])

    def forward() -> Any:  # noqa: ANN401
        with torch.inference_mode():
            return weights(**ready, logits_to_keep=1)

    def prepared_forward() -> Any:  # noqa: ANN401
        with torch.inference_mode():
            return weights(**prepare([""]), logits_to_keep=1)

    def whole_sequences() -> Any:  # noqa: ANN401
        with torch.inference_mode():
            return weights(**prepare([f" {name}" for name in NAMES]))

    def generate() -> Any:  # noqa: ANN401
        with torch.inference_mode():
            return weights.generate(**prepare([""]), max_new_tokens=8, do_sample=False)

    return {
        "forward pass, inputs ready": forward,
        "transformers: prepare, forward pass": prepared_forward,
        "score_options, 5 letters": lambda: model.score_options(messages, LETTERS),
        "transformers: 5 whole sequences": whole_sequences,
        "score_options, 5 names": lambda: model.score_options(messages, NAMES),
        "transformers: generate, 8 tokens": generate,
        "invoke, 8 tokens": lambda: model.invoke(messages),
    }


def medians(timed: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Milliseconds of each way, which take turns."""
    spent: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(turns + 2):
        # To and fro: a way's own time must not depend on which one ran before it.
        for name in list(timed)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            timed[name]()
            if turn >= 2:  # the first ones warmed up
                spent[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in spent.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--turns", type=int, default=30)
    args = parser.parse_args()
    png = photo()
    with tempfile.TemporaryDirectory() as folder:
        for side, layers in ((32, 2), (args.side, args.layers)):
            place = build("llava", Path(folder) / str(side), side=side, layers=layers)
            model = LocalChatModel(model=str(place), device="cpu", max_tokens=8)
            count = sum(weight.numel() for weight in model._backend().model.parameters())
            sys.stdout.write(f"\n{count:,} weights | ms\n---|---:\n")
            for name, ms in medians(ways(model, png), args.turns).items():
                sys.stdout.write(f"{name} | {ms:.1f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
