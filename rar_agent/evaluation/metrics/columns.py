"""Records as numpy columns, made once for all metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError
from rar_agent.evaluation.intervals import Clusters
from rar_agent.evaluation.record import Answer, Ranked, Record
from rar_agent.evaluation.suite import Way

WAYS: tuple[Way, ...] = get_args(Way)

Mask = NDArray[Any]

_SEED = re.compile(r"(.+), seed (\d+)")


def group_of(cell: str) -> str:
    """The group of cells that differ by their seed alone: `4-shot` of `4-shot, seed 1`."""
    found = _SEED.fullmatch(cell)
    return found[1] if found else cell


def seed_of(cell: str) -> int:
    """The seed in a cell's name; 0 where it has none."""
    found = _SEED.fullmatch(cell)
    return int(found[2]) if found else 0


class _Columns:
    """Columns of equal length; a field that is None stays so."""

    def take(self, which: Mask) -> Self:
        """Some records, by a mask or by positions."""
        columns = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        taken = {name: _take(column, which) for name, column in columns.items()}
        return replace(self, **taken)  # type: ignore[type-var]


def _take(column: Any, which: Mask) -> Any:  # noqa: ANN401 - a column of any type, or none
    match column:
        case np.ndarray():
            return column[which]
        case Clusters() | _Columns():
            return column.take(which)
        case dict():
            return {key: _take(value, which) for key, value in column.items()}
    return column


