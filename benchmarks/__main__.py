"""The whole suite: ours beside its peers, in one run.

    python -m benchmarks [--only encode,search] [--quick] [--repeats 3] [--out bench.json]
        [--resume] [--against EARLIER.json] [--plot bench.svg] [--markdown bench.md]
        [--peers clip-retrieval=PYTHON] [--peers langchain-community=PYTHON]

Each part runs in a process of its own, and is written when it is done; `--resume` goes on.
docs/speed.md says what is measured, and how peers' environments are made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.comparison import found_in, markdown, picture, table, worse, worse_table
from benchmarks.figures import Setup, as_json
from benchmarks.suite import FORMAT, begun, chosen, options, run_part

PEERS = "BENCHMARK_PEERS"
"""Variable with what `--peers` takes, commas between."""
_WIDTH = 160  # characters, where nobody says how many there are


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write, compare.

    Returns:
        1 where a part failed, or something is worse than in the earlier run; otherwise 0.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    args.repeats = args.repeats or (1 if args.quick else 3)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    try:
        parts = chosen(args.only)
        peers = _peers(args.peers or [p for p in os.environ.get(PEERS, "").split(",") if p])
        earlier = _read(args.against) if args.against else None
        run = _begin(args.out, args.resume, Setup(args.repeats, args.quick, args.seed, peers))
    except ValueError as error:
        parser.error(str(error))
    try:
        for number, part in enumerate(parts, 1):
            if _done(run, part):
                continue
            told = f"{number} of {len(parts)}: {part}"
            with console.status(told) as status:

                def tell(text: str, told: str = told, status: Any = status) -> None:  # noqa: ANN401
                    status.update(f"{told}: {text}")
                    if not console.is_terminal:
                        console.print(f"{told}: {text}", highlight=False)

                setup = Setup(args.repeats, args.quick, args.seed, peers, tell)
                run["parts"][part] = _measured(part, setup)
            _write(args.out, run)
            _show(console, run, part)
    except KeyboardInterrupt:
        console.print(f"Interrupted; what was measured is in {args.out}. --resume goes on.")
        return 1
    found = found_in(run)
    if args.plot:
        args.plot.write_text(picture(found), "utf-8")
    if args.markdown:
        args.markdown.write_text(markdown(found), "utf-8")
    failed = [part for part in parts if run["parts"][part]["failed"]]
    if failed:
        console.print(f"Failed: {', '.join(failed)}. --resume tries again.")
    return int(bool(failed) | (earlier is not None and _compare(console, run, earlier)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", default="", help="parts, or what their names begin with")
    parser.add_argument("--quick", action="store_true", help="few images and entries, to try it")
    parser.add_argument("--repeats", type=int, help="of each measurement; 3, or 1 if quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--against", type=Path, help="JSON of an earlier run to compare with")
    parser.add_argument("--plot", type=Path, help="picture to write: .svg")
    parser.add_argument("--markdown", type=Path, help="tables to write")
    parser.add_argument(
        "--peers", action="append", metavar="NAME=PYTHON", help="a peer's environment"
    )
    return parser


def _peers(given: Sequence[str]) -> dict[str, Path]:
    found = {}
    for one in given:
        name, _, python = one.partition("=")
        if name not in ("clip-retrieval", "langchain-community") or not Path(python).is_file():
            raise ValueError(f"--peers {one}: clip-retrieval or langchain-community=PYTHON.")
        found[name] = Path(python).absolute()
    return found


def _begin(out: Path, resume: bool, setup: Setup) -> dict[str, Any]:
    if out.exists() and not resume:
        raise ValueError(f"{out} is there: --resume goes on with it, --out names another.")
    if not out.exists():
        return begun(setup)
    run = _read(out)
    if run["setup"] != options(setup):
        raise ValueError(f"{out} is of a run with {run['setup']}, not {options(setup)}.")
    return run


def _read(file: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    if run.get("format") != FORMAT:
        raise ValueError(f"{file} is of format {run.get('format')}, not {FORMAT}.")
    return run


def _done(run: dict[str, Any], part: str) -> bool:
    return part in run["parts"] and not run["parts"][part]["failed"]


def _measured(part: str, setup: Setup) -> dict[str, Any]:
    start, load = time.perf_counter(), os.getloadavg()[0]
    failed, figures = "", []
    try:
        figures = run_part(part, setup)
    except RuntimeError as error:
        failed = str(error)
    took = round(time.perf_counter() - start, 1)
    return {"seconds": took, "load": load, "failed": failed, "figures": as_json(figures)}


def _write(out: Path, run: dict[str, Any]) -> None:
    draft = out.with_suffix(".draft")
    draft.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    draft.replace(out)


def _show(console: Console, run: dict[str, Any], part: str) -> None:
    found = run["parts"][part]
    if found["failed"]:
        console.print(f"{part} failed:\n{found['failed']}", style="red", markup=False)
    else:
        console.print(table(part, found_in(run)[part]))


def _compare(console: Console, run: dict[str, Any], earlier: dict[str, Any]) -> bool:
    if run["machine"] != earlier["machine"]:
        console.print("The earlier run is of another machine: only ratios compare.")
    found = worse(found_in(run), found_in(earlier))
    if not found:
        console.print("Nothing is worse than in the earlier run, beyond the spread of both.")
        return False
    console.print(worse_table(found))
    return True


if __name__ == "__main__":
    sys.exit(main())
