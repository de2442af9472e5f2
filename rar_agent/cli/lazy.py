"""Commands that are imported as they are run, so that help imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Later:
    """A command that is not imported yet.

    Attributes:
        place: Its module and what it is there: a function, or a `typer.Typer` with commands of
            its own.
        help: First paragraph of its own help.
    """

    place: str
    help: str

    def load(self, name: str) -> Any:  # noqa: ANN401 - typer's commands are of its own click
        """The command itself."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        alone = typer.Typer()
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        return get_group(alone).commands[name]


class LazyGroup(TyperGroup):
    """Shows commands by what is said of them, and imports the one that is run."""

    later: Mapping[str, Later] = {}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401
        """The command that is named, imported."""
        command: Any
        name, command, rest = super().resolve_command(ctx, args)
        if name and name in self.later:
            command = self.later[name].load(name)
        return name, command, rest


def add_later(app: typer.Typer, commands: Mapping[str, Later]) -> None:
    """Have an app's help show commands; its group is a `LazyGroup` that has them as `later`."""
    for name, command in commands.items():
        app.command(name, help=command.help)(_unimported)


def _unimported() -> None:
    """What stands for a command in help."""
