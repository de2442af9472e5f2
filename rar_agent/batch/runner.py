"""Doing each item once, whoever works on it and however often it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rar_agent.batch.journal import Entry, Journal

Work = Callable[[Sequence[str]], Iterable[Entry]]
"""Does items by key, and gives an entry for each, in any order, as soon as it is done."""

Progress = Callable[[int, int], None]
"""Told how many items are done, by anyone, and how many there are."""

_SHARE = 64
_POLL_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes:
        done: Items that this process did, now.
        failed: Of all, those that failed last time they were tried.
        known: Items that were done already.
    """

    done: int
    failed: int
    known: int


def run(
    journal: Journal,
    keys: Sequence[str],
    work: Work,
    progress: Progress | None = None,
    share: int = _SHARE,
) -> Outcome:
    """Do all items that were not done, together with other processes that run the same.

    Items are taken by the share; a process that dies leaves its share to the others. What failed
    before is tried once more.

    Args:
        journal: Where what is done is kept.
        keys: Of all items, in the same order in every process.
        work: Does them.
        progress: Told after each item.
        share: Items that a process takes at once.

    Returns:
        How it went; when this returns, nothing is left undone.
    """
    begun = dict(journal.entries)  # what failed before this run is tried again, once by us all
    known = sum(journal.done(key) for key in keys)
    done = 0
    left = {number: keys[at : at + share] for number, at in enumerate(range(0, len(keys), share))}
    while left:
        before = len(left)
        for number, taken in list(left.items()):
            with journal.share(number) as mine:
                if not mine:
                    continue
                for entry in _worked(journal, taken, work, begun):
                    done += not entry.failed
                    if progress:
                        progress(journal.successes, len(keys))
            del left[number]
        if left and len(left) == before:  # others are at work on all that is left
            time.sleep(_POLL_S)
    journal.refresh()
    return Outcome(done, sum(not journal.done(key) for key in keys), known)


def _worked(
    journal: Journal, keys: Sequence[str], work: Work, begun: Mapping[str, Entry]
) -> Iterator[Entry]:
    """Work on what is undone of a share, and write it down, one by one."""
    journal.refresh()
    undone = [
        key
        for key in keys
        if (entry := journal.entries.get(key)) is None or (entry.failed and entry is begun.get(key))
    ]
    if undone:
        for entry in work(undone):
            journal.append([entry])
            yield entry
