"""All metrics of all ways, in each cell and over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rar_agent.evaluation.metrics.abstention import abstention
from rar_agent.evaluation.metrics.accuracy import accuracy
from rar_agent.evaluation.metrics.boxes import boxes
from rar_agent.evaluation.metrics.calibration import calibration
from rar_agent.evaluation.metrics.clusters import clusters, with_clusters
from rar_agent.evaluation.metrics.columns import WAYS, Columns, columns_of, group_of
from rar_agent.evaluation.metrics.cost import failed, latency, spending
from rar_agent.evaluation.metrics.metric import Facts, Figure, Metric
from rar_agent.evaluation.metrics.ranking import asking, ranking
from rar_agent.evaluation.metrics.sentences import Sentences
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Way


def measure(
    records: Sequence[Record], facts: Facts | None = None, sentences: Sentences | None = None
) -> list[Metric]:
    """Every metric of every way that answered, in each group of cells and each cell.

    Groups are cells that differ by their seed alone. A degraded ranking counts as users get it: as
    the retrieval order. Boxes that are around nothing count in average precision and in what
    answers take.

    Args:
        records: At most one of an image in a cell.
        facts: What the records do not say.
        sentences: Embeds names for sACC; without it, sACC says that there is none.

    Raises:
        InputError: A cell has an image twice.
    """
    facts = facts or Facts()
    columns = with_clusters(columns_of(records), sentences)
    taken = columns if all(one.truth for one in records) else columns_of(records, every=True)
    found: list[Metric] = []
    for name, cells in _parts(dict.fromkeys(record.cell for record in records)):
        part, every = _of_cells(columns, cells), _of_cells(taken, cells)
        for way, figure in _taking(every, name, len(cells), facts):
            found.append(figure.of(way, name, len(cells)))
        for way, figure in _figures(part, facts, sentences):
            found.append(figure.of(way, name, len(cells)))
        for by, figure in boxes([record for record in records if record.cell in cells], facts):
            found.append(figure.of(by, name, len(cells)))
    return found


def _parts(cells: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups with their cells, then cells; one that is both comes once."""
    groups: dict[str, list[str]] = {}
    for cell in cells:
        groups.setdefault(group_of(cell), []).append(cell)
    for group, members in groups.items():
        yield group, members
        yield from ((cell, [cell]) for cell in members if cell != group)


def _of_cells(columns: Columns, cells: Sequence[str]) -> Columns:
    codes = [at for at, cell in enumerate(columns.cell_names) if cell in cells]
    return columns.take(np.isin(columns.cells, codes))


def _taking(
    every: Columns, name: str, cells: int, facts: Facts
) -> Iterator[tuple[Way | None, Figure]]:
    """What answers take, those of boxes around nothing too."""
    for figure in latency(every):
        yield None, figure
    yield None, failed(every, facts, name, cells)
    for way in every.asked:
        if (there := every.ways[way].there).any():
            yield from ((way, figure) for figure in spending(every.take(there), way))


def _figures(
    part: Columns, facts: Facts, sentences: Sentences | None
) -> Iterator[tuple[Way, Figure]]:
    for way in WAYS:
        there = part.ways[way].there
        if not there.any():
            continue
        some = part if there.all() else part.take(there)
        for figure in _of_way(some, way, facts, sentences):
            yield way, figure


def _of_way(part: Columns, way: Way, facts: Facts, sentences: Sentences | None) -> Iterator[Figure]:
    yield from accuracy(part, way, facts)
    yield from clusters(part, way, sentences)
    yield from calibration(part, way)
    yield from abstention(part, way)
    if way == "ranked":
        yield from ranking(part)
    if way in part.asked:
        yield from asking(part, way)
