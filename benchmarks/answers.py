"""How soon a kept answer is there, and what keeping one costs.

    python -m benchmarks.answers [--count 500]

The sample photo as a ranker sends it, and an answer with twenty log-probabilities.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from rar_agent.example import example_photo
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.models.cache import AnswerCache
from rar_agent.prompts import Message
from rar_agent.settings import load_settings
from tests.openai_server import OpenAIServer, Reply

ANSWERS = 20_000
"""Put into a file to see how large it gets."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    with Image.open(example_photo()) as image:
        photo = to_picture(image.convert("RGB"))
    text = "Which is it?\n" + "A. Some category (also: some other name)\n" * 5
    messages = (Message("system", ("You name birds.",)), Message("user", (text, photo)))
    question = Question(messages, {"temperature": 0}, None, tuple("ABCDE"))
    with tempfile.TemporaryDirectory() as home, OpenAIServer() as server:
        tokens = {f"token {n}": -1.234567891 * n for n in range(20)}
        server.script = [Reply("A", logprobs=tokens, finish="length")]
        model = load_chat_model(
            load_settings(model="m", base_url=server.url, home=home, cache_mb=1_000)
        )
        said = model.ask(question).to_json()
        file = Path(home) / "full.sqlite"
        cache, loop = AnswerCache(file, 1_000), asyncio.new_event_loop()
        for number in range(ANSWERS):
            cache.put(number.to_bytes(32, "big"), said)
        _print(f"photo of {len(photo.jpeg) / 1000:.0f} kB, answer of {len(said)} bytes")
        _time("a kept answer", lambda _: model.ask(question), count)
        _time(
            "a kept answer, on an event loop",
            lambda _: loop.run_until_complete(model.aask(question)),
            count,
        )
        _time("keeping one", lambda n: cache.put((ANSWERS + n).to_bytes(32, "big"), said), count)
        _print(f"{ANSWERS:,} answers: {file.stat().st_size / 1e6:.0f} MB")
        loop.close()
        assert len(server.requests) == 1


def _time(what: str, work: Callable[[int], object], count: int) -> None:
    times = []
    for number in range(count):
        start = time.perf_counter()
        work(number)
        times.append(1000 * (time.perf_counter() - start))
    _print(f"{what}: {statistics.median(times):.2f} ms")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
