"""How long the report of a large run takes to make, and to open and use in a browser.

    python -m benchmarks.report [--images 10000] [--categories 200] [--runs 3] [--keep DIR]

A few-shot run of five cells is written as `rar-agent eval run` writes it, its answers drawn from a
seed: five candidates, an exemplar for each, a ranking and what a model wrote. The images are smooth
noise, JPEGs of 320 x 240. Then its report is made as by `rar-agent eval report`, and opened from
its file in headless Chromium, where Playwright and Chromium are installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rar_agent.batch import Entry, Journal
from rar_agent.encoders import load_encoder
from rar_agent.evaluation.cells import Cell, cells_of
from rar_agent.evaluation.dataset import DataSet
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.record import Answer, Ranked, Record, Seen
from rar_agent.evaluation.run import DESCRIPTION, JOURNAL, describe
from rar_agent.evaluation.suite import load_suite
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Usage

SHOTS = (1, 2, 4, 8, 16)
K = 5
_SUITE = """title: Large, drawn
dataset: {{images: {images}}}
protocol: {{kind: few-shot, shots: [1, 2, 4, 8, 16], seeds: [1]}}
memory: {{encoder: builtin}}
ranker: {{model: "simulated:0.8"}}
"""
_FILTER = """() => {
    const start = performance.now(), only = document.getElementById("only");
    only.value = "regressions";
    only.dispatchEvent(new Event("input", { bubbles: true }));
    return painted(start);
}"""
_OPEN = """async () => {
    const list = document.getElementById("list"), detail = document.getElementById("detail");
    list.scrollTop = list.scrollHeight / 2;
    await painted(0);
    const start = performance.now(), row = list.querySelectorAll("[role=option]")[10];
    const before = detail.firstChild;
    row.click();
    while (detail.firstChild === before) await painted(start);
    return painted(start);
}"""
_PAINTED = """window.painted = (start) => new Promise((done) =>
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))))"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--categories", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="leave the report here, to look at it")
    args = parser.parse_args()
    figures: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        settings = load_settings(home=folder / "home", device="cpu")
        records = make_run(folder, settings, args.images, args.categories)
        for _ in range(args.runs):
            start, began = time.perf_counter(), time.process_time()
            report = publish(folder / "run", settings).paths.html
            figures["measure and write, s"].append(time.perf_counter() - start)
            figures["the same, s of a processor"].append(time.process_time() - began)
        figures["report.html, MB"].append(report.stat().st_size / 1e6)
        found = shutil.which("chromium") or shutil.which("google-chrome")
        if found and importlib.util.find_spec("playwright"):
            for name, value in opened(report, found, args.runs):
                figures[name].append(value)
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(report, args.keep)
    _print(f"| {records:,} records, {args.categories} categories | median of {args.runs} |")
    _print("|---|---:|")
    for name, values in figures.items():
        _print(f"| {name} | {statistics.median(values):.3g} |")


