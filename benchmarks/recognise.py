"""Recognition of photos from their files: one by one, eight at once, in a batch; no model.

    python -m benchmarks.recognise [--encoder builtin|ViT-B-32] [--photos 500] [--repeats 3]

The builtin encoder asks the ready memory, ViT-B-32 (seeded random weights) one of these photos.
Batches take turns with encoding the same photos into a memory, which is what they can reach.
Overhead of the graph is what is left of a call's time without decoding and without its own parts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import numpy as np

from benchmarks import latency, process
from benchmarks.encode import PEERS, lay_out
from benchmarks.figures import Figure, Setup, ratio, write
from benchmarks.photos import photos
from rar_agent import Recognition, Recognizer
from rar_agent.encoders import load_encoder
from rar_agent.garbage import keep_freed
from rar_agent.images import Policy
from rar_agent.memory import create_memory
from rar_agent.memory.readers import FolderReader
from rar_agent.settings import load_settings

AT_ONCE = 8
SINGLES = 100
"""Photos that are asked about one by one, and eight at once."""
OVERHEAD_MS = 5.0


def figures(setup: Setup, encoder: str = "builtin", count: int = 500) -> list[Figure]:
    """Measure.

    Args:
        setup: See `Setup`; quick takes 20 photos.
        encoder: `builtin` or `ViT-B-32`.
        count: Photos.
    """
    keep_freed()  # likewise
    count = 20 if setup.quick else count
    with tempfile.TemporaryDirectory() as held:
        place = Path(held)
        lay_out(photos(count, setup.seed), place / "photos")
        files = sorted((place / "photos").rglob("*.jpg"))
        name = encoder
        if encoder != "builtin":
            given = {"folder": held, "seed": setup.seed}
            weights = process.ask(sys.executable, "benchmarks.weights", given)
            name = f"open_clip:{encoder}/{weights['open_clip']}"
        settings = load_settings(home=place / "home", device="cpu")
        loaded = load_encoder(name, settings)

        def encode(memory: str) -> None:
            reader = FolderReader(place / "photos")
            create_memory(settings.home, memory, loaded, reader, policy=Policy.of(settings))

        encode("photos")  # not counted
        recognizer = Recognizer(None if encoder == "builtin" else "photos", settings=settings)
        recognizer.recognize(files[0])
        encoded, batch = [], []
        single: dict[str, list[float]] = {"one by one": [], f"{AT_ONCE} at once": []}
        overhead: dict[tuple[str, int], list[float]] = {
            (way, share): [] for way in ("graph overhead", "overhead") for share in (50, 95)
        }
        for repeat in range(setup.repeats):
            told = f"repeat {repeat + 1} of {setup.repeats}"
            setup.tell(f"{told}: encode")
            encoded.append(count / _seconds(partial(encode, f"turn{repeat}")))
            setup.tell(f"{told}: batch")
            batch.append(count / _asked(recognizer, recognizer.recognize_batch, files))
            setup.tell(f"{told}: one by one, {AT_ONCE} at once, overhead")
            few = files[:SINGLES]
            for way, ask in zip(single, (_one_by_one, _at_once), strict=True):
                took = _asked(recognizer, partial(ask, recognizer), few)
                single[way].append(len(few) / took)
            for way, steps in (("graph overhead", True), ("overhead", False)):
                recognizer.services._embeddings.clear()
                taken = latency.warm(recognizer, list(few), steps)["overhead"]
                for share in (50, 95):
                    overhead[way, share].append(float(np.percentile(taken, share)))
    rates = {"batch": batch, **single}
    found = [Figure(f"{encoder}: {way}", "images/s", tuple(each)) for way, each in rates.items()]
    encoding = Figure(f"{encoder}: encoding alone", "images/s", tuple(encoded), "memory create")
    of_encoding = ratio(f"{encoder}: batch, of encoding", found[0], encoding, target=0.95)
    return [
        *found,
        encoding,
        of_encoding,
        *(
            Figure(
                f"{encoder}: {way}, p{share}",
                "ms",
                tuple(values),
                target=OVERHEAD_MS if share == 50 else None,
            )
            for (way, share), values in overhead.items()
        ),
    ]


def _asked(
    recognizer: Recognizer, ask: Callable[[Sequence[Path]], Sequence[object]], files: Sequence[Path]
) -> float:
    """Seconds of recognitions whose embeddings are not known."""
    recognizer.services._embeddings.clear()
    results: Sequence[object] = ()

    def answered() -> None:
        nonlocal results
        results = ask(files)

    took = _seconds(answered)
    assert [type(one) for one in results] == [Recognition] * len(files)
    return took


def _one_by_one(recognizer: Recognizer, files: Sequence[Path]) -> list[Recognition]:
    return [recognizer.recognize(file) for file in files]


def _at_once(recognizer: Recognizer, files: Sequence[Path]) -> list[Recognition]:
    async def all_of_them() -> list[Recognition]:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(file: Path) -> Recognition:
            async with places:
                return await recognizer.arecognize(file)

        return await asyncio.gather(*(one(file) for file in files))

    return asyncio.run(all_of_them())


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", choices=list(PEERS), default="builtin")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    write(figures(Setup(repeats=args.repeats), args.encoder, args.photos))


if __name__ == "__main__":
    main()
