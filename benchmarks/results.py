"""Published results: what runs of `rar-agent eval run` found, without their pictures.

    python -m benchmarks.results RUN... [--to evals/results] [--machine WORDS]

Of each run: `NAME.md`, its report in short, and `NAME.json`, every figure over its seeds with
intervals, and how each is made. Printed is the table of evals/results/README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rar_agent.evaluation.metrics.columns import group_of

WAYS = ("knn", "retrieval", "ranked")


def publish(run: Path, name: str, to: Path, machine: str) -> list[str]:
    """Write a run's figures.

    Args:
        run: Its folder, with a report.
        name: Of the files.
        to: Folder of the files.
        machine: What it ran on, in words; empty: as the run says.

    Returns:
        Rows of the table.
    """
    found = json.loads((run / "report.json").read_bytes())
    described = found["run"]
    told, command = described["machine"], described["command"]
    described["machine"] = machine or told
    described["command"] = re.sub(r" --out \S+", "", command)
    metrics = [
        one
        for one in found["metrics"]
        if one["cell"] == group_of(one["cell"]) and one["value"] is not None
    ]
    said = ("formula", "interval")  # of each metric once
    kept = {
        "run": described,
        "formulas": {one["name"]: {key: one[key] for key in said} for one in metrics},
        "metrics": [
            {k: v for k, v in one.items() if v not in (None, "") and k not in said}
            for one in metrics
        ],
    }
    (to / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    text = (run / "report.md").read_text("utf-8")
    for old, new in ((told, described["machine"]), (command, described["command"])):
        text = text.replace(old.replace("_", r"\_"), new).replace(old, new)
    (to / f"{name}.md").write_text(text, "utf-8")
    return rows(name, kept)


def rows(name: str, found: Mapping[str, Any]) -> list[str]:
    """A row for each number of exemplars: top-1 of each way, and the recall that bounds ranking."""
    values = {(m["cell"], m.get("way"), m["name"]): m for m in found["metrics"]}
    listed = []
    for cell in dict.fromkeys(cell for cell, _, _ in values):
        figures = [_shown(values.get((cell, way, "top-1"))) for way in WAYS]
        recall = _shown(values.get((cell, "retrieval", "recall@k")))
        model = found["run"]["suite"]["ranker"]["model"]
        of = f"[{name}]({name}.md), {model}" if model else f"[{name}]({name}.md)"
        listed.append(f"| {of} | {cell} | {' | '.join(figures)} | {recall} |")
    return listed


def _shown(metric: Mapping[str, Any] | None) -> str:
    if metric is None:
        return "-"
    value, low, high = (100 * metric[key] for key in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--to", type=Path, default=Path("evals/results"))
    parser.add_argument("--machine", default="", help="what it ran on, in words")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True, exist_ok=True)
    lines = ["| run | exemplars | nearest exemplars | retrieval | ranked | recall@k |"]
    lines.append("|---" * 6 + "|")
    for run in given.runs:
        lines += publish(run, run.name, given.to, given.machine)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
