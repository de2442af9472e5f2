"""Engines and precisions beside eager torch: the forward pass alone, and what is lost by it.

    python -m benchmarks.engines [--rounds 9] [--batch 16] [--compile]
    RAR_DATA=FOLDER python -m benchmarks.engines --agreement [--shots 8] [--images 400]

Speed: `builtin`, and ViT-B-32 with seeded random weights, in turns, by as many threads as torch
takes (OMP_NUM_THREADS). Agreement: a few-shot memory of real photos, asked about others, of test;
int8 is calibrated on the memory's own exemplars. OpenVINO needs the extra `fast`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch

from rar_agent.encoders.load import load_plain
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.encoders.tuning import Measured
from rar_agent.encoders.tuning.measure import Measuring, Trial
from rar_agent.images import admit
from rar_agent.memory import FolderReader, create_memory, draw
from rar_agent.memory.drift import agreement
from rar_agent.settings import Settings, load_settings

VIT = "ViT-B-32"
SETS = ("cub100", "caltech100")
LOWER = ("bf16", "int8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--compile", action="store_true", help="torch.compile too: minutes")
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--allow", default="int8", help="of bf16, int8, with commas")
    args = parser.parse_args()
    allowed = tuple(args.allow.split(","))
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder), device="cpu")
        if args.agreement:
            found = agreements(settings, args.shots, args.images, allowed)
        else:
            found = speeds(settings, args.rounds, args.batch, allowed, args.compile)
        for name, one, plain in found:
            sys.stdout.write(line(name, one, plain) + "\n")
            sys.stdout.flush()


def speeds(
    settings: Settings,
    rounds: int = 9,
    batch: int = 16,
    allowed: Sequence[str] = LOWER,
    compiling: bool = False,
) -> Iterator[tuple[str, Measured, Measured]]:
    """Name of the encoder, each engine and precision, and torch in fp32 beside it."""
    for encoder in (load_plain("builtin", settings), load_plain(_vit(settings), settings)):
        pixels = _noise(encoder, 2 * batch)
        trial = Trial(pixels, "random pixels")
        name = "builtin" if encoder.name == "builtin" else VIT
        yield from _measured(
            Measuring(encoder, trial, settings.home, allowed, batch, rounds, compiling=compiling),
            name,
            batch,
        )


def agreements(
    settings: Settings, shots: int = 8, images: int = 400, allowed: Sequence[str] = LOWER
) -> Iterator[tuple[str, Measured, Measured]]:
    """Name of the data, each engine and precision of `builtin`, and torch in fp32 beside it."""
    data, encoder = Path(os.environ["RAR_DATA"]), load_plain("builtin", settings)
    for name in SETS:
        reader = draw(FolderReader(data / name / "train"), shots, 1)
        memory = create_memory(settings.home, name, encoder, reader).memory
        assert memory is not None  # there are images
        learnt = [memory.entries.source(int(row)) for row in memory.entries.rows("image")]
        asked = sorted((data / name / "test").rglob("*.jpg"))
        drawn = np.random.default_rng(0).permutation(len(asked))[:images]
        trial = Trial(
            [encoder.prepare(admit(asked[i]).rgb) for i in drawn],
            f"test photos of {name}",
            [encoder.prepare(admit(Path(path)).rgb) for path in learnt],
            partial(agreement, memory),
            name,
        )
        measuring = Measuring(encoder, trial, settings.home, allowed, 16, rounds=3, anew=True)
        yield from _measured(measuring, name, 16)


def line(name: str, one: Measured, plain: Measured) -> str:
    """One row in words."""
    if not one.images_s:
        return f"{name:12} {one.engine:9} {one.precision:14} {one.refused}"
    found = (
        f"{name:12} {one.engine:9} {one.precision:14} {one.images_s:7.1f} images/s "
        f"({one.slow:.1f} to {one.fast:.1f}), {one.images_s / plain.images_s:.2f} times torch, "
        f"loads in {one.load_s:.1f} s, differs by {one.difference:.0e}"
    )
    if one.agreement is None:
        return found
    alike = one.agreement
    return (
        f"{found}, answers alike {alike.same} of {alike.images} ({100 * alike.low:.1f} to "
        f"{100 * alike.high:.1f} %), probability within {alike.difference:.3f}"
    )


def _measured(
    measuring: Measuring, name: str, batch: int
) -> Iterator[tuple[str, Measured, Measured]]:
    tuning = measuring.run()
    found = [m for m in tuning.measured if m.batch_size == batch or not m.images_s]
    plain = next(m for m in found if (m.engine, m.precision) == ("torch", "fp32"))
    for one in found:
        yield name, one, plain


def _noise(encoder: TorchEncoder, count: int) -> list[np.ndarray]:
    from PIL import Image

    height, width = encoder.prepare(Image.new("RGB", (64, 64))).shape[:2]
    random = np.random.default_rng(0)
    return list(random.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def _vit(settings: Settings) -> str:
    """Name of the encoder with random weights, which are written once."""
    file = settings.home / "vit.pt"
    torch.manual_seed(0)
    torch.save(open_clip.create_model(VIT).state_dict(), file)
    return f"open_clip:{VIT}/{file}"


if __name__ == "__main__":
    main()
