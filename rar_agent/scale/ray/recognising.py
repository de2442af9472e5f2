"""Recognising in actors: a shard is a journal, with a line an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rar_agent.batch import Entry, Journal, read_journal, run
from rar_agent.errors import ConfigurationError, ImageError
from rar_agent.graph.asked import Asked
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.memory import memory_folder
from rar_agent.memory.format.generation import stamp
from rar_agent.models.budget import share_budget
from rar_agent.recognizer import Recognizer
from rar_agent.scale.ray.purse import Purse, SharedBudget
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.written import read_back
from rar_agent.settings import Settings
from rar_agent.types import Failure, Recognition


@dataclass(frozen=True)
class Recognising:
    """How actors recognise.

    Attributes:
        settings: Theirs, with their part of the limits.
        stamp: Of the memory's generation that is asked.
        asked: Of each image.
        configuration: Hash of all that decides results.
        purse: Of the whole run; None: there is no limit on what is spent.
    """

    settings: Settings
    stamp: bytes
    asked: Asked
    configuration: str
    purse: Purse | None

    def begin(self, run: Run) -> RecognisingShards:
        """What does shards, in an actor.

        Raises:
            ConfigurationError: Another memory is seen there.
        """
        settings = self.settings
        if self.purse is not None:
            share_budget(SharedBudget(self.purse, settings.max_cost or 0.0))
        recognizer = Recognizer(settings=settings)
        _ = recognizer.memory  # a ready one is made when it is opened
        if stamp(memory_folder(settings.home, settings.memory)) != self.stamp:
            raise ConfigurationError(
                f"A worker sees another memory '{settings.memory}' than the driver, in "
                f"{settings.home}.",
                "Set RAR_HOME to a folder that all nodes share, and teach it after this run.",
            )
        return RecognisingShards(run, recognizer, self.asked, self.configuration)


class RecognisingShards:
    """Recognises shards.

    Args:
        run: Where they lie.
        recognizer: That is asked.
        asked: Of each image.
        configuration: Of their journals.
    """

    def __init__(self, run: Run, recognizer: Recognizer, asked: Asked, configuration: str) -> None:
        self._run = run
        self._recognizer = recognizer
        self._asked = asked
        self._configuration = configuration

    def do(self, number: int, alive: Callable[[], None]) -> None:
        """See `worker.Doing`; what the shard's journal has is not done again."""
        lines = self._run.lines(number)
        keys = [str(at) for at in range(len(lines))]

        def work(undone: Sequence[str]) -> Iterator[Entry]:
            for entry in self._entries(lines, undone):
                yield entry
                alive()

        with Journal(journal_of(self._run, number), self._configuration) as journal:
            run(journal, keys, work, share=len(keys))
        self._run.keep(number, b"")

    def _entries(self, lines: Sequence[bytes], undone: Sequence[str]) -> Iterator[Entry]:
        lost: dict[str, Failure] = {}
        sent: list[str] = []

        def readable() -> Iterator[ImageSource | AdmittedImage]:
            for key, image in zip(undone, read_back(lines[int(k)] for k in undone), strict=True):
                if isinstance(image, ImageError):
                    lost[key] = Failure(source="", error=str(image), kind=type(image).__name__)
                else:
                    sent.append(key)
                    yield image

        for at, result in self._recognizer.as_completed(readable(), **self._asked):
            yield entry_of(sent[at], result)
        for key, failure in lost.items():
            yield entry_of(key, failure)


def journal_of(run: Run, number: int) -> Any:  # noqa: ANN401
    """The journal of a shard."""
    return run.result(number).with_suffix(".jsonl")


def try_failures_again(run: Run, configuration: str) -> None:
    """Reopen shards with failures of a run that goes on; their journals keep the rest."""
    for number in sorted(run.finished()):
        if any(e.failed for e in read_journal(journal_of(run, number), configuration)):
            run.reopen(number)


def entry_of(key: str, result: Recognition | Failure) -> Entry:
    """A result as a line of a journal."""
    return Entry(key, result.model_dump(mode="json"), isinstance(result, Failure))


def results_of(run: Run, number: int, configuration: str) -> Iterable[Recognition | Failure]:
    """The results of a shard, in the order of its images."""
    entries = {int(e.key): e for e in read_journal(journal_of(run, number), configuration)}
    for at in sorted(entries):
        kind = Failure if entries[at].failed else Recognition
        yield kind.model_validate(entries[at].result)
