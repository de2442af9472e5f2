"""Measuring what is fastest: every candidate is ready first, then they take turns."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from rar_agent.encoders.base import FloatArray, Pixels
from rar_agent.encoders.engines import Engine, EngineName, class_of
from rar_agent.encoders.engines.base import reason
from rar_agent.encoders.engines.make import Source, machine, make_engine, versions
from rar_agent.encoders.engines.openvino_model import is_installed
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.encoders.tuning.record import Agreement, Chosen, Measured, Tuning
from rar_agent.errors import ConfigurationError, RarError

EQUAL = 1e-5
"""Largest difference of a number of unit rows at which an engine is equal to torch in fp32."""
AGREEMENT = 0.995
"""Share of the images whose likeliest category bf16 and fp16 have to leave as it is."""
FASTER = 1.05
"""How much faster than torch, or than fp32, something has to be to be chosen."""
ROUNDS = 7

Rows = tuple[FloatArray, FloatArray]
"""(n, d) unit rows, and their (n,) lengths before."""

Judge = Callable[[Rows, Rows], Agreement]
"""From the reference's rows and others to how far a memory answers both alike."""

Progress = Callable[[int, int, str], None]
"""Told what is done, of how much, and what is being done."""


@dataclass
class _Candidate:
    engine: Engine
    sizes: tuple[int, ...]
    load_s: float
    rss_mb: float | None
    seconds: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What an encoder is tried on.

    Attributes:
        pixels: Prepared images that answers are compared on, at least one.
        words: What they are, in words.
        calibration: Prepared images that an int8 model is made by; others than `pixels`.
        judge: Compares answers; None where no memory is asked.
        memory: Its name.
    """

    pixels: Sequence[Pixels]
    words: str
    calibration: Sequence[Pixels] = ()
    judge: Judge | None = None
    memory: str = ""


class Measuring:
    """Finds out which engine, precision and batch are fastest for an encoder.

    Args:
        encoder: By torch in fp32, which is the reference.
        trial: What it is tried on.
        home: Where converted models are kept.
        allowed: Precision classes to try beside fp32.
        most: Images in one pass, at most.
        rounds: How often each candidate runs.
        anew: Whether an int8 model that is kept is made anew.
        compiling: Whether `torch.compile` is tried on the CPU too, where it takes minutes.
    """

    def __init__(
        self,
        encoder: TorchEncoder,
        trial: Trial,
        home: Path,
        allowed: Collection[str] = (),
        most: int = 32,
        rounds: int = ROUNDS,
        anew: bool = False,
        compiling: bool = False,
    ) -> None:
        self._encoder, self._trial, self._allowed = encoder, trial, allowed
        self._source: Source = encoder.source(home)
        self._most, self._rounds, self._anew = most, rounds, anew
        self._compiling = compiling or not self._source.on_cpu
        self._measured: list[Measured] = []

    def run(self, progress: Progress | None = None) -> Tuning:
        """Measure; may be interrupted: models that were made are kept beside those in use.

        Args:
            progress: Told after each step.

        Raises:
            ConfigurationError: The encoder gives numbers that are not finite, or does not run in
                batches of that size.
        """
        tell = progress or (lambda *_: None)
        ways = list(self._ways())
        reference = self._rows(self._encoder.engine)
        if not np.isfinite(reference[0]).all():
            raise ConfigurationError(
                f"The encoder '{self._encoder.name}' gives numbers that are not finite.",
                "Get its weights again; they may be damaged.",
            )
        candidates = []
        for done, (engine, precision) in enumerate(ways):
            tell(done, len(ways), f"loading {engine} {precision}")
            try:
                candidates.append(self._ready(engine, precision))
            except ConfigurationError as error:
                if (engine, precision) == ("torch", "fp32"):
                    raise
                self._measured.append(_refused(engine, precision, error.message))
        for turn in range(self._rounds):
            tell(turn, self._rounds, "measuring")
            self._round(candidates, turn)
        for done, one in enumerate(candidates):
            tell(done, len(candidates), f"comparing {one.engine.name} {one.engine.precision}")
            self._measured += self._results(one, reference)
        return self._tuning()

    def _ways(self) -> Iterator[tuple[EngineName, str]]:
        on_cpu = self._source.on_cpu
        openvino = on_cpu and is_installed()
        for precision in ("fp32", *(p for p in ("bf16", "fp16", "int8") if p in self._allowed)):
            if precision != "int8":
                yield "torch", precision
                if self._compiling:
                    yield "compile", precision
            if (openvino and precision != "fp16") or precision == "int8":
                yield "openvino", precision

    def _ready(self, engine: EngineName, precision: str) -> _Candidate:
        before = _rss()
        if precision == "int8" and (self._anew or self._source.quantized() is None):
            made = self._source.quantize(self._trial.calibration or self._trial.pixels)
            precision = f"int8-{made.digest}"
        found = make_engine(self._source, engine, precision, self._most)
        sizes = tuple(
            sorted({1, *(1 << n for n in range(3, 13) if 1 << n < self._most), self._most})
        )
        try:
            for size in sizes:
                found.run(self._batch(size, 0))
        except RarError:
            raise
        except Exception as error:  # of a library, such as for want of the GPU's memory
            raise ConfigurationError(
                f"{engine} does not run {precision} here: {reason(error)}", "Set RAR_ENGINE=torch."
            ) from error
        after = _rss()
        grown = max(0.0, after - before) if before is not None and after is not None else None
        return _Candidate(found, sizes, found.load_s, grown, {size: [] for size in sizes})

    def _round(self, candidates: Sequence[_Candidate], turn: int) -> None:
        """One pass of each candidate and size; who comes first changes."""
        turns = [(one, size) for one in candidates for size in one.sizes]
        start = turn * 5 % len(turns)
        for one, size in turns[start:] + turns[:start]:
            batch = self._batch(size, turn)
            began = time.perf_counter()
            one.engine.run(batch)
            one.seconds[size].append(time.perf_counter() - began)

    def _batch(self, size: int, turn: int) -> Pixels:
        pixels = self._trial.pixels
        return np.stack([pixels[(turn * size + i) % len(pixels)] for i in range(size)])

    def _results(self, one: _Candidate, reference: Rows) -> Iterator[Measured]:
        engine, trial = one.engine, self._trial
        rows = self._rows(engine)
        if not np.isfinite(rows[0]).all():
            yield _refused(engine.name, engine.precision, "gives numbers that are not finite")
            return
        difference = float(np.abs(rows[0] - reference[0]).max())
        agreement = trial.judge(reference, rows) if trial.judge else None
        refused = refusal(engine.precision, difference, agreement)
        for size in one.sizes[1:] or one.sizes:
            speeds = sorted(size / seconds for seconds in one.seconds[size])
            quarter = len(speeds) // 4
            yield Measured(
                engine=engine.name,
                precision=engine.precision,
                batch_size=size,
                images_s=statistics.median(speeds),
                slow=speeds[quarter],
                fast=speeds[-1 - quarter],
                one_ms=1_000 * statistics.median(one.seconds[1]),
                rss_mb=one.rss_mb,
                load_s=one.load_s,
                difference=difference,
                agreement=agreement,
                refused=refused,
            )

    def _rows(self, engine: Engine) -> Rows:
        return self._encoder.run_by(engine, self._most).encode_prepared(self._trial.pixels)

    def _tuning(self) -> Tuning:
        chosen, lower, why = choose(self._measured)
        encoder, trial = self._encoder, self._trial
        return Tuning(
            encoder=encoder.name,
            identity=encoder.fingerprint.identity,
            device=encoder.device,
            machine=machine(encoder.device),
            threads=torch.get_num_threads(),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            images=f"{len(trial.pixels)} {trial.words}",
            memory=trial.memory,
            rounds=self._rounds,
            measured=tuple(self._measured),
            chosen=chosen,
            lower=lower,
            why=why,
        )


def _refused(engine: EngineName, precision: str, why: str) -> Measured:
    return Measured(engine=engine, precision=precision, batch_size=1, refused=why)


def refusal(precision: str, difference: float, agreement: Agreement | None) -> str:
    """Why something may not be chosen; empty where it may.

    Args:
        precision: It runs in.
        difference: Largest difference of a number of unit rows from torch in fp32.
        agreement: Of a memory's answers with torch in fp32.
    """
    if precision == "fp32":
        return "" if difference <= EQUAL else f"not equal: differs by {difference:.1e}"
    if agreement is None:
        return "no memory was asked what it costs"
    if class_of(precision) != "int8" and agreement.share < AGREEMENT:
        return f"answers alike for {100 * agreement.share:.1f} %, under {100 * AGREEMENT:g} %"
    return ""


def choose(measured: Sequence[Measured]) -> tuple[Chosen, Chosen | None, str]:
    """The fastest that is equal, the fastest of what was allowed beside, and why these.

    Args:
        measured: Among them torch in fp32, which stays where nothing is clearly faster.
    """

    def fastest(found: list[Measured]) -> Measured | None:
        return max(found, key=lambda one: one.images_s, default=None)

    open_ = [one for one in measured if not one.refused]
    exact = [one for one in open_ if one.precision == "fp32"]
    plain = fastest([one for one in exact if one.engine == "torch"])
    assert plain is not None  # noqa: S101 - it was measured, and equals itself
    best = fastest(exact) or plain
    if best.images_s < FASTER * plain.images_s:
        best, why = plain, "nothing equal is clearly faster than torch"
    else:
        times = best.images_s / plain.images_s
        why = f"{best.engine} is equal to torch in fp32 and {times:.2f} times as fast"
    low = fastest([one for one in open_ if one.precision != "fp32"])
    if low is not None and low.images_s < FASTER * best.images_s:
        why += f"; {low.precision} was allowed, and is not clearly faster"
        low = None
    elif low is not None:
        times = low.images_s / best.images_s
        why += f"; {low.precision} by {low.engine} was allowed, and is {times:.2f} times as fast"
    return _chosen(best), _chosen(low) if low else None, why


def _chosen(one: Measured) -> Chosen:
    return Chosen(engine=one.engine, precision=one.precision, batch_size=one.batch_size)


def _rss() -> float | None:
    """MB of this process in memory; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
