"""What a soak has come to: totals of all its runs, what was lost or wrong, and what grew."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rar_agent.durable import replace_file

WARM_UP_S = 1_800.0
"""Of a process, in which caches, pools of threads, and malloc's parts for each thread fill; what
grows then is not judged."""
JUDGED_S = 1_200.0
"""After it, before anything is said of growth."""
LIMIT = 0.01
"""Growth in an hour that is allowed, as a share."""
SERIES = (
    *("rss_mb", "anonymous_mb", "descriptors", "threads", "children", "temporary", "files"),
    *("in_use_mb", "blocks"),
)
"""What is sampled: VmRSS and RssAnon, open file descriptors, threads and child processes of the
process; files in its folder for temporary files, and in its RAR_HOME; what of malloc's memory is
not free, and Python's own blocks."""

_MOST = 200  # findings that are kept; all are counted
_LONGEST = 600  # characters of one


@dataclass
class Run:
    """One process.

    Attributes:
        first: Its first step.
        seconds: Of soak, without pauses.
        samples: Seconds, then one number for each of `SERIES`.
    """

    first: int
    seconds: float = 0.0
    samples: list[list[float]] = field(default_factory=list)


@dataclass
class Totals:
    """Of all runs.

    Attributes:
        seed: Decides every step.
        next_step: Where to go on.
        seconds: Of soak: operations and the rests between them, without pauses.
        busy_s: In operations.
        operations: By kind.
        faults: That were injected, by kind.
        requests: That were sent: images to recognise, changes to make.
        results: That came back for them, failures too.
        lost: Requests without a result.
        duplicated: Results beyond one a request.
        wrong: Results that are not what they must be.
        late: Requests of a hasty client that a busy machine answered too late: degraded, and said
            so.
        findings: What was lost, duplicated or wrong, with the step.
        runs: Processes.
    """

    seed: int = 0
    next_step: int = 0
    seconds: float = 0.0
    busy_s: float = 0.0
    operations: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    results: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    late: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Totals:
        """Those of a state file; none where there is none."""
        if not path.exists():
            return cls()
        told = json.loads(path.read_text())
        return cls(**{**told, "runs": [Run(**run) for run in told["runs"]]})

    def save(self, path: Path) -> None:
        """Write them, all or nothing."""
        replace_file(path, json.dumps(asdict(self)).encode())

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, duplicated or wrong."""
        return not (self.lost or self.duplicated or self.wrong)


class Ledger:
    """Keeps count of what was asked for and what came of it, and writes down what does not fit.

    Args:
        totals: Where it is counted.
    """

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self.kind = ""

    def begin(self, kind: str) -> None:
        """Count an operation; what is found from here on is of it."""
        self.kind = kind
        self.totals.operations[kind] = self.totals.operations.get(kind, 0) + 1

    def fault(self, name: str, count: int = 1) -> None:
        """Count faults that were injected."""
        self.totals.faults[name] = self.totals.faults.get(name, 0) + count

    def exchanged(self, asked: Iterable[object], got: Iterable[object]) -> bool:
        """Compare requests with results, each by the key of its request.

        Returns:
            Whether each request has exactly one result.
        """
        sent, came = Counter(asked), Counter(got)
        lost, more = sent - came, came - sent
        self.totals.requests += sent.total()
        self.totals.results += came.total()
        self.totals.lost += lost.total()
        self.totals.duplicated += more.total()
        if lost:
            self._find(f"lost: {[str(key) for key in lost]}")
        if more:
            self._find(f"duplicated: {[str(key) for key in more]}")
        return not lost and not more

    def expect(self, holds: bool, what: str) -> None:
        """Count a result as wrong where it is not what it must be."""
        if not holds:
            self.totals.wrong += 1
            self._find(what)

    def _find(self, what: str) -> None:
        if len(self.totals.findings) < _MOST:
            totals = self.totals
            first = totals.runs[-1].first if totals.runs else 0
            where = {"seed": totals.seed, "first": first, "step": totals.next_step}
            totals.findings.append({**where, "kind": self.kind, "what": what[:_LONGEST]})


@dataclass(frozen=True)
class Trend:
    """How one thing went, after the warm-up of one process.

    Attributes:
        slope: Of the line of least squares, in an hour.
        first: Median of the first quarter.
        last: Of the last quarter.
        noise: Twice the median distance from the line.
        hours: That it was watched.
    """

    slope: float
    first: float
    last: float
    noise: float
    hours: float

    @property
    def grows(self) -> bool:
        """Whether it grew more than is allowed, and by more than its noise."""
        allowed = LIMIT * self.first
        return self.slope > allowed and max(self.last - self.first, 0) > self.noise


def trend(samples: Sequence[Sequence[float]], name: str) -> Trend | None:
    """How one of `SERIES` went; None where it was not watched for long enough."""
    at = 1 + SERIES.index(name)  # earlier versions had fewer
    warm = [one for one in samples if one[0] >= WARM_UP_S and at < len(one)]
    if len(warm) < 8 or warm[-1][0] - warm[0][0] < JUDGED_S:
        return None
    hours = np.array([one[0] for one in warm]) / 3_600
    values = np.array([one[at] for one in warm])
    slope, start = np.polyfit(hours, values, 1)
    quarter = len(warm) // 4
    return Trend(
        float(slope),
        float(np.median(values[:quarter])),
        float(np.median(values[-quarter:])),
        2 * float(np.median(np.abs(values - (slope * hours + start)))),
        float(hours[-1] - hours[0]),
    )


def growing(totals: Totals) -> list[str]:
    """What grew in any process."""
    found = []
    for number, run in enumerate(totals.runs):
        for name in SERIES:
            seen = trend(run.samples, name)
            if seen and seen.grows:
                found.append(f"{name} in run {number + 1}: {seen.slope:+.3f} an hour")
    return found


def report(totals: Totals) -> str:
    """All of it, in Markdown."""
    hours, busy = totals.seconds / 3_600, totals.busy_s / 3_600
    operations, faults = sum(totals.operations.values()), sum(totals.faults.values())
    lines = [
        f"{hours:.2f} hours, {busy:.2f} of them in operations; {len(totals.runs)} processes; "
        f"{operations:,} operations, {totals.requests:,} requests, {totals.results:,} results, "
        f"{faults:,} faults; {totals.lost} lost, {totals.duplicated} duplicated, "
        f"{totals.wrong} wrong; {totals.late} too late for a hasty client.",
        "",
        *_table("operation", totals.operations),
        "",
        *_table("fault", totals.faults),
    ]
    for number, run in enumerate(totals.runs):
        lines += ["", *_trends(number, run)]
    lines += [f"grows: {one}" for one in growing(totals)]
    lines += [f"finding: {json.dumps(one, ensure_ascii=False)}" for one in totals.findings]
    return "\n".join(lines) + "\n"


def _table(head: str, counts: dict[str, int]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in sorted(counts.items())]
    return [f"| {head} | times |", "|---|---:|", *rows]


def _trends(number: int, run: Run) -> list[str]:
    head = f"Run {number + 1}, {run.seconds / 60:.0f} minutes"
    seen = {name: trend(run.samples, name) for name in SERIES}
    if not seen["rss_mb"]:
        shown = dict(zip(SERIES, run.samples[-1][1:], strict=False)) if run.samples else {}
        return [f"{head}: too short to say what grows. Last: {shown}"]
    return [
        f"{head}:",
        "",
        "| | first quarter | last quarter | an hour | noise | |",
        "|---|---:|---:|---:|---:|---|",
        *(
            f"| {name} | {one.first:,.1f} | {one.last:,.1f} | {one.slope:+.2f} | {one.noise:.2f} | "
            f"{'grows' if one.grows else 'flat'} |"
            for name, one in seen.items()
            if one
        ),
    ]
