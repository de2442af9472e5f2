"""Text memories as large as LVIS's and V3Det's, made of WordNet's nouns: what they cost.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python -m benchmarks.vocabulary --wordnet wordnet/usr/share/wordnet

1,203 and 13,204 things that can be seen, with synonyms and glosses, are written as annotation files
in LVIS's and in V3Det's format, the latter with its tree, and learnt with `--encoder` as users'
files are. Queries are texts' vectors with noise, of a cosine of about 0.5 with them. Searches are
medians of processor time, which other processes hardly change; builds are by the clock, and in
processor time too. Each size runs in a process of its own, so that its peak memory is known.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rar_agent.encoders import FloatArray, load_encoder
from rar_agent.encoders.base import normalize
from rar_agent.memory import (
    Memory,
    PriorRecord,
    create_memory,
    fit_memory_again,
    names_reader,
    open_memory,
)
from rar_agent.settings import load_settings

SIZES = {"lvis": 1_203, "v3det": 13_204}
_SEEN = {"05", "06", "08", "13", "17", "20"}
"""Lexicographer files of animals, artifacts, body parts, food, natural objects and plants."""
_ROWS = (
    ("from file to categories", "read_s", "s"),
    ("build", "build_s", "s"),
    ("build, processor time", "build_cpu_s", "s"),
    ("names, synonyms and glosses encoded", "texts", ""),
    ("peak memory of the build", "peak_mb", "MB"),
    ("on disk, with the manifest", "disk_mb", "MB"),
    ("branches over the categories", "branches", ""),
    ("open", "open_ms", "ms"),
    ("first search after opening", "first_ms", "ms"),
    ("one query", "one_ms", "ms"),
    ("of it, the branches", "branches_ms", "ms"),
    ("one query with a prior", "prior_ms", "ms"),
    ("100 queries at once", "hundred_ms", "ms"),
)


@dataclass(frozen=True)
class Synset:
    """A noun of WordNet.

    Attributes:
        node: `n` and its offset, as ImageNet and V3Det number them.
        kind: Its lexicographer file.
        words: Synonyms, the usual one first.
        gloss: What it means, without examples.
        above: Nodes of its hypernyms.
    """

    node: str
    kind: str
    words: tuple[str, ...]
    gloss: str
    above: tuple[str, ...] = field(default=())


def read_wordnet(folder: Path) -> dict[str, Synset]:
    """Nouns by node; see wndb(5WN) for the format."""
    found = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):  # the licence
            continue
        data, _, gloss = line.partition(" | ")
        offset, kind, _, count, *rest = data.split()
        words, pointers = rest[: 2 * int(count, 16) : 2], rest[2 * int(count, 16) + 1 :]
        four = zip(pointers[::4], pointers[1::4], strict=False)
        above = tuple(f"n{target}" for symbol, target in four if symbol in ("@", "@i"))
        gloss = gloss.partition('; "')[0].strip()
        found[f"n{offset}"] = Synset(f"n{offset}", kind, tuple(words), gloss, above)
    return found


def write_files(nouns: dict[str, Synset], size: str, folder: Path) -> tuple[Path, Path | None]:
    """An annotation file of so many categories in a set's format, and its tree."""
    seen = [one for one in nouns.values() if one.kind in _SEEN]
    first = {one.words[0]: one for one in random.Random(0).sample(seen, len(seen))}
    numbered = list(enumerate(list(first.values())[: SIZES[size]], 1))
    # few are frequent: 10,000 images, 5,000, 3,333, …, in no order
    counts = [
        1 + 10_000 // n for n in random.Random(1).sample(range(1, SIZES[size] + 1), SIZES[size])
    ]
    file, tree = folder / f"{size}.json", folder / "tree.json"
    if size == "lvis":
        categories = [
            {"id": i, "name": one.words[0], "synset": one.node, "synonyms": list(one.words),
             "def": one.gloss, "image_count": n, "frequency": "r" if n < 11 else "c" if n < 101 else "f"}  # noqa: E501
            for (i, one), n in zip(numbered, counts, strict=True)
        ]  # fmt: skip
    else:
        categories = [
            {"id": i, "name": one.words[0].replace("_", " "), "cat_info": one.gloss, "novel": False,
             "image_count": n}
            for (i, one), n in zip(numbered, counts, strict=True)
        ]  # fmt: skip
        tree.write_text(json.dumps({
            "categoryid2treeid": {str(i): one.node for i, one in numbered},
            "id2name": {one.node: one.words[0].replace("_", " ") for one in nouns.values()},
            "id2desc": {one.node: one.gloss for one in nouns.values()},
            "child2father": {one.node: list(one.above) for one in nouns.values()},
        }))  # fmt: skip
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    return file, tree if size == "v3det" else None