def make_run(folder: Path, settings: Settings, images: int, categories: int) -> int:
    """Write a data set and a run of it, in `run`.

    Args:
        folder: Where to.
        settings: As for a run.
        images: To test on.
        categories: Among which they are spread evenly.

    Returns:
        How many records it has.
    """
    random = np.random.default_rng(1)
    names = [f"kind {at:03d}" for at in range(categories)]
    for part, each in (("test", images // categories), ("train", max(SHOTS))):
        for name in names:
            place = folder / "images" / part / name
            place.mkdir(parents=True)
            for number in range(each):
                _noise(random).save(place / f"{number:03d}.jpg", quality=85)
    (folder / "large.yaml").write_text(_SUITE.format(images=folder / "images"), "utf-8")
    suite = load_suite(str(folder / "large.yaml"), settings.home)
    data = load_dataset(suite.dataset, settings)
    cells = cells_of(suite, data)
    described = describe(suite, data, cells, load_encoder("builtin", settings), settings)
    entries = [
        Entry(f"{cell.slug}/{record.sample}", record.model_dump(mode="json"))
        for cell, shots in zip(cells, SHOTS, strict=True)
        for record in _records(cell, shots, data, random)
    ]
    with Journal(folder / "run" / JOURNAL, described["configuration_hash"]) as journal:
        journal.append(entries)
    (folder / "run" / DESCRIPTION).write_text(json.dumps(described), "utf-8")
    return len(entries)


def _noise(random: np.random.Generator) -> Image.Image:
    small = random.integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC)


def _records(
    cell: Cell, shots: int, data: DataSet, random: np.random.Generator
) -> Iterator[Record]:
    """A category is taken for its neighbours, the less often the more exemplars are known."""
    names = [category.name for category in data.categories]
    exemplars: dict[int, list[str]] = defaultdict(list)
    for one in data.train:
        exemplars[one.category].append(one.key)
    for one in data.test:
        near = (one.category + np.arange(-4, 5)) % len(names)  # the truth is in the middle
        scores = random.normal(0, 1, len(near))
        scores[4] += 0.6 + 0.5 * np.log2(2 * shots)
        retrieved, sure = _ranked(near, scores)
        judged = scores + random.normal(0, 0.7, len(near))
        judged[4] += 0.8
        kept = np.isin(near, retrieved)
        order, surer = _ranked(near[kept], judged[kept])
        knn, _ = _ranked(near, scores + random.normal(0, 0.8, len(near)))
        letters = [chr(ord("A") + retrieved.index(at)) for at in order]
        yield Record(
            cell=cell.name,
            sample=one.key,
            truth=names[one.category],
            sha256=random.bytes(32).hex(),
            knn=Answer(names=_named(knn, names)),
            retrieval=Answer(names=_named(retrieved, names), probabilities=sure, calibrated=True),
            ranked=Answer(
                names=_named(order, names),
                probabilities=surer,
                accepted=surer[0] > 0.4,
                calibrated=True,
            ),
            ranking=Ranked(
                model="simulated:0.8",
                ranker="listwise",
                prompt="rank@1",
                prompt_hash="0" * 64,
                parse_status="exact",
                order=_named(order, names),
                calls=1,
                usage=Usage(
                    input_tokens=int(random.integers(900, 1_400)), output_tokens=60, cost=0.0004
                ),
                raw=f"The markings, the proportions and the background speak for {letters[0]}, "
                f"and {letters[1]} is close.\n" + json.dumps({"ranking": letters}),
            ),
            seen=tuple(
                Seen(name=names[at], source=exemplars[at][number], similarity=similarity)
                for at, number, similarity in zip(
                    retrieved, random.integers(0, shots, K), random.random(K), strict=True
                )
            ),
            familiarity=float(random.random()),
            timings_ms={"encode": 21.0, "retrieve": 2.0, "rank": 850.0, "total": 873.0},
        )


def _ranked(
    near: np.typing.NDArray[np.int_], scores: np.typing.NDArray[np.float64]
) -> tuple[list[int], tuple[float, ...]]:
    """Positions of the best, and how sure each is."""
    best = np.argsort(-scores)[:K]
    shares = np.exp(1.5 * scores[best])
    return near[best].tolist(), tuple((shares / shares.sum()).tolist())


def _named(positions: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names[at] for at in positions)


def opened(report: Path, program: str, runs: int) -> Iterator[tuple[str, float]]:
    """Figures of the report in a browser.

    Args:
        report: The page.
        program: The browser.
        runs: How often it is opened, in a context of its own each time.
    """
    playwright: Any = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(runs):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
            page = context.new_page()
            start = time.perf_counter()
            page.goto(report.as_uri())
            page.locator("html[data-ready]").wait_for(timeout=120_000)
            yield "open until the samples can be used, s", time.perf_counter() - start
            page.evaluate(_PAINTED)
            yield "filter regressions, ms", page.evaluate(_FILTER)
            page.get_by_role("button", name="All samples").click()
            yield "open a sample, ms", page.evaluate(_OPEN)
            session = context.new_cdp_session(page)
            session.send("HeapProfiler.collectGarbage")
            yield "JS heap, MB", session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
            context.close()
        browser.close()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
