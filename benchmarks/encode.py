"""Photos to vectors on disk: ours beside the peers and beside what the machine allows.

    python -m benchmarks.encode [--encoder builtin|ViT-B-32] [--photos 500] [--repeats 3]
        [--peers clip-retrieval=PYTHON]

Every way runs in a process of its own, on the same files and weights, in turns: decode, resize,
forward pass, write. A peer is tried in several batch sizes in the first turn; the fastest goes on.
"Bounds" are the steps of ours alone, in the same turn: the slower of reading (decode and prepare,
two workers) and the bare forward pass, perfectly overlapped; and the processor time of both, shared
evenly by all cores, which nothing on this machine that takes the same steps can beat.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import process
from benchmarks.figures import OURS, Figure, Setup, best, ratio, write
from benchmarks.photos import photos
from benchmarks.weights import MODEL
from rar_agent.settings import load_settings

CATEGORIES = 10
PEERS: Mapping[str, Sequence[str]] = {
    "builtin": ("timm",),
    MODEL: ("open_clip", "sentence-transformers", "clip-retrieval"),
}
BATCHES = (16, 32, 64)
OWN_ENVIRONMENT = "clip-retrieval"
FLAT = 1.1
"""Most that memory may grow by while images become five times as many."""
_CORES = os.cpu_count() or 1
_MAKES = ("create", "whole", "loop")
_STEPS = ("read", "decode", "prepare", "forward")
_ONCE = ("decode", "prepare", "read whole")
"""Steps that no ratio is made of are timed in the first turn alone."""
_WHOLE = ", JPEGs decoded whole"
_OPENVINO = ", OpenVINO"
_BF16 = ", bf16"
_LOWER = 2.0
"""Times the best peer, in fp32, that a lower precision aims at."""


@dataclass(frozen=True)
class _Way:
    """One program's way."""

    who: str
    module: str
    given: dict[str, Any]
    python: Path | str = sys.executable
    found: list[dict[str, Any]] = field(default_factory=list)

    @property
    def peer(self) -> str:
        """Its name without the size of its batch."""
        return self.who.partition(",")[0]

    def first_rate(self) -> float:
        """Images a second of the first turn."""
        return float(self.found[0]["images"] / self.found[0]["seconds"])

    def figure(self, name: str, part: str, unit: str, **more: Any) -> Figure:  # noqa: ANN401
        return Figure(name, unit, tuple(one[part] for one in self.found), self.who, **more)

    def rate(self, name: str) -> Figure:
        values = tuple(one["images"] / one["seconds"] for one in self.found)
        return Figure(name, "images/s", values, self.who)


def figures(setup: Setup, encoder: str = "builtin", count: int = 500) -> list[Figure]:
    """Measure.

    Args:
        setup: See `Setup`; quick takes 20 photos and one batch size of each peer.
        encoder: `builtin` or `ViT-B-32`.
        count: Photos.
    """
    count = 20 if setup.quick else count
    with tempfile.TemporaryDirectory() as held:
        place = Path(held)
        setup.tell(f"{count} photos")
        lay_out(photos(count, setup.seed), place / "photos")
        setup.tell("weights")
        weights = process.ask(
            sys.executable, "benchmarks.weights", {"folder": held, "seed": setup.seed}
        )
        given = {"folder": str(place / "photos"), **weights}
        ours = _ours(encoder, given)
        peers, left_out = _peers(encoder, given, setup)
        slower: list[_Way] = []
        for repeat in range(setup.repeats):
            once = () if repeat == 0 else _ONCE
            for way in (*(w for step, w in ours.items() if step not in once), *peers):
                setup.tell(f"repeat {repeat + 1} of {setup.repeats}: {way.who}")
                try:
                    _run(way, place, place / f"{way.who}.npy")
                except RuntimeError as error:
                    if way not in peers:
                        raise
                    left_out.append((way.who, "", None, f"failed: {str(error).splitlines()[-1]}"))
            peers = [way for way in peers if len(way.found) == repeat + 1]
            if repeat == 0:
                fast = {way.peer: way for way in sorted(peers, key=_Way.first_rate)}.values()
                slower = [way for way in peers if way not in fast]
                peers = list(fast)
        found = list(_told(f"{encoder}, {count} photos", ours, peers))
        found += [way.rate(f"{encoder}, {count} photos") for way in slower]
        found += _likeness(encoder, place, ours["loop"], peers)
        lower = [way for part, way in ours.items() if part.startswith("create") and _BF16 in part]
        found += _likeness(encoder, place, ours["create"], lower)
        if encoder == "builtin" and lower and not setup.quick:
            setup.tell("agreement")
            found += _agreement()
        found += [Figure(f"{encoder}, {count} photos", "images/s", (), *why) for why in left_out]
        return found + _flatness(setup, encoder, count, given, place)


