"""The plan to 10^8: what entries and images need, as formulas of constants, as tables.

    python -m benchmarks.extrapolate                    # the tables of docs/scale.md
    python -m benchmarks.extrapolate --images 20000     # a run beside what is reckoned for it

Constants are in constants.toml, each with where it comes from, and for indexes in
`rar_agent.memory.index.costs`. Decimal units: 1 GB is 10^9 bytes.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

from rar_agent.garbage import keep_freed
from rar_agent.memory.index.costs import build_seconds, bytes_held, disk_bytes, query_ms
from rar_agent.memory.index.parameters import spec_for
from rar_agent.memory.index.spec import Kind

RECALL = 0.95
"""Of the 10 nearest rows."""

CORES = 2
"""That `costs.build_seconds` is for."""

SECTOR = 4_096
"""Bytes that DiskANN reads at once, a node's vector and links in one of them."""

KINDS = ("exact", "hnsw", "ivf-pq", "diskann")
_FLOAT = 4
_GENERATIONS = 2  # on disk
_HOUR = 3_600
_DISTINCT = 500


def constants() -> dict[str, float]:
    """Their values by name."""
    return {name: float(one["value"]) for name, one in described().items()}


def described() -> dict[str, dict[str, str | float]]:
    """Their values, units, bases and sources by name."""
    return tomllib.loads(Path(__file__).with_name("constants.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Entries:
    """What one machine's part of the entries needs.

    Attributes:
        ram: GB held by searches, page cache included.
        disk: GB, two generations and the index.
        build: Hours from vectors to a searchable memory.
        latency: ms a query, one thread.
        recall: Of the 10 nearest; planned, not promised.
    """

    ram: float
    disk: float
    build: float
    latency: float
    recall: float


def entries(
    known: Mapping[str, float],
    kind: str,
    count: float,
    dimension: int = 512,
    machines: int = 1,
    cores: int = CORES,
) -> Entries:
    """What a machine needs, where each of several holds an equal part.

    Args:
        known: `constants`.
        kind: Of `KINDS`.
        count: Entries of all machines.
        dimension: Numbers of a vector.
        machines: How many.
        cores: Of each.
    """
    part = math.ceil(count / machines)
    vectors = part * _FLOAT * dimension
    rows = part * known["row_bytes"]
    written = part * known["row_build_s"] * CORES / cores
    merged = known["merge_ms"] if machines > 1 else 0.0
    if kind == "diskann":
        hnsw = spec_for("hnsw", part, dimension, RECALL, "image")
        built = known["diskann_build"] * build_seconds(hnsw) * CORES / cores
        return Entries(
            vectors * (known["diskann_codes"] + known["diskann_cache"]) / 1e9,
            (_GENERATIONS * (vectors + rows) + part * node_bytes(known, dimension)) / 1e9,
            (written + built) / _HOUR,
            known["diskann_ms"] + merged,
            RECALL,
        )
    one: Kind = "exact" if kind == "exact" else "hnsw" if kind == "hnsw" else "ivf-pq"
    spec = spec_for(one, part, dimension, RECALL, "image")
    return Entries(
        bytes_held(spec) / 1e9,
        (_GENERATIONS * (vectors + rows) + disk_bytes(spec)) / 1e9,
        (written + build_seconds(spec) * CORES / cores) / _HOUR,
        query_ms(spec) + merged,
        1.0 if kind == "exact" else RECALL,
    )


def node_bytes(known: Mapping[str, float], dimension: int) -> float:
    """Bytes on disk of one of DiskANN's nodes: as many as fit share a sector."""
    size = _FLOAT * dimension + _FLOAT * (known["diskann_degree"] + 1)
    return SECTOR / (SECTOR // size) if size <= SECTOR else SECTOR * math.ceil(size / SECTOR)


def most_entries(known: Mapping[str, float], kind: str, ram_gb: float, dimension: int = 512) -> int:
    """How many entries of a kind fit a machine's memory; within one in a thousand."""
    low, high = 1.0, 1e12
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        fits = entries(known, kind, middle, dimension).ram <= ram_gb
        low, high = (middle, high) if fits else (low, middle)
    return int(low)


@dataclass(frozen=True)
class Images:
    """What images need, and what the clock says where decoding and encoding overlap.

    Attributes:
        core_hours: To decode them and all else that no GPU does.
        gpu_hours: To encode them.
        hours: By the clock, before ranking.
        fed: Cores that one GPU needs to be busy.
    """

    core_hours: float
    gpu_hours: float
    hours: float
    fed: float


def images(
    known: Mapping[str, float], count: float, gpus: int, rate: float, decode_s: float
) -> Images:
    """What recognising images needs, up to ranking.

    Args:
        known: `constants`.
        count: Images.
        gpus: Each with `cores_a_gpu`; 0: two cores alone, builtin.
        rate: Images/s that a GPU encodes.
        decode_s: Seconds of a core to decode one.
    """
    each = decode_s + known["recognise_s"]
    if not gpus:
        cpu = count * (each + known["encode_cpu_s"]) / _HOUR
        return Images(cpu, 0.0, cpu / CORES, 0.0)
    core_hours, gpu_hours = count * each / _HOUR, count / rate / _HOUR
    hours = max(core_hours / (gpus * known["cores_a_gpu"]), gpu_hours / gpus)
    return Images(core_hours, gpu_hours, hours, rate * each)


@dataclass(frozen=True)
class Ranking:
    """What asking a model needs.

    Attributes:
        tokens: Input tokens.
        dollars: US dollars, for tokens or GPUs.
        gpu_hours: Of GPUs of one's own; 0 with a provider.
        hours: By the clock.
    """

    tokens: float
    dollars: float
    gpu_hours: float
    hours: float


def by_provider(known: Mapping[str, float], count: float, share: float) -> Ranking:
    """A provider's model is asked about a share of the images."""
    asked = count * share
    tokens = asked * known["api_tokens"]
    hours = tokens / known["api_tokens_a_minute"] / 60
    return Ranking(tokens, asked * known["api_dollars"], 0.0, hours)


def by_own(known: Mapping[str, float], count: float, share: float, gpus: int) -> Ranking:
    """A model on GPUs of one's own is asked about a share of the images."""
    asked = count * share
    tokens = asked * known["vlm_tokens"]
    read = 2 * known["vlm_parameters"] * known["vlm_tokens"]
    read_s = read / (known["gpu_flops"] * known["gpu_used"])
    hours = asked * (read_s + known["vlm_answer"] / known["vlm_decode"]) / _HOUR
    return Ranking(tokens, hours * known["gpu_hour"], hours, hours / gpus)


def shown(value: float) -> str:
    """Two digits that count, or whole numbers."""
    if value >= 99.5:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(known: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Names and tables of docs/scale.md."""
    counts = (10**6, 3 * 10**6, 10**7, 10**8)
    rows = []
    for kind in KINDS:
        for count in counts:
            one = entries(known, kind, count)
            figures = (one.ram, one.disk, one.build, one.latency)
            recall = "all" if one.recall == 1 else f"{100 * one.recall:.0f} %"
            rows.append([f"{kind}, {count:,}", *map(shown, figures), recall])
    head = ["one machine, 2 cores", "RAM, GB", "disk, GB", "build, h", "ms a query", "recall@10"]
    yield "entries", table(head, rows)
    rows = []
    for kind in KINDS:
        for machines in (1, 8, 64):
            one = entries(known, kind, 10**8, machines=machines, cores=16)
            figures = (one.ram, one.disk, one.build, one.latency)
            rows.append([f"{kind}, {machines}", *map(shown, figures)])
    head = ["10^8 entries, machines of 16 cores", "RAM, GB", "disk, GB", "build, h", "ms a query"]
    yield "machines", table(head, rows)
    rows = [
        [f"{ram:,} GB", *(shown(most_entries(known, kind, ram)) for kind in KINDS)]
        for ram in (24, 128, 512)
    ]
    yield "fits", table(["memory", *KINDS], rows)
    rows = []
    for name, decode in (("photos", "decode_s"), ("small JPEGs", "decode_small_s")):
        for model in ("builtin", "vit_b16"):
            rate = known[f"encode_gpu_{model}"]
            for gpus in (0, 1, 8, 64):
                if not gpus and model != "builtin":
                    continue
                one_run = images(known, 10**8, gpus, rate, known[decode])
                figures = (one_run.core_hours, one_run.gpu_hours, one_run.hours / 24, one_run.fed)
                where = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "2 cores"
                rows.append([f"{name}, {model}, {where}", *map(shown, figures)])
    head = ["10^8 images", "core-hours", "GPU-hours", "days", "cores to feed a GPU"]
    yield "images", table(head, rows)
    rows = []
    for share in (1.0, 0.2):
        asked = f"{100 * share:.0f} % asked"
        one_bill = by_provider(known, 10**8, share)
        bill = (one_bill.tokens / 1e9, one_bill.dollars, one_bill.hours / 24)
        rows.append([f"{asked}, gpt-5-mini", shown(bill[0]), shown(bill[1]), "0", shown(bill[2])])
        for gpus in (1, 8, 64):
            own = by_own(known, 10**8, share, gpus)
            figures = (own.tokens / 1e9, own.dollars, own.gpu_hours, own.hours / 24)
            rows.append([f"{asked}, 7B, {gpus} H100", *map(shown, figures)])
    head = ["10^8 images", "10^9 tokens", "US dollars", "GPU-hours", "days"]
    yield "ranking", table(head, rows)
    rows = [[what, shown(reckoned), shown(found)] for what, reckoned, found in checks(known)]
    yield "checks", table(["measured before", "reckoned", "found"], rows)
    rows = [
        [f"`{name}`", f"{float(one['value']):g}", str(one["unit"]), str(one["basis"])]
        for name, one in described().items()
    ]
    yield "constants", table(["constant", "value", "unit", "basis"], rows)


def checks(known: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """What was measured, as it is reckoned and as it was found (docs/memory.md, docs/speed.md)."""
    largest = entries(known, "hnsw", 3 * 10**6)
    hnsw = spec_for("hnsw", 3 * 10**6, 512, RECALL, "image")
    each = known["decode_s"] + known["encode_cpu_s"] + known["recognise_s"]
    return [
        ("disk, exact, 100,000 entries, GB", entries(known, "exact", 10**5).disk, 0.45),
        ("disk, HNSW, 1,000,000 entries, GB", entries(known, "hnsw", 10**6).disk, 4.5),
        ("ms a query, exact, 1,000,000 entries", entries(known, "exact", 10**6).latency, 50),
        ("file of HNSW, 3,000,000 entries, MB", disk_bytes(hnsw) / 1e6, 625),
        ("build of HNSW, 3,000,000 entries, s", build_seconds(hnsw), 892),
        ("ms a query, HNSW, 3,000,000 entries", query_ms(hnsw), 0.29),
        ("a memory of 3,000,000 entries, HNSW: disk, GB", largest.disk, 13.5),
        ("the same: build, minutes", 60 * largest.build, 12.9),
        ("ms of a core an image, 20,000 photos recognised", 1e3 * each, 48),
        ("images/s, the same, 2 cores", CORES / each, 37),
    ]


def run_images(count: int) -> str:
    """Recognise so many photos, and tell what is reckoned beside what is found.

    Two cores are reckoned with; on a machine with more, `taskset -c 0,1` gives as many. Decoding
    and encoding are also measured alone, in processor time, over at most 200 of the photos. There
    are `_DISTINCT` photos at most, each given again with another comment in it: to whoever hashes
    it another file, to who decodes it the same work.
    """
    keep_freed()

    from benchmarks.photos import photos
    from rar_agent import Recognizer
    from rar_agent.images import Policy, admit
    from rar_agent.types import Recognition

    known, paths = constants(), photos(min(count, _DISTINCT))
    recognizer = Recognizer(device="cpu")
    recognizer.recognize(paths[0])
    encoder, policy = recognizer.services.encoder, Policy.of(recognizer.settings)
    sample, start = paths[:200], time.process_time()
    prepared = [encoder.prepare(admit(one, policy, detail=encoder.detail).rgb) for one in sample]
    decoded = (time.process_time() - start) / len(sample)
    start = time.process_time()
    for first in range(0, len(prepared), 8):
        encoder.encode_prepared(prepared[first : first + 8])
    encoded = (time.process_time() - start) / len(sample)
    used, start = time.process_time(), time.perf_counter()
    given = (commented(paths[n % len(paths)].read_bytes(), n) for n in range(count))
    right, peaks = 0, []
    for number, one in enumerate(recognizer.stream(given), 1):
        right += isinstance(one, Recognition)
        if number in (max(1, count // 10), count):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    took, used = time.perf_counter() - start, time.process_time() - used
    reckoned = images(known, count, 0, 0.0, known["decode_s"])
    each = 1e3 * _HOUR * reckoned.core_hours / count
    rows = [
        ["`decode_s`, ms", shown(1e3 * known["decode_s"]), shown(1e3 * decoded)],
        ["`encode_cpu_s`, ms", shown(1e3 * known["encode_cpu_s"]), shown(1e3 * encoded)],
        ["ms of a core an image, all in all", shown(each), shown(1e3 * used / count)],
        ["images/s", shown(count / reckoned.hours / _HOUR), shown(count / took)],
        ["answers", f"{count:,}", f"{right:,}"],
    ]
    head = [f"{count:,} photos, {os.cpu_count()} cores", "reckoned", "found"]
    told = f"peak memory {peaks[0]:,.0f} MB after a tenth, {peaks[-1]:,.0f} MB after all"
    return f"{table(head, rows)}\n\n{told}\n"


def commented(jpeg: bytes, number: int) -> bytes:
    """The same photo with a number in a comment."""
    said = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (2 + len(said)).to_bytes(2, "big") + said + jpeg[2:]


def main() -> None:
    """Print the tables, or a run beside what is reckoned for it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, help="Photos to recognise, 0.3 to 12 megapixels.")
    args = parser.parse_args()
    if args.images:
        sys.stdout.write(run_images(args.images))
        return
    for name, told in tables(constants()):
        sys.stdout.write(f"{name}\n\n{told}\n\n")


if __name__ == "__main__":
    main()
