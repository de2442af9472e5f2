"""One way of ours to encode photos, or one step of it alone, in a process of its own.

    python -m benchmarks.encode_ours '{"way": "memory create", "encoder": "builtin", ...}'

What is made ready once, the model's weights and first pass, is not counted. See `encode`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import numpy as np
import torch
from PIL import Image

from benchmarks import process
from rar_agent.encoders import load_encoder
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.encoders.tuning.plan import CPU_PASS
from rar_agent.garbage import keep_freed
from rar_agent.images import Policy, admit
from rar_agent.images.read import THREADS
from rar_agent.memory import create_memory
from rar_agent.memory.readers import FolderReader
from rar_agent.settings import Settings, load_settings

Found = dict[str, Any]
CHUNK = 32
"""Images of the plain loop at once, and of a step that is timed alone."""


def create(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """A memory of a folder of folders: decode, resize, forward, write."""
    last = 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal last
        if done == total:
            last = time.perf_counter()

    spending, home = process.Spending(), Path(given["home"])
    report = create_memory(
        home, "m", encoder, FolderReader(Path(given["folder"])), policy=Policy.of(settings),
        progress=progress,
    )  # fmt: skip
    end = time.perf_counter()
    found = spending.end() | {"after": end - last, "images": report.added}
    assert report.memory is not None
    assert not report.failed
    segments = [s for s in report.memory.entries.segments if s.ref.modality == "image"]
    np.save(given["vectors"], np.concatenate([np.asarray(s.vectors) for s in segments]))
    return found


def loop(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """What Python code would write that knows `admit` and `encode_images` only."""
    photos, policy = _photos(given), Policy.of(settings)
    spending = process.Spending()
    rows = []
    for some in _chunks(photos):
        images = [admit(photo, policy, detail=encoder.detail).rgb for photo in some]
        rows.append(encoder.encode_images(images))
    np.save(given["vectors"], np.concatenate(rows))
    return spending.end() | {"images": len(photos)}


def read(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """Decode and prepare, in as many threads as when images are read for an encoder."""
    policy = Policy.of(settings)

    def one(photo: Path) -> None:
        encoder.prepare(admit(photo, policy, detail=encoder.detail).rgb)

    return _threaded(one, _photos(given))


def decode(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """Read, check and decode."""
    policy = Policy.of(settings)
    return _threaded(lambda photo: admit(photo, policy, detail=encoder.detail), _photos(given))


def prepare(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """Cut and scale what is decoded already."""
    policy = Policy.of(settings)
    total: Found = {}
    for some in _chunks(_photos(given)):
        images = [admit(photo, policy, detail=encoder.detail).rgb for photo in some]
        part = _threaded(encoder.prepare, images)
        adding = {"seconds", "cpu", "images"}
        total = {k: v + total.get(k, 0) if k in adding else v for k, v in part.items()}
    return total


def forward(encoder: TorchEncoder, settings: Settings, given: Found) -> Found:
    """The bare pass on ready pixels, as many at once as on a CPU."""
    images = len(_photos(given))
    policy = Policy.of(settings)
    some = [admit(photo, policy, detail=encoder.detail) for photo in _photos(given)[:CPU_PASS]]
    batch, engine = np.stack([encoder.prepare(image.rgb) for image in some]), encoder.engine
    spending = process.Spending()
    for start in range(0, images, CPU_PASS):
        engine.run(batch[: min(CPU_PASS, images - start)])
    return spending.end() | {"images": images}


WAYS: dict[str, Callable[[TorchEncoder, Settings, Found], Found]] = {
    "memory create": create,
    "plain loop": loop,
    "read": read,
    "decode": decode,
    "prepare": prepare,
    "forward": forward,
}


def _photos(given: Found) -> list[Path]:
    return sorted(path for path in Path(given["folder"]).rglob("*.jpg"))


def _chunks(photos: Sequence[Path]) -> list[Sequence[Path]]:
    return [photos[start : start + CHUNK] for start in range(0, len(photos), CHUNK)]


def _threaded(action: Callable[[Any], object], items: Sequence[object]) -> Found:
    with ThreadPoolExecutor(THREADS) as pool:
        spending = process.Spending()
        for _ in pool.map(action, items):
            pass
        return spending.end() | {"images": len(items)}


def main() -> None:
    """Measure what the argument says."""
    keep_freed()  # likewise
    given: Found = json.loads(sys.argv[1])
    settings = load_settings(home=Path(given["home"]), device="cpu", **given.get("settings", {}))
    encoder = load_encoder(given["encoder"], settings)
    assert isinstance(encoder, TorchEncoder)
    encoder.encode_images([Image.new("RGB", (640, 480))] * CPU_PASS)
    if encoder.names_help:  # such a memory has a text of each category, too
        encoder.encode_texts(["a photo"])
    found = WAYS[given["way"]](encoder, settings, given)
    process.tell(found | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
