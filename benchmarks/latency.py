"""Warm latency and its parts, peak memory; builtin encoder, no model. For starts: `start`.

    python -m benchmarks.latency [--photos FOLDER] [--memory NAME]

Medians over runs; the machine's other work shows as spread. Peak memory is the process's own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.example import example_photo
from rar_agent.graph.asked import given
from rar_agent.images import AdmittedImage, admit
from rar_agent.recognizer import Recognizer
from rar_agent.types import Recognition


def photos(folder: Path | None, count: int) -> list[Path | Image.Image]:
    """Images that differ, so that nothing is answered from a cache."""
    if folder:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
        return list(found[:count])
    base = np.asarray(admit(example_photo()).rgb)
    return [Image.fromarray(np.roll(base, 7 * i, axis=1)) for i in range(count)]


def by_steps(recognizer: Recognizer, image: AdmittedImage) -> Recognition:
    """Recognise by LangGraph's steps, as where a model is asked or somebody listens."""
    services = recognizer.services
    services.store.put(image)
    answer = recognizer._graph.invoke(**given(services, image, {}))
    return Recognition.model_validate(answer["recognition"])


def warm(
    recognizer: Recognizer, images: list[Path | Image.Image], steps: bool = False
) -> dict[str, list[float]]:
    """Milliseconds of each part of single recognitions, one after another.

    Args:
        recognizer: Asks no model.
        images: The first is not counted.
        steps: Whether they go through the graph.
    """
    ask = by_steps if steps else Recognizer.recognize
    ask(recognizer, admit(images[0]))
    parts: dict[str, list[float]] = {}
    for image in images[1:]:
        start = time.perf_counter()
        admitted = admit(image)
        opened = time.perf_counter()
        found = ask(recognizer, admitted)
        total = 1000 * (time.perf_counter() - start)
        inside = {"decode": 1000 * (opened - start), **found.trace.timings_ms}
        for part, ms in inside.items():
            parts.setdefault(part, []).append(ms)
        parts.setdefault("overhead", []).append(total - sum(inside.values()))
        parts.setdefault("total", []).append(total)
    return parts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="Images; default: the sample, shifted.")
    parser.add_argument("--memory")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    images = photos(args.photos, args.count)
    recognizer = Recognizer(args.memory, device="cpu")
    parts = warm(recognizer, images)
    recognizer.services._embeddings.clear()
    parts["overhead by the graph"] = warm(recognizer, images, steps=True)["overhead"]
    start = time.perf_counter()
    recognizer = Recognizer(args.memory, device="cpu")
    recognizer.recognize_batch(images)
    rate = len(images) / (time.perf_counter() - start)
    figures = {
        "cores": os.cpu_count(),
        **{f"{part} ms": _summary(values) for part, values in parts.items()},
        "batch images/s": round(rate, 1),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if args.json:
        sys.stdout.write(f"{json.dumps(figures)}\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:22} {value}\n")


def _summary(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
