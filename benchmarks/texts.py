"""A text memory of names in templates, beside open_clip's own zero-shot loop: time and equality.

    python -m benchmarks.texts [--names 1000] [--templates 80] [--model ViT-B-32]

ImageNet's names and the 80 templates that open_clip ships, on a model with seeded random weights:
these change no time. `build_zero_shot_classifier` is asked with one class a batch, as its
documentation's loop, and with other numbers of classes; each repeat draws names that no repeat
had, encodes them by all ways in turn and compares the vectors. `--full` also times ours on all
names, once; the loop would take hours on a CPU. On a busy machine take one thread
(OMP_NUM_THREADS=1) and read processor time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch

from benchmarks.figures import OURS, Figure, as_json, ratio, write
from rar_agent.encoders import FloatArray
from rar_agent.encoders.open_clip import OpenClipEncoder
from rar_agent.memory.teaching.texts import encode_categories
from rar_agent.types import Category

BATCHES = (1, 10)
"""Classes of a batch of open_clip's: its documentation's loop, and its function's default."""
_CLOCKS = {"by the clock": time.perf_counter, "processor time": time.process_time}


def measure(
    names: int = 1_000,
    templates: int = 80,
    model: str = "ViT-B-32",
    repeats: int = 3,
    sample: int = 10,
    batches: Sequence[int] = BATCHES,
    full: bool = False,
) -> list[Figure]:
    """Measure.

    Args:
        names: Names of the memory, which samples are drawn from.
        templates: Texts of each name.
        model: An open_clip architecture whose tokenizer is at hand.
        repeats: Samples, each encoded by all ways in turn.
        sample: Names of a sample, at least the largest of `batches` for that to be one.
        batches: Classes of a batch of open_clip's.
        full: Whether ours is timed on all names, too.
    """
    filled = [fill("{}") for fill in open_clip.OPENAI_IMAGENET_TEMPLATES[:templates]]
    known = list(open_clip.IMAGENET_CLASSNAMES[:names])
    with tempfile.TemporaryDirectory() as place:
        torch.manual_seed(0)
        network = open_clip.create_model(model).eval()
        file = Path(place) / "random.pt"
        torch.save(network.state_dict(), file)
        encoder = OpenClipEncoder(f"{model}/{file}")
    network.to(encoder.device)
    tokenizer = open_clip.get_tokenizer(model)

    def ours(some: Sequence[str]) -> FloatArray:
        return encode_categories(encoder, [Category(name=name) for name in some], filled)

    def theirs(classes: int) -> Callable[[Sequence[str]], FloatArray]:
        def ask(some: Sequence[str]) -> FloatArray:
            rows = open_clip.build_zero_shot_classifier(
                network, tokenizer, some, filled, classes, encoder.device
            )
            found: FloatArray = rows.T.cpu().numpy()
            return found

        return ask

    ways = {OURS: ours} | {_named(classes): theirs(classes) for classes in batches}
    spent: dict[tuple[str, str], list[float]] = {
        (way, clock): [] for way in ways for clock in _CLOCKS
    }
    difference = 0.0
    drawn = np.random.default_rng(0).permutation(len(known))
    for ask in ways.values():
        ask(known[:1])  # not counted: what is made ready once
    for repeat in range(repeats):
        numbers = range(repeat * sample, (repeat + 1) * sample)
        some = [known[i] for i in np.take(drawn, numbers, mode="wrap")]
        found = {}
        for way, ask in ways.items():
            starts = [read() for read in _CLOCKS.values()]
            found[way] = ask(some)
            for (clock, read), start in zip(_CLOCKS.items(), starts, strict=True):
                spent[way, clock].append((read() - start) / (len(some) * len(filled)))
            difference = max(difference, float(np.abs(found[OURS] - found[way]).max()))
    found_of = {
        (way, clock): Figure(f"a text, {clock}", "ms", tuple(1_000 * one for one in times), way)
        for (way, clock), times in spent.items()
    }
    told = list(found_of.values())
    for way in list(ways)[1:]:
        for clock in _CLOCKS:
            theirs_of, ours_of = found_of[way, clock], found_of[OURS, clock]
            told.append(ratio(f"times as fast as {way}, {clock}", theirs_of, ours_of))
    told.append(Figure("largest difference of unit rows", "", (difference,)))
    if full:
        start = time.perf_counter()
        ours(known)
        told.append(Figure(f"{len(known):,} names, once", "s", (time.perf_counter() - start,)))
    return told


def _named(classes: int) -> str:
    return f"open_clip by {classes}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", type=int, default=1_000)
    parser.add_argument("--templates", type=int, default=80)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sample", type=int, default=10, help="names of a repeat")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--full", action="store_true", help="ours on all names, too, once")
    parser.add_argument("--out", type=Path, help="JSON of the rows")
    args = parser.parse_args()
    found = measure(args.names, args.templates, args.model, args.repeats, args.sample,
                   args.batches, args.full)  # fmt: skip
    write(found)
    if args.out:
        args.out.write_text(json.dumps(as_json(found), indent=1))


if __name__ == "__main__":
    main()
