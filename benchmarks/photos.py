"""Photos as cameras write them, for benchmarks: JPEG, 0.3 to 12 megapixels, all different.

Real photos of `RAR_DATA/coco128`, or the sample photo where that is not, enlarged and given grain,
so that a decoder has about as many bytes to read as from a camera: 0.2 to 0.4 a pixel.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.example import example_photo
from rar_agent.images import admit

SMALLEST, LARGEST = 0.3e6, 12e6
"""Pixels; sizes between are spread evenly on a logarithmic scale."""

_GRAIN = 6.0  # standard deviation, in steps of 8 bits


def photos(count: int, seed: int = 0) -> list[Path]:
    """Make photos, or find those that were made before.

    Args:
        count: How many.
        seed: Of their sizes and grain.
    """
    folder = Path(tempfile.gettempdir()) / f"rar-agent-photos-{seed}"
    folder.mkdir(exist_ok=True)
    made = [folder / f"{number:04d}.jpg" for number in range(count)]
    originals = _originals()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda n: _make(made[n], originals[n % len(originals)], seed, n),
                          (n for n in range(count) if not made[n].is_file())):  # fmt: skip
            pass
    return made


def _originals() -> list[Path]:
    place = os.environ.get("RAR_DATA")
    found = sorted(Path(place, "coco128", "images").rglob("*.jpg")) if place else []
    return found or [example_photo()]


def _make(to: Path, original: Path, seed: int, number: int) -> None:
    random = np.random.default_rng((seed, number))
    photo = admit(original).rgb
    pixels = np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST)))
    scale = (pixels / (photo.width * photo.height)) ** 0.5
    size = (round(photo.width * scale), round(photo.height * scale))
    large = np.asarray(photo.resize(size, Image.Resampling.BICUBIC), np.float32)
    large += _GRAIN * random.standard_normal((*large.shape[:2], 1), np.float32)
    draft = to.with_suffix(".draft")
    shown = Image.fromarray(np.clip(large, 0, 255).astype(np.uint8))
    shown.save(draft, format="JPEG", quality=90)
    draft.replace(to)
