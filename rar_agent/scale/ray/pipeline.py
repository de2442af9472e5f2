"""The pipeline of Ray Data: numbers of shards go in, numbers of shards that are done come out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from rar_agent import errors
from rar_agent.errors import ConfigurationError, RarError
from rar_agent.scale.ray.cluster import load_ray
from rar_agent.scale.ray.worker import Job, Worker, said

_MOST_BLOCKS = 20_000
"""Pieces that Ray Data keeps account of; of more shards, several are one."""
_POLL_S = 1.0
_WORKER_BYTES = 1.5e9
"""That a worker is reckoned to need, where nothing is said of how many there are to be."""


@dataclass(frozen=True)
class Workers:
    """Actors that work.

    Attributes:
        most: How many at most; None: as many as the cluster has processors or GPUs for.
        gpus: That each has, or which share of one.
    """

    most: int | None = None
    gpus: float = 0.0

    def number(self, shards: int) -> int:
        """Of the actors, for so many shards; Ray has to be attached to."""
        there = load_ray().cluster_resources()
        room = there.get("GPU", 0) / self.gpus if self.gpus else _by_processor(there)
        if self.gpus and room < 1:
            raise ConfigurationError(
                f"The cluster has {there.get('GPU', 0):g} GPUs, and a worker wants {self.gpus:g}.",
                "Set RAR_RAY_GPUS to less; 0 works on processors.",
            )
        return max(1, min(self.most or int(room), shards))


def _by_processor(there: Mapping[str, float]) -> float:
    return min(there.get("CPU", 1), there.get("memory", _WORKER_BYTES) / _WORKER_BYTES)


def finished(job: Job, shards: Sequence[int], actors: int, gpus: float = 0.0) -> Iterator[int]:
    """Have actors do shards; gives the number of each as it is done, in any order.

    A killed actor is begun anew by Ray, and its shard with it. Each actor has one shard at a time,
    so none waits behind a slow one.

    Args:
        job: What is done.
        shards: By number.
        actors: At most.
        gpus: Of each.

    Raises:
        RarError: As a worker raised it.
        RuntimeError: A worker met a bug, with its last line.
    """
    ray = load_ray()
    rows = _from_afar if ray.util.client.ray.is_connected() else _rows
    try:
        with closing(rows(job, shards, actors, gpus)) as told:
            for row in told:
                if row["kind"]:
                    raise _raised(row)
                yield int(row["shard"])
    except ray.exceptions.RayError as error:
        raise ConfigurationError(
            f"Ray gave up: {type(error).__name__}: {_last_line(error)}",
            "Run the same again: it goes on.",
        ) from error


def _rows(job: Job, shards: Sequence[int], actors: int, gpus: float) -> Generator[dict[str, Any]]:
    """What workers say of each shard."""
    data = load_ray().data
    with _quietly(data.DataContext.get_current()):
        yield from (
            data.from_items(
                [{"shard": number} for number in shards],
                override_num_blocks=min(len(shards), _MOST_BLOCKS),
            )
            .map(
                Worker,
                fn_constructor_args=(job,),
                compute=data.ActorPoolStrategy(
                    min_size=1,
                    max_size=actors,
                    initial_size=actors,
                    max_tasks_in_flight_per_actor=1,
                ),
                num_cpus=1,
                **({"num_gpus": gpus} if gpus else {}),
            )
            .iter_rows()
        )


def _from_afar(
    job: Job, shards: Sequence[int], actors: int, gpus: float
) -> Generator[dict[str, Any]]:
    """The same through Ray's client, for which Ray Data is not made: a task there drives it."""
    ray = load_ray()
    going = ray.remote(num_cpus=0)(_drive).remote(job, shards, actors, gpus)
    left, ended = set(shards), False
    try:
        while not ended:
            ended = bool(ray.wait([going], timeout=_POLL_S)[0])
            done = left & job.run.finished()
            left -= done
            yield from (said(number) for number in sorted(done))
        yield from ray.get(going)
    finally:
        if not ended:  # interrupted, or not wanted further: its actors would work on
            ray.cancel(going, force=True)  # its process ends, and with that all it began


def _drive(job: Job, shards: Sequence[int], actors: int, gpus: float) -> list[dict[str, Any]]:
    """Do shards, in a task of the cluster; returns the first thing that was wrong, if any."""
    missing = sorted(set(shards) - job.run.finished())  # this may be done anew, on another node
    return next(([row] for row in _rows(job, missing, actors, gpus) if row["kind"]), [])


def _raised(row: dict[str, Any]) -> Exception:
    """The error that a worker told of."""
    kind = getattr(errors, row["kind"], None)
    if isinstance(kind, type) and issubclass(kind, RarError):
        return kind(row["message"], row["fix"])
    return RuntimeError(f"in a worker of Ray: {row['kind']}: {row['message']}")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


@contextmanager
def _quietly(context: Any) -> Iterator[None]:  # noqa: ANN401
    """No bars of Ray's, for as long as our pipeline runs in a process that may have others."""
    before = context.enable_progress_bars
    context.enable_progress_bars = False
    try:
        yield
    finally:
        context.enable_progress_bars = before
