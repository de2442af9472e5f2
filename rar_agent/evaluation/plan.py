"""Which suites a command runs: the one that it names, and those that are run after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rar_agent.evaluation.datasets import load_card, state_of
from rar_agent.evaluation.suite import Suite, load_suite
from rar_agent.settings import Settings


@dataclass(frozen=True)
class Planned:
    """A suite that is run, or why it is not.

    Attributes:
        suite: With its changes.
        out: The run's folder; None: the usual one.
        left_out: What to do so that it is run; empty: it is.
    """

    suite: Suite
    out: Path | None = None
    left_out: str = ""


def plan(
    name: str, settings: Settings, changes: Sequence[str] = (), out: Path | None = None
) -> list[Planned]:
    """A suite, then those of its `also`, with the same changes.

    Args:
        name: Of the suite, or the path of a file.
        settings: Where suites and data sets are.
        changes: As `load_suite` takes them.
        out: Folder of the first; the others' are in it, by their names.

    Raises:
        NotFoundError: There is no such suite, or none of a name in `also`, or not its card.
        ConfigurationError: A file is not valid.
        InputError: A change is not valid in each of them.
    """
    first = load_suite(name, settings.home, changes)
    return [Planned(first, out), *(_beside(other, settings, changes, out) for other in first.also)]


def _beside(name: str, settings: Settings, changes: Sequence[str], out: Path | None) -> Planned:
    suite = load_suite(name, settings.home, changes)
    card = load_card(suite.dataset, settings.home)
    if state_of(card, settings).state == "ready":
        return Planned(suite, out and out / suite.name)
    why = f"{suite.name} is left out, data set '{card.name}' is not there; "
    return Planned(suite, left_out=f"{why}rar-agent eval run {name} says how to get it")
