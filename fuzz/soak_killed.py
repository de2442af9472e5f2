"""Steps of a soak that kill batches and evaluations, and go on with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzz.soak_ground import MOST, STEADY, Ground, Key, Said, asked, drawings, learnt, name_of
from fuzz.soak_jobs import begin
from fuzz.soak_totals import Ledger
from rar_agent import Recognition
from rar_agent.errors import NotFoundError
from rar_agent.evaluation.run import JOURNAL, Run, prepare_run, read_run
from rar_agent.evaluation.suite import load_suite
from rar_agent.settings import Settings, load_settings
from tests.conftest import COLOURS

_TESTED, _TRAINED = 5, 2  # drawings of each colour
_LONGEST_S = 300.0  # of one process
_IN_FLIGHT = 8  # two batches: under way at most, or answered and not written; paid for again

Plain = dict[str, Any]


def killed_batch(ground: Ground, random: Random) -> None:
    """A batch by a journal is killed, and gone on with: each image once, as without."""
    keys = drawings(random, 24)
    folder, journal = ground.place / "batch", ground.place / "batch.jsonl"
    _put(folder, keys)
    given = (STEADY, folder, journal)
    for _ in range(random.randint(1, 2)):
        with begin("batch", ground.home, *given) as process:
            _wait_for_lines(journal, random.randint(1, 9), process)
        ground.ledger.fault("a batch killed")
    with begin("batch", ground.home, *given) as process:
        ended = process.wait(_LONGEST_S)
    ground.ledger.expect(ended == 0, f"the batch ended with {ended}")
    for name, said in journalled(ground.ledger, journal, [_file(key) for key in keys]).items():
        key = _key(name)
        right = ground.right(key)
        same = Said(said["said"], right.status, right.degraded)
        ground.ledger.expect(same.agrees(right), f"{key}: {said}, not {right}")
    _remove(folder, journal, journal.with_suffix(".shares"))


def killed_command(ground: Ground, random: Random) -> None:
    """`rar-agent recognize` is killed and asked again for what it did not say."""
    keys = drawings(random, 24)
    folder = ground.place / "command"
    _put(folder, keys)
    left, said = [folder / _file(key) for key in keys], list[str]()
    stop: int | None = random.randint(2, 18)
    while left:
        asks = ("recognize", *left, "--memory", STEADY, "--json")
        now: list[str] = []
        with begin("rar-agent", ground.home, *asks, RAR_BATCH_SIZE="2", RAR_K=str(MOST)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                now.append(line)
                if len(now) == stop:
                    process.kill()
                    ground.ledger.fault("a command killed")
        whole = [line for line in now if line.endswith("\n")]
        ground.ledger.expect(stop is not None or len(whole) == len(left), "the command lost some")
        said += whole
        left, stop = left[len(whole) :], None
        if not whole:
            break
    found = [Recognition.model_validate_json(line) for line in said]
    ground.ledger.exchanged([_file(key) for key in keys], [Path(one.source).name for one in found])
    for one in found:
        ground.check(_key(Path(one.source).name), one)
    _remove(folder)


def evaluation(ground: Ground, random: Random) -> None:
    """An evaluation in this process, interrupted and gone on with."""
    right = _right(ground)
    out = ground.place / "eval"
    stop = random.randrange(len(right))

    def interrupt(done: int, _: int) -> None:
        if done > stop:
            raise KeyboardInterrupt

    try:
        _prepared(ground, out).go_on(interrupt)
    except KeyboardInterrupt:
        ground.ledger.fault("an evaluation interrupted")
    _prepared(ground, out).go_on()
    _compare(ground, out, right, kills=1)


def killed_evaluation(ground: Ground, random: Random) -> None:
    """`rar-agent eval run` is killed and run again: the same result, nothing paid for twice."""
    right = _right(ground)
    out, kills = ground.place / "eval", random.randint(1, 2)
    asks = ("eval", "run", _suite(ground), "--out", out)
    for _ in range(kills):
        with begin("rar-agent", _home(ground), *asks, **_variables()) as process:
            _wait_for_lines(out / JOURNAL, random.randint(1, 6), process)
        ground.ledger.fault("an evaluation killed")
    with begin("rar-agent", _home(ground), *asks, **_variables()) as process:
        ended = process.wait(_LONGEST_S)
    ground.ledger.expect(ended == 0, f"the evaluation ended with {ended}")
    _compare(ground, out, right, kills)


def journalled(ledger: Ledger, journal: Path, keys: list[str]) -> dict[str, Plain]:
    """What a journal says of each key, whose lines are compared with what it must hold."""
    entries = [json.loads(line) for line in journal.read_bytes().splitlines()[1:]]
    done = [entry for entry in entries if not entry["failed"]]
    ledger.exchanged(keys, [entry["key"] for entry in done])
    return {entry["key"]: entry["result"] for entry in done}


def _right(ground: Ground) -> list[Plain]:
    """The records of a run that nothing disturbs."""
    kept = ground.place / "eval-right"
    if not kept.exists():
        _prepared(ground, kept).go_on()
        ground.ledger.expect(ground.provider.asked.total() == len(_told(kept)), "calls of an eval")
    ground.provider.forget()
    return _told(kept)


def _compare(ground: Ground, out: Path, right: list[Plain], kills: int) -> None:
    paid = Counter(ground.provider.asked)
    ground.provider.forget()
    keys = [f"{one['cell'].replace(', seed ', '-seed')}/{one['sample']}" for one in right]
    lines = (out / JOURNAL).read_bytes().splitlines()[1:]
    done = [entry["key"] for entry in map(json.loads, lines) if not entry["failed"]]
    ground.ledger.exchanged(sorted(keys), sorted(done))
    ground.ledger.expect(_told(out) == right, f"records differ: {_difference(_told(out), right)}")
    most = len(right) + kills * _IN_FLIGHT
    ground.ledger.expect(
        len(right) <= paid.total() <= most, f"{paid.total()} calls for {len(right)} answers"
    )
    _remove(out)


def _told(folder: Path) -> list[Plain]:
    try:
        _, records, failed = read_run(folder)
    except NotFoundError as error:
        return [{"cell": "none", "sample": str(error)}]
    plain = [record.model_dump(mode="json", exclude={"timings_ms"}) for record in records]
    plain += [{"cell": "failed", "sample": one.key, "result": dict(one.result)} for one in failed]
    return sorted(plain, key=lambda one: (one["cell"], one["sample"]))


def _difference(found: list[Plain], right: list[Plain]) -> str:
    differ = [(a, b) for a, b in zip(found, right, strict=False) if a != b]
    return f"{len(found)} and {len(right)}; {differ[:1]}"


def _home(ground: Ground) -> Path:
    return ground.place / "eval-home"


def _variables() -> dict[str, str]:
    return {"RAR_SKIP_RANKING_AT": "1.01", "RAR_CACHE_MB": "0", "RAR_BATCH_SIZE": "4"}


def _settings(ground: Ground) -> Settings:
    return load_settings(
        home=_home(ground), device="cpu", skip_ranking_at=1.01, cache_mb=0, batch_size=4
    )


def _prepared(ground: Ground, out: Path) -> Run:
    suite = load_suite(str(_suite(ground)), _home(ground))
    return prepare_run(suite, _settings(ground), out)


def _suite(ground: Ground) -> Path:
    """The suite's file, and its images."""
    file, images = ground.place / "drawings.yaml", ground.place / "drawings"
    if file.exists():
        return file
    for colour in COLOURS:
        for part, count in (("train", _TRAINED), ("test", _TESTED)):
            folder = images / part / name_of(colour)
            folder.mkdir(parents=True)
            for seed in range(count):
                image = learnt((colour, seed)) if part == "train" else asked((colour, seed))
                image.save(folder / f"{seed}.png")
    suite = {
        "dataset": {"images": str(images), "name": "drawings", "domain": "coloured discs"},
        "protocol": {"shots": [1, 2], "seeds": [1]},
        "memory": {"encoder": "builtin"},
        "ways": ["knn", "retrieval", "ranked"],
        "ranker": {"model": "m", "base_url": ground.provider.url},
    }
    file.write_text(yaml.safe_dump(suite))
    return file


def _file(key: Key) -> str:
    return f"{key[0]}-{key[1]}.png"


def _key(name: str) -> Key:
    colour, _, seed = name.removesuffix(".png").partition("-")
    return colour, int(seed)


def _put(folder: Path, keys: list[Key]) -> None:
    folder.mkdir()
    for key in keys:
        asked(key).save(folder / _file(key))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait_for_lines(journal: Path, more: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process has written so many more, or has ended."""
    goal, end = _lines(journal) + more, time.monotonic() + _LONGEST_S
    while _lines(journal) <= goal and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


STEPS: dict[str, tuple[Callable[[Ground, Random], None], float]] = {
    "batch killed": (killed_batch, 1.5),
    "command killed": (killed_command, 1.5),
    "evaluation": (evaluation, 1.5),
    "evaluation killed": (killed_evaluation, 1),
}
"""By kind, with how often they come beside the others."""