@dataclass(frozen=True)
class Answers(_Columns):
    """(n,) columns of one way.

    Attributes:
        there: Whether the way answered; the others mean nothing where it did not.
        first: Code of its first name; -1 where it named none.
        place: Of the truth among its names, from 0; -1 where it is not among them.
        count: Of its names.
        confidence: Probability of its first name; nan where it gives none.
        accepted: Whether the first name was given as the answer.
        calibrated: Whether the probabilities were fitted to mean something.
        matched: Whether its first name is the one that the truth is matched with; see `clusters`.
        cosine: Between the sentence embeddings of its first name and the truth.
    """

    there: NDArray[np.bool_]
    first: NDArray[np.int64]
    place: NDArray[np.int64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    calibrated: NDArray[np.bool_]
    matched: NDArray[np.bool_] | None = None
    cosine: NDArray[np.float64] | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the first name is the truth."""
        right: NDArray[np.bool_] = self.there & (self.place == 0)
        return right


@dataclass(frozen=True)
class Asked(_Columns):
    """(n,) columns of how a model was asked.

    Attributes:
        there: Whether one was to be asked.
        called: Whether it was, or was tried.
        status: Of reading its answer, as `ParseStatus` says.
        repairs: Of its answer.
        degraded: Whether the retrieval order stood instead.
        input_tokens: Sent, also for answers that were kept from before.
        output_tokens: Received, likewise.
        cost: US dollars, likewise; nan where not known.
        cached: Whether an answer was kept from before, so that nothing was billed for it now.
        letters: Each tuple of shares, see `Ranked.letters`.
        shown: Categories to choose from, of a model asked alone.
    """

    there: NDArray[np.bool_]
    called: NDArray[np.bool_]
    status: NDArray[np.str_]
    repairs: NDArray[np.int64]
    degraded: NDArray[np.bool_]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    cost: NDArray[np.float64]
    cached: NDArray[np.bool_]
    letters: NDArray[np.object_]
    shown: NDArray[np.int64]


@dataclass(frozen=True)
class Columns(_Columns):
    """Records, by column.

    Attributes:
        names: All names, sorted; codes are positions in it.
        cell_names: All cells, in order of appearance.
        cells: (n,) codes of cells.
        clusters: (n,) codes of images, and seeds.
        truth: (n,) codes of names.
        ways: How each way answered.
        asked: How a model was asked, by way.
        total_ms: (n,) of the whole; nan where it was not timed.
    """

    names: Sequence[str]
    cell_names: Sequence[str]
    cells: NDArray[np.int64]
    clusters: Clusters
    truth: NDArray[np.int64]
    ways: dict[Way, Answers]
    asked: dict[Way, Asked]
    total_ms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cells)


def columns_of(records: Sequence[Record], every: bool = False) -> Columns:
    """Records as columns, without those that have no truth, of which no answer is right or wrong.

    Args:
        records: At most one of an image in a cell.
        every: Whether those without a truth are among them, as in what answers take.

    Raises:
        InputError: A cell has an image twice; its figures would count it twice.
    """
    seen: set[tuple[str, str]] = set()
    for record in records:
        if (key := (record.cell, record.sample)) in seen:
            raise InputError(
                f"'{record.sample}' has two records in cell '{record.cell}'.",
                "Keep one: each image counts once.",
            )
        seen.add(key)
    records = [record for record in records if every or record.truth]
    firsts = [
        getattr(record, way).names[:1]
        for way in WAYS
        for record in records
        if getattr(record, way) is not None
    ]
    names = sorted({record.truth for record in records}.union(*firsts))
    code = {name: at for at, name in enumerate(names)}
    cells = list(dict.fromkeys(record.cell for record in records))
    cell_code = {cell: at for at, cell in enumerate(cells)}
    image_code = {key: at for at, key in enumerate(sorted({r.sample for r in records}))}
    return Columns(
        names=names,
        cell_names=cells,
        cells=_ints(cell_code[record.cell] for record in records),
        clusters=Clusters(
            _ints(image_code[record.sample] for record in records),
            _ints(seed_of(record.cell) for record in records),
        ),
        truth=_ints(code[record.truth] for record in records),
        ways={way: _answers(records, lambda r, way=way: getattr(r, way), code) for way in WAYS},  # type: ignore[misc]
        asked={
            "ranked": _asked([record.ranking for record in records]),
            "alone": _asked([record.asked_alone for record in records]),
        },
        total_ms=_floats(record.timings_ms.get("total") for record in records),
    )


_NOTHING = Answer(names=())


def _answers(
    records: Sequence[Record], get: Callable[[Record], Answer | None], code: dict[str, int]
) -> Answers:
    answers = [get(record) for record in records]
    given = [answer or _NOTHING for answer in answers]
    return Answers(
        there=_bools(answer is not None for answer in answers),
        first=_ints(code[answer.names[0]] if answer.names else -1 for answer in given),
        place=_ints(
            answer.names.index(record.truth) if record.truth in answer.names else -1
            for answer, record in zip(given, records, strict=True)
        ),
        count=_ints(len(answer.names) for answer in given),
        confidence=_floats(a.probabilities[0] if a.probabilities else None for a in given),
        accepted=_bools(answer.accepted for answer in given),
        calibrated=_bools(answer.calibrated for answer in given),
    )


def _asked(all_asked: Sequence[Ranked | None]) -> Asked:
    there = [asked is not None for asked in all_asked]
    given = [asked or Ranked() for asked in all_asked]
    return Asked(
        there=_bools(there),
        called=_bools(a.calls > 0 or a.parse_status != "not_asked" or a.degraded for a in given),
        status=np.array([asked.parse_status for asked in given], dtype="U9"),
        repairs=_ints(asked.repairs for asked in given),
        degraded=_bools(asked.degraded for asked in given),
        input_tokens=_floats(asked.usage.whole.input_tokens for asked in given),
        output_tokens=_floats(asked.usage.whole.output_tokens for asked in given),
        cost=_floats(asked.usage.whole.cost for asked in given),
        cached=_bools(asked.usage.cached > 0 for asked in given),
        letters=np.fromiter((asked.letters for asked in given), dtype=object),
        shown=_ints(asked.shown for asked in given),
    )


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _bools(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=np.bool_)


def _floats(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.fromiter((np.nan if v is None else v for v in values), dtype=np.float64)
