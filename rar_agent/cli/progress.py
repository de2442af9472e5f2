"""Bars that show how far long work is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rar_agent.cli.show import err


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "?/s", style="dim")


def progress_bar() -> Progress:
    """A bar on standard error with count, rate and remaining time; it leaves no trace."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def busy(what: str) -> AbstractContextManager[object]:
    """A sign of life on standard error, for work that cannot tell how far it is."""
    return err.status(what) if err.is_terminal else nullcontext()


class Bar:
    """A bar for work that tells how much is done.

    Args:
        what: Is being done.
        then: What follows when all is done, and cannot tell how far it is.
        if_interrupted: What the user has to know then.
    """

    def __init__(self, what: str, then: str = "", if_interrupted: str = "") -> None:
        self._what = what
        self._then = then
        self._if_interrupted = if_interrupted

    def __enter__(self) -> Bar:
        self._bar = progress_bar().__enter__()
        self._task = self._bar.add_task(self._what, total=None)
        return self

    def update(self, done: int, total: int | None, what: str = "") -> None:
        """Show how much is done, and of how much where that is known; of what, where it changes."""
        then = self._then if total is not None and done >= total else ""
        what = then or what or self._what
        self._bar.update(self._task, completed=done, total=total, description=what)

    def __exit__(self, kind: object, *_: object) -> None:
        self._bar.__exit__(None, None, None)
        if kind is KeyboardInterrupt and self._if_interrupted:
            err.print(self._if_interrupted, soft_wrap=True)
