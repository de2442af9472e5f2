"""How near a batch comes to as many images as a model's calls, and its encoder, allow.

    python -m benchmarks.throughput [--images 400] [--requests 8] [--runs 3] [--encode]

A server on loopback, in a process of its own, answers after 200 ms; 5 % of the requests, drawn
from a seed, get 429. Ideal is images / requests at once x 200 ms, retries not reckoned in. The
images are drawn discs, the memory the ready one of 1,000 categories, and the model is always
asked. The images' embeddings are known beforehand; with `--encode` they are not, and ideal is the
time for encoding alone where that is longer.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.figures import Figure, write
from rar_agent import Recognition, Recognizer
from rar_agent.images import admit
from tests.conftest import draw
from tests.openai_server import OpenAIServer, Reply

CALL_S = 0.2
BUSY = 0.05
"""Share of the requests that get 429."""

_GOOD = Reply('{"ranking": ["A", "B", "C", "D", "E"]}', delay_s=CALL_S)
_WAITS = {"no 429": None, "429": {}, "429, Retry-After: 1": {"Retry-After": "1"}}


def figures(
    images: int = 400, requests: int = 8, runs: int = 3, encode: bool = False
) -> list[Figure]:
    """Measure.

    Args:
        images: Of a batch.
        requests: At once, at most.
        runs: Of each way.
        encode: Whether the images' embeddings are unknown.
    """
    torch.set_num_threads(1)
    drawn = [draw("red", n, 256) for n in range(images)]
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    url = here.recv()
    calls_s = images / requests * CALL_S
    found = [Figure("images / requests at once x a call", "s", (calls_s,), "ideal")]
    with tempfile.TemporaryDirectory() as home:
        recognizer = _recognizer(url, Path(home), requests)
        start = time.perf_counter()
        recognizer.services.embed_all([admit(image) for image in drawn])
        encode_s = (time.perf_counter() - start) if encode else 0.0
        if encode:
            found.append(Figure("encoding alone", "s", (encode_s,), "ideal"))
        else:
            vars(recognizer.services)["embed_all"] = lambda *_: None  # they are known
        for way in ("recognize_batch", "arecognize_batch"):
            for name, headers in _WAITS.items():
                turns = []
                for run in range(runs):
                    if encode:
                        recognizer.services._embeddings.clear()
                    here.send((run, headers))
                    here.recv()
                    start = time.perf_counter()
                    results = _results(recognizer, way, drawn)
                    took_s = time.perf_counter() - start
                    here.send(None)
                    assert len(results) == images
                    degraded = sum(one.trace.degraded for one in results)
                    share = max(calls_s, encode_s) / took_s
                    turns.append((share, images / took_s, *here.recv(), degraded))
                shares, rates, paid, refused, less = zip(*turns, strict=True)
                about = f"{paid[-1]} calls answered, {refused[-1]} refused, {less[-1]} degraded"
                named = f"{way}, {name}"
                found.append(Figure(f"{named}: of ideal", "x", shares, better="more", note=about))
                found.append(Figure(named, "images/s", rates))
    server.terminate()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--encode", action="store_true")
    args = parser.parse_args()
    write(figures(args.images, args.requests, args.runs, args.encode))


def _results(recognizer: Recognizer, way: str, images: Sequence[Image.Image]) -> list[Recognition]:
    if way == "recognize_batch":
        found = recognizer.recognize_batch(images)
    else:
        found = asyncio.run(recognizer.arecognize_batch(images))
    return [one for one in found if isinstance(one, Recognition)]


def _recognizer(url: str, home: Path, requests: int) -> Recognizer:
    found = Recognizer(
        model="m",
        base_url=url,
        home=home,
        device="cpu",
        skip_ranking_at=1.01,
        model_requests=requests,
        model_retries=4,
        cache_mb=0,
    )
    found.recognize(draw("red", 10_000))  # what is loaded once
    return found


def _serve(pipe: Connection) -> None:
    with OpenAIServer() as server:
        server.script = [_GOOD]
        pipe.send(server.url)
        while True:
            seed, headers = pipe.recv()
            chance, counts = random.Random(seed), [0, 0]

            def answer(
                _: dict[str, Any],
                chance: random.Random = chance,
                counts: list[int] = counts,
                headers: dict[str, str] | None = headers,
            ) -> Reply:
                busy = headers is not None and chance.random() < BUSY
                counts[busy] += 1
                return Reply(status=429, headers=headers or {}) if busy else _GOOD

            server.answer = answer
            pipe.send(None)
            pipe.recv()
            server.answer = None
            pipe.send(tuple(counts))


if __name__ == "__main__":
    main()
