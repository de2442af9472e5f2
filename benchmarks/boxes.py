"""Boxes a second, how that grows with their number, and the memory that many of a large image take.

    python -m benchmarks.boxes [--counts 1 3 10 30 100 300] [--runs 5] [--megapixels 40]

Builtin encoder, memory `imagenet-1k`, no model. Boxes of all sizes, drawn by seed on a photo that
is scaled up; each run has boxes of its own, and the counts take turns, so that the machine's other
work falls on all alike. Peak memory is that of a process of its own, above what it had when the
encoder was loaded, had recognised the boxes of one small photo, and the large one was decoded.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from rar_agent.example import example_photo
from rar_agent.images import admit
from rar_agent.recognizer import Recognizer
from rar_agent.types import Box, Detections


def picture(megapixels: float) -> Image.Image:
    """The sample photo in another size."""
    photo = admit(example_photo()).rgb
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    return photo.resize((round(photo.width * scale), round(photo.height * scale)))


def boxes(size: tuple[int, int], count: int, seed: int) -> list[Box]:
    """Boxes whose sides are 2 to 50 % of the image's, evenly in their logarithm."""
    random = np.random.default_rng(seed)
    sides = np.exp(random.uniform(np.log(0.02), np.log(0.5), (count, 2))) * size
    places = random.uniform(0, 1, (count, 2)) * (np.array(size) - sides)
    return [
        (left, top, wide, high) for left, top, wide, high in np.hstack([places, sides]).tolist()
    ]


def timed(recognizer: Recognizer, image: Image.Image, count: int, seed: int) -> float:
    """Seconds for one image with as many boxes."""
    given = boxes(image.size, count, seed)
    start = time.perf_counter()
    found = recognizer.detect(image, given)
    took = time.perf_counter() - start
    _check(found, count)
    return took


def _check(found: Detections, count: int) -> None:
    if sum(one.recognition is not None for one in found.detections) != count:
        raise SystemExit("Not every box was recognised.")


def growth(counts: list[int], runs: int) -> Table:
    """A table of milliseconds a box, by boxes of a photo of usual size."""
    recognizer, image = Recognizer(device="cpu"), picture(1.5)
    timed(recognizer, image, 4, 0)
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    for run in range(runs):
        for count in counts:
            seconds[count].append(timed(recognizer, image, count, 1_000 * run + count))
    table = Table("boxes", "seconds", "ms a box", "boxes a second", title="1.5 megapixels, medians")
    for count, took in seconds.items():
        middle = statistics.median(took)
        spread = f"{middle:.2f} ({min(took):.2f} to {max(took):.2f})"
        table.add_row(str(count), spread, f"{1_000 * middle / count:.1f}", f"{count / middle:.1f}")
    return table


def peak(megapixels: float, count: int) -> None:
    """Print MB that one image with its boxes takes at most, and seconds."""
    recognizer = Recognizer(device="cpu")
    timed(recognizer, picture(0.3), 40, 0)  # more than a batch, as later
    image = picture(megapixels)
    before = most = _rss()
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.005):
            most = max(most, _rss())

    watching = threading.Thread(target=watch)
    watching.start()
    took = timed(recognizer, image, count, 1)
    ended.set()
    watching.join()
    sys.stdout.write(f"{most - before:.0f} {took:.1f}\n")


def _rss() -> float:
    """MB that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megapixels", type=float, default=40)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.peak is not None:
        peak(args.megapixels, args.peak)
        return
    console = Console()
    console.print(growth(args.counts, args.runs))
    table = Table("boxes", "MB above", "seconds", title=f"{args.megapixels:g} megapixels")
    for count in (1, 100, 1_000):
        command = [sys.executable, "-m", "benchmarks.boxes", "--peak", str(count)]
        command += ["--megapixels", str(args.megapixels)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        table.add_row(str(count), *told)
    console.print(table)


if __name__ == "__main__":
    main()