def lay_out(files: Sequence[Path], to: Path) -> None:
    """Link photos into a folder of folders, in order."""
    each = -(-len(files) // CATEGORIES)
    for number, file in enumerate(files):
        folder = to / f"category {number // each}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(file, folder / file.name)


def _ours(encoder: str, given: Mapping[str, Any]) -> dict[str, _Way]:
    name = encoder if encoder == "builtin" else f"open_clip:{encoder}/{given['open_clip']}"
    given = {**given, "encoder": name}

    def way(who: str, way: str, **settings: object) -> _Way:
        settings = {"engine": "torch", "precision": "fp32", **settings}
        return _Way(who, "benchmarks.encode_ours", {**given, "way": way, "settings": settings})

    ways = {
        "create": way(OURS, "memory create"),
        "whole": way(OURS + _WHOLE, "memory create", decode_whole=True),
        "loop": way(f"{OURS}, plain loop", "plain loop"),
        **{step: way(f"{step} alone", step) for step in _STEPS},
        "read whole": way("read alone" + _WHOLE, "read", decode_whole=True),
    }
    for how, asked in _engines().items():
        ways["create" + how] = way(OURS + how, "memory create", **asked)
        ways["forward" + how] = way("forward alone" + how, "forward", **asked)
    return ways


def _engines() -> dict[str, dict[str, str]]:
    """Settings of what runs here beside torch in fp32, by how rows with it are called."""
    found = {_OPENVINO: {"engine": "openvino"}} if find_spec("openvino") else {}
    if has_bf16():
        found |= {how + _BF16: {**asked, "precision": "bf16"} for how, asked in found.items()}
        found[_BF16] = {"precision": "bf16"}
    return found


def has_bf16() -> bool:
    """Whether this processor computes in bf16; elsewhere it is emulated, and slow."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def _peers(
    encoder: str, given: Mapping[str, Any], setup: Setup
) -> tuple[list[_Way], list[tuple[Any, ...]]]:
    ways: list[_Way] = []
    left_out: list[tuple[Any, ...]] = []
    for peer in PEERS[encoder]:
        python = setup.peers.get(peer, None if peer == OWN_ENVIRONMENT else sys.executable)
        if python is None:
            why = f"no environment: --peers {peer}=PYTHON"
            left_out.append((peer, "", None, why))
            continue
        for batch in BATCHES[1:2] if setup.quick else BATCHES:
            own = {**given, "way": peer, "batch": batch}
            ways.append(_Way(f"{peer}, batch {batch}", "benchmarks.encode_peers", own, python))
    return ways, left_out


def _run(way: _Way, place: Path, vectors: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place) as home:
        given = {**way.given, "home": home, "vectors": str(vectors)}
        way.found.append(process.ask(way.python, way.module, given))


def _told(name: str, ours: Mapping[str, _Way], peers: Sequence[_Way]) -> Iterator[Figure]:
    makes = [way for part, way in ours.items() if part.partition(",")[0] in _MAKES]
    yield from (way.rate(name) for way in (*makes, *peers))
    engines = [part.removeprefix("create") for part in ours if part.startswith("create")]
    for how in engines:
        create, forward = ours["create" + how].rate(name), ours["forward" + how]
        pairs = list(zip(ours["read"].found, forward.found, strict=True))
        overlapped = tuple(a["images"] / max(a["seconds"], b["seconds"]) for a, b in pairs)
        cores = tuple(a["images"] * _CORES / (a["cpu"] + b["cpu"]) for a, b in pairs)
        slower = Figure(name, "images/s", overlapped, "bound, overlapped" + how)
        busy = Figure(name, "images/s", cores, "bound, all cores busy" + how)
        yield from (slower, busy)
        yield ratio(f"{name}: of the overlapped bound{how}", create, slower, target=0.9)
        yield ratio(f"{name}: of what all cores can do{how}", create, busy, target=0.9)
    if fastest := best([way.rate(name) for way in peers]):
        for part in dict.fromkeys(("create", "whole", *(f"create{how}" for how in engines))):
            if part in ours:
                rate = ours[part].rate(name)
                target = 1.0 if part == "create" else _LOWER if _BF16 in part else None
                said = rate.who.removeprefix(OURS)
                yield ratio(f"{name}: of the best peer{said}", rate, fastest, target=target)
    for part, way in ours.items():
        if part.partition(",")[0] not in _MAKES:
            yield way.figure(f"{name}: steps", "seconds", "s")
            yield way.figure(f"{name}: steps, processors", "cpu", "s")
    for way in (*makes, *peers):
        yield way.figure(f"{name}: processors", "cpu", "s")
    for way in (*makes, *peers):
        yield way.figure(f"{name}: most memory of the process", "memory", "MB")
    for way in peers:
        if not way.who.startswith("sentence-transformers"):  # it has none
            yield way.figure(f"{name}: most memory of a worker", "worker_memory", "MB")
    after = "texts, scoring, commit"
    yield ours["create"].figure(f"{name}: after the last image", "after", "s", note=after)


def _likeness(encoder: str, place: Path, ours: _Way, peers: Sequence[_Way]) -> Iterator[Figure]:
    """How alike the vectors are."""
    rows = np.load(place / f"{ours.who}.npy", allow_pickle=False)
    for peer in peers:
        theirs = np.load(place / f"{peer.who}.npy", allow_pickle=False)
        cosines = (rows * theirs).sum(axis=1)
        yield Figure(f"{encoder}: least cosine with ours", "", (float(cosines.min()),), peer.who)


def _agreement() -> Iterator[Figure]:
    """Share of test photos whose likeliest category stays as in fp32, beside few-shot memories."""
    from benchmarks import engines

    what = "builtin: answers as in fp32"
    place = Path(os.environ.get("RAR_DATA", "nowhere"))
    if not all((place / data / "train").is_dir() for data in engines.SETS):
        why = f"RAR_DATA names no folder with {' and '.join(engines.SETS)}"
        yield Figure(what, "", note=f"left out: {why}")
        return
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(home=Path(home), device="cpu")
        for data, one, _ in engines.agreements(settings, allowed=("bf16",)):
            if one.agreement is not None and one.precision != "fp32":
                alike = one.agreement
                yield Figure(
                    f"builtin, {alike.images} of {data}: answers as in fp32", "", (alike.share,),
                    f"{OURS}, {one.engine}, {one.precision}", "more", 0.995,
                )  # fmt: skip


def _flatness(
    setup: Setup, encoder: str, count: int, given: Mapping[str, Any], place: Path
) -> list[Figure]:
    """Most memory by how many images a memory is made of."""
    found = []
    for share in (5, 2, 1):
        few = count // share
        folder = place / f"first {few}"
        lay_out(photos(few, setup.seed), folder)
        way = _ours(encoder, {**given, "folder": str(folder)})["create"]
        for repeat in range(setup.repeats):
            setup.tell(f"memory of {few} photos, repeat {repeat + 1} of {setup.repeats}")
            _run(way, place, place / "unused.npy")
        found.append(way.figure(f"{encoder}: most memory, {few} photos", "memory", "MB"))
    name = f"{encoder}: memory at {count} photos / at {count // 5}"
    target = None if setup.quick else FLAT  # 4 photos are less than a batch
    return [*found, ratio(name, found[-1], found[0], "less", target)]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", choices=list(PEERS), default="builtin")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="append", default=[], metavar="NAME=PYTHON")
    args = parser.parse_args()
    known = {name: Path(python) for name, _, python in (p.partition("=") for p in args.peers)}
    write(figures(Setup(repeats=args.repeats, peers=known), args.encoder, args.photos))


if __name__ == "__main__":
    main()
