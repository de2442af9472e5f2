"""Whether the path from a memory to a trained ranking model sees: a proof in miniature.

Flags of coloured stripes, whose order says what they are: an encoder made for ImageNet hardly knows
the order. A small image-text model, random at first, is trained on what `finetune export` writes
of one memory; then it ranks, in the whole pipeline, new images against a memory of other flags, of
other colours together. If training, export, prompt, picture and letters fit, it is better than
retrieval, and with each question about another's picture no better than chance. It tests the path
and is no benchmark.

    python -m benchmarks.sight [--small] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from rar_agent import Recognizer
from rar_agent.encoders import Encoder, load_encoder
from rar_agent.finetune.export import Plan, export
from rar_agent.finetune.lora import Recipe, train
from rar_agent.images import admit
from rar_agent.memory import create_memory
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Candidate, Recognition

COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 150, 44),
    "blue": (40, 80, 200),
    "yellow": (240, 215, 50),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
    "pink": (240, 130, 190),
}
SIDE, PATCH, WIDTH, HEADS = 64, 16, 128, 4
LETTERS = "ABCDEF"

PROMPT = """\
name: sight
version: 1
description: As few words as can be, for a model that learns them from nothing.
changelog: First version.
output: letter
variables: [letter, name, options, photo]
messages:
  - role: user
    content: |
      {{{photo}}}
      {{#options}}
      {{{name}}} {{{letter}}}
      {{/options}}
"""
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' : ' }}{% endfor %}"
)


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        stripes: Of a flag.
        held_sets: Sets of colours that are kept for evaluation, in all their orders.
        shots: Exemplars of each flag to train on.
        held_shots: Of each flag in the memory that is asked.
        asked: New images of each of these.
        k: Candidates.
        repeats: Conversations about each exemplar.
        naming: Times through the exemplars, naming what is seen.
        ranking: Times through the ranking conversations.
    """

    stripes: int = 3
    held_sets: int = 8
    shots: int = 12
    held_shots: int = 4
    asked: int = 6
    k: int = 5
    repeats: int = 16
    naming: float = 12
    ranking: float = 2


SMALL = Size(shots=6, asked=2, repeats=32, naming=24)
"""Of half as many drawings."""


@dataclass(frozen=True)
class Found:
    """What came of it, as shares.

    Attributes:
        images: That were asked about.
        inside: Whose flag is among the candidates.
        retrieval: Right by retrieval alone.
        pipeline: Right in the whole pipeline.
        chance: Right by chance among the candidates, where the flag is inside.
        retrieval_inside: Right by retrieval, where the flag is inside.
        model: Right by the model alone, there.
        shuffled: The same with each question about another's picture.
        seconds: Of the parts.
    """

    images: int
    inside: float
    retrieval: float
    pipeline: float
    chance: float
    retrieval_inside: float
    model: float
    shuffled: float
    seconds: dict[str, float]

    def error(self, share: float) -> float:
        """Standard error of a share of the images whose flag is inside."""
        return math.sqrt(share * (1 - share) / (self.images * self.inside))


def draw(name: str, seed: int) -> Image.Image:
    """A flag with stripes of these colours, from the left: somewhere, of some shape, on noise."""
    random = np.random.default_rng([seed, *name.encode()])
    ground = random.integers(90, 170) + random.normal(0, 12, (SIDE, SIDE, 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    pen, words = ImageDraw.Draw(image), name.split()
    width, gap, height = random.uniform(13, 19), random.uniform(0, 2), random.uniform(20, 44)
    left = random.uniform(1, SIDE - 1 - len(words) * width - (len(words) - 1) * gap)
    top = random.uniform(5, SIDE - 5 - height)
    shapes: list[Any] = [pen.rectangle, pen.ellipse, partial(pen.rounded_rectangle, radius=5)]
    shape = shapes[random.integers(3)]
    for word in words:
        colour = np.clip(np.array(COLOURS[word]) + random.normal(0, 10, 3), 0, 255)
        up = top + random.uniform(-3, 3)
        shape((left, up, left + width, up + height), fill=tuple(colour.astype(int).tolist()))
        left += width + gap
    return image


def flags(size: Size) -> tuple[list[str], list[str]]:
    """Flags to train on, and flags to evaluate on: no set of colours is in both."""
    sets = list(combinations(COLOURS, size.stripes))
    order = np.random.default_rng(0).permutation(len(sets)).tolist()

    def named(places: list[int]) -> list[str]:
        return [" ".join(flag) for place in places for flag in permutations(sets[place])]

    return named(order[size.held_sets :]), named(order[: size.held_sets])


def small_model(folder: Path) -> Path:
    """A LLaVA of 1.3 million random weights, whose words are colours and letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<pad>", "<unk>", "<image>", "</s>", ":", *LETTERS, *COLOURS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",
            unk_token="<unk>",
            eos_token="</s>",
            additional_special_tokens=["<image>"],
        ),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    shape = {"hidden_size": WIDTH, "num_attention_heads": HEADS}
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            **shape,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "projection_dim": WIDTH,
        },
        text_config={
            "model_type": "llama",
            **shape,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": 4,
            "num_key_value_heads": HEADS,
            "vocab_size": len(words),
            "max_position_embeddings": 256,
            "bos_token_id": None,
            "eos_token_id": words.index("</s>"),
            "pad_token_id": 0,
        },
        image_token_id=words.index("<image>"),
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).float()
    for weight in model.parameters():  # narrow layers learn nothing from weights of 0.02
        if weight.dim() > 1:
            inputs = WIDTH if len(weight) == len(words) else weight[0].numel()
            weight.data.normal_(0, inputs**-0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def naming(exported: Path, folder: Path) -> Path:
    """The exported pictures once each, their right option's name as the answer.

    Choosing a letter is learnt in minutes only by a model that knows the words.
    """
    folder.mkdir()
    (folder / "images").symlink_to((exported / "images").resolve())
    (folder / "manifest.json").write_bytes((exported / "manifest.json").read_bytes())
    (folder / "eval.jsonl").touch()
    seen = set()
    with (exported / "train.jsonl").open() as lines, (folder / "train.jsonl").open("w") as out:
        for line in map(json.loads, lines):
            user, assistant = line["messages"]
            (path,) = line["images"]
            if path in seen:
                continue
            seen.add(path)
            picture, options = user["content"]
            (answer,) = assistant["content"]
            shown = dict(one.rsplit(" ", 1)[::-1] for one in options["text"].split("\n") if one)
            user["content"] = [picture]
            answer["text"] = shown[answer["text"]]
            out.write(json.dumps(line) + "\n")
    return folder


def teach(home: Path, name: str, encoder: Encoder, names: Sequence[str], shots: int) -> None:
    """A memory of drawn flags."""
    images = {flag: [draw(flag, seed) for seed in range(shots)] for flag in names}
    create_memory(home, name, encoder, images, domain="flags", thumbnails=SIDE)


def prove(folder: Path, size: Size, say: bool = True) -> Found:
    """Teach, export, train, ask.

    Args:
        folder: For all files, empty or not there.
        size: How much of everything.
        say: Whether to tell what is done.
    """
    home, seconds, begun = folder / "home", dict[str, float](), time.perf_counter()

    def done(part: str) -> None:
        nonlocal begun
        seconds[part] = time.perf_counter() - begun
        begun = time.perf_counter()
        if say:
            print(f"{part}: {seconds[part]:.0f} s", flush=True)  # noqa: T201

    (home / "prompts" / "sight").mkdir(parents=True)
    (home / "prompts" / "sight" / "1.yaml").write_text(PROMPT)
    settings = load_settings(
        home=home, device="cpu", ranker="choice", prompt="sight@1", k=size.k, exemplars=0
    )
    encoder = load_encoder("builtin", settings)
    seen, held = flags(size)
    teach(home, "seen", encoder, seen, size.shots)
    teach(home, "held", encoder, held, size.held_shots)
    done("teach")
    plan = Plan(repeats=size.repeats, neighbours=2 * size.k, eval_share=0.05)
    export(load_settings(settings, memory="seen"), plan, folder / "ranking")
    done("export")
    model = str(small_model(folder / "random"))
    recipe: dict[str, Any] = {"rank": 0, "batch": 64, "accumulate": 1, "weight_decay": 0.01}
    for stage, data, rate, epochs in (
        ("naming", naming(folder / "ranking", folder / "names"), 1e-3, size.naming),
        ("ranking", folder / "ranking", 1e-3, size.ranking),
    ):
        how = Recipe(**recipe, learning_rate=rate, epochs=epochs)
        report = train(data, model, folder / f"after-{stage}", settings, how)
        model = str(folder / f"after-{stage}")
        done(f"train {stage}")
        if say:
            print(report.model_dump_json(exclude={"data", "versions", "recipe"}))  # noqa: T201
    found = ask(load_settings(settings, memory="held", model=f"local:{model}"), held, size)
    done("ask")
    return Found(**found, seconds=seconds)


def ask(settings: Settings, held: Sequence[str], size: Size) -> dict[str, Any]:
    """Recognise new images of the flags that were kept, and shuffle them."""
    recognizer = Recognizer(settings=settings)
    truths = [flag for flag in held for _ in range(size.asked)]
    images = [draw(flag, 1_000 + i % size.asked) for i, flag in enumerate(truths)]
    answers = recognizer.recognize_batch(images)
    right, retrieved, questions = [], [], []
    for place, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        assert isinstance(answer, Recognition)
        assert not answer.trace.degraded, answer.trace.reason
        right.append(answer.categories[0].category.name == truth)
        likeliest = max(answer.categories, key=lambda one: one.retrieval_probability)
        retrieved.append(likeliest.category.name == truth)
        names = [one.category.name for one in answer.categories]
        if truth in names:
            questions.append((place, _candidates(answer), truth))
    numbers, random = range(len(questions)), Random(0)
    others = [
        random.choice([n for n in numbers if questions[n][2] != truth]) for _, _, truth in questions
    ]

    def share(pictures: Sequence[int]) -> float:
        """Of questions that the model gets right when asked about these questions' pictures."""
        hits = 0
        for number, (_, candidates, truth) in enumerate(questions):
            image = admit(images[questions[pictures[number]][0]]).rgb
            ranking = recognizer.services.ranker.rank(image, candidates, seed=number)
            hits += candidates[ranking.order[0]].category.name == truth
        return hits / len(questions)

    return {
        "images": len(images),
        "inside": len(questions) / len(images),
        "retrieval": float(np.mean(retrieved)),
        "pipeline": float(np.mean(right)),
        "chance": float(np.mean([1 / len(candidates) for _, candidates, _ in questions])),
        "retrieval_inside": float(np.mean([retrieved[place] for place, _, _ in questions])),
        "model": share(numbers),
        "shuffled": share(others),
    }


def _candidates(answer: Recognition) -> list[Candidate]:
    """What was ranked, in retrieval order."""
    found = sorted(answer.categories, key=lambda one: -one.retrieval_probability)
    return [
        Candidate(
            category=one.category,
            score=math.log(max(one.retrieval_probability, 1e-12)),
            probability=one.retrieval_probability,
            evidence=one.evidence,
        )
        for one in found
    ]


def main() -> None:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="half as many drawings")
    parser.add_argument("--out", type=Path, help="for all files; default: a folder that is removed")
    asked = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)  # so small layers gain nothing from more
    with tempfile.TemporaryDirectory() as temporary:
        found = prove(asked.out or Path(temporary), SMALL if asked.small else Size())
    print(f"{found.images} new images, {found.inside:.1%} with the right flag inside")  # noqa: T201
    print(f"retrieval {found.retrieval:.1%}, whole pipeline {found.pipeline:.1%}")  # noqa: T201
    print("where the right flag is inside:")  # noqa: T201
    for name in ("chance", "retrieval_inside", "model", "shuffled"):
        share = getattr(found, name)
        print(f"  {name:17} {share:6.1%} ± {found.error(share):.1%}")  # noqa: T201


if __name__ == "__main__":
    main()