def measure(file: Path, tree: Path | None, encoder_name: str) -> dict[str, Any]:
    """All figures of one memory."""
    settings = load_settings(device="cpu", encoder=encoder_name)
    encoder = load_encoder(encoder_name, settings)
    row: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        start = time.process_time()
        reader = names_reader(file, tree)
        row["read_s"] = time.process_time() - start
        start, used = time.perf_counter(), time.process_time()
        built = create_memory(home, "m", encoder, reader).memory
        row["build_s"] = time.perf_counter() - start
        row["build_cpu_s"] = time.process_time() - used
        row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert built is not None
        known = [built.categories[int(c)] for c in np.flatnonzero(built.entries.known)]
        row["texts"] = sum(1 + len(one.aliases) + bool(one.description) for one in known)
        files = (home / "memories").rglob("*")
        row["disk_mb"] = sum(one.stat().st_size for one in files if one.is_file()) / 1e6
        row |= _searched(home)
    return row


def _searched(home: Path) -> dict[str, float]:
    drawn, norms = np.random.default_rng(0), np.ones(100, np.float32)
    start = time.process_time()
    memory = open_memory(home, "m")
    opened = time.process_time() - start
    columns = drawn.choice(np.flatnonzero(memory.entries.known), 100, replace=False)
    texts = memory.entries.vectors(memory.entries.rows_of("text", columns))
    noise = drawn.normal(size=texts.shape) * np.sqrt(3 / texts.shape[1])
    queries = normalize((texts + noise).astype(np.float32))[0]
    start = time.process_time()
    memory.search(queries[:1], norms[:1])
    first = time.process_time() - start
    one_ms = timed(memory, queries, norms)
    flat = open_memory(home, "m")
    flat.categories.has_parents = False  # nothing is above the categories
    found = {
        "open_ms": 1_000 * opened,
        "first_ms": 1_000 * first,
        "branches": len(memory.taxonomy.branches()),
        "one_ms": one_ms,
        "hundred_ms": timed(memory, queries, norms, at_once=100),
        "branches_ms": one_ms - timed(flat, queries, norms),
    }
    prior = fit_memory_again(home, "m", PriorRecord(key="image_count", weight=0.5))
    return found | {"prior_ms": timed(prior, queries, norms)}


def timed(memory: Memory, queries: FloatArray, norms: FloatArray, at_once: int = 1) -> float:
    """Median milliseconds of processor time for so many queries, after one that is not counted."""
    memory.search(queries[:1], norms[:1])
    times = []
    for at in [*range(0, len(queries), at_once)] * (1 if at_once == 1 else 5):
        part = slice(at, at + at_once)
        start = time.process_time()
        memory.search(queries[part], norms[part])
        times.append(time.process_time() - start)
    return 1_000 * float(np.median(times))


def _rounded(number: float) -> str:
    number = round(number, 1) + 0.0  # no -0.0
    return f"{number:,.1f}" if number < 10 and number != int(number) else f"{number:,.0f}"


def main() -> None:
    """Print a table; write every figure as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun")
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs="+", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        tree = args.measure[1] if len(args.measure) > 1 else None
        sys.stdout.write(json.dumps(measure(args.measure[0], tree, args.encoder)))
        return
    nouns, found = read_wordnet(args.wordnet), {}
    with tempfile.TemporaryDirectory() as place:
        for size in args.sizes:
            files = [str(one) for one in write_files(nouns, size, Path(place)) if one]
            command = [sys.executable, "-m", "benchmarks.vocabulary", "--wordnet", "."]
            command += ["--encoder", args.encoder, "--measure", *files]
            found[size] = json.loads(subprocess.check_output(command).splitlines()[-1])
    sys.stdout.write(f"| {args.encoder} | {' | '.join(f'{SIZES[s]:,} names' for s in found)} |\n")
    sys.stdout.write(f"|---|{'---|' * len(found)}\n")
    for words, key, unit in _ROWS:
        cells = [f"{_rounded(row[key])} {unit}".strip() for row in found.values()]
        sys.stdout.write(f"| {words} | {' | '.join(cells)} |\n")
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
