"""What the eval harness costs, and that it loses nothing: overhead, resumption after kill -9.

    python -m benchmarks.harness [--kills 50] [--images 300]

Overhead: cells are asked through the harness (records, a journal whose every line is fsynced), and
the same images by the recognizer alone, in turns; embeddings are known in both. Resumption: a run
with a model over HTTP is killed with SIGKILL at random points, goes on, and is compared with one
that nobody killed: the report but for times, and how many requests the model got. The images are
drawn discs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.figures import OURS, Figure, write
from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.run import prepare_run
from rar_agent.evaluation.suite import load_suite
from rar_agent.images import admit
from rar_agent.recognizer import Recognizer
from rar_agent.settings import Settings, load_settings
from tests.conftest import COLOURS, draw
from tests.openai_server import OpenAIServer, Reply

_AT_ONCE = 8
"""Requests that a run has under way, at most: what a kill can cost."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=300, help="test images")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _draw(place / "images", args.images)
        write(overhead(place))
        _resume(place, args.kills)


def _draw(images: Path, count: int) -> None:
    for part, number in (("train", 4), ("test", count // len(COLOURS))):
        for at, colour in enumerate(COLOURS):
            (images / part / colour).mkdir(parents=True)
            for i in range(number):
                file = images / part / colour / f"{i}.png"
                draw(colour, 10_000 * (part == "test") + 1_000 * at + i).save(file)


def _suite(place: Path, name: str, **more: Any) -> Path:  # noqa: ANN401
    suite = {
        "dataset": {"images": str(place / "images"), "domain": "coloured discs"},
        "protocol": {"shots": [2, 4], "seeds": [1]},
        "memory": {"encoder": "builtin"},
        **more,
    }
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump(suite))
    return file


def overhead(place: Path, turns: int = 3) -> list[Figure]:
    """What an answer takes by the harness, and by the recognizer alone, embeddings known."""
    settings = load_settings(home=place / "home", device="cpu")
    file = _suite(place, "plain", ways=["retrieval"])
    first = prepare_run(load_suite(str(file), settings.home), settings, place / "first")
    first.go_on()  # embeddings are kept from now on
    data = sorted((place / "images" / "test").rglob("*.png"))
    spent: dict[str, list[float]] = {OURS: [], "recognizer alone": []}
    for turn in range(turns):
        run = prepare_run(load_suite(str(file), settings.home), settings, place / f"turn{turn}",
                          memories=place / "first" / "memories")  # fmt: skip
        began = time.perf_counter()
        run.go_on()
        spent[OURS].append((time.perf_counter() - began) / (2 * len(data)))
        spent["recognizer alone"].append(_alone(place, run.work, data))
    by = {
        who: Figure("an answer", "ms", tuple(1_000 * one for one in times), who)
        for who, times in spent.items()
    }
    mine, alone = by.values()
    more = tuple(a - b for a, b in zip(mine.values, alone.values, strict=True))
    rate = tuple(1 / one for one in spent[OURS])
    return [
        Figure("answers of an evaluation", "answers/s", rate),
        *by.values(),
        Figure("what the harness adds to an answer", "ms", more),
    ]


def figures(images: int = 300, turns: int = 3) -> list[Figure]:
    """Measure the overhead.

    Args:
        images: To test on, drawn.
        turns: Of the harness, and of the recognizer alone.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        _draw(Path(folder) / "images", images)
        return overhead(Path(folder), turns)


def _alone(place: Path, work: Any, data: list[Path]) -> float:  # noqa: ANN401
    """Seconds of an answer, in batches of a harness's share, embeddings known."""
    recognizer = Recognizer("4-shot-seed1", home=place / "first" / "memories", device="cpu")
    vars(recognizer.services)["_encoder"] = work._encoder
    began = time.perf_counter()
    for at in range(0, len(data), 64):
        recognizer.recognize_batch([admit(file) for file in data[at : at + 64]])
    return (time.perf_counter() - began) / len(data)


def _resume(place: Path, kills: int) -> None:
    with OpenAIServer() as server:
        server.answer = _ranks
        server._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients die here
        ranker = {"model": "openai:test-model", "base_url": server.url}
        file = _suite(place, "paid", ranker=ranker, ways=["retrieval", "ranked", "alone"])
        requests = []
        for name in ("whole", "killed"):
            server.requests.clear()
            begun = time.perf_counter()
            done = _until_whole(place, file, name, kills if name == "killed" else 0)
            requests.append(len(server.requests))
            _print(f"{name}: {time.perf_counter() - begun:.0f} s, {done} kills, "
                   f"{requests[-1]:,} requests")  # fmt: skip
    settings = load_settings(home=place / "home", device="cpu")
    told = [_told(place / name, settings) for name in ("whole", "killed")]
    _print(f"the same report: {told[0] == told[1]}")
    again = requests[1] - requests[0]
    _print(f"asked again: {again}, of {kills * _AT_ONCE} that were under way at most")


def _until_whole(place: Path, file: Path, name: str, kills: int) -> int:
    """Run, and kill at random points, until nothing is left; the last run is left alone."""
    journal = place / name / "journal.jsonl"
    generator = random.Random(0)
    paths = (place / f"home-{name}", file, place / name)
    command = [sys.executable, "-m", "tests.evaluation.runner", *map(str, paths)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none"}
    for done in range(kills):
        process = subprocess.Popen(command, env=environment)
        before = journal.stat().st_size if journal.exists() else 0
        more = generator.randint(0, 12_000)  # bytes, a few records
        while process.poll() is None and (
            not journal.exists() or journal.stat().st_size <= before + more
        ):
            time.sleep(0.001)
        if process.poll() == 0:
            return done
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True)
    return kills


def _told(run: Path, settings: Settings) -> Mapping[str, Any]:
    """A report's figures and settings, but for times, and for how many answers were kept."""
    found = json.loads(publish(run, settings).paths.json.read_bytes())
    metrics = [
        {key: value for key, value in one.items() if key != "note"}
        for one in found["metrics"]
        if not one["name"].startswith("latency")
    ]
    described = {key: found["run"][key] for key in ("suite", "configuration", "cells", "dataset")}
    return {"metrics": metrics, "curves": found["curves"], "run": described}


def _ranks(request: dict[str, Any]) -> Reply:
    """A slow model that likes the alphabet."""
    if "Name the five likeliest" in str(request["messages"]):
        return Reply('{"names": ["red", "blue"]}', delay_s=0.02)
    return Reply('{"ranking": ["A", "B", "C", "D", "E"]}', delay_s=0.02)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
