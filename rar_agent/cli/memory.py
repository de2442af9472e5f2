"""`rar-agent memory`: the commands, put together."""

from __future__ import annotations

from collections.abc import Callable

import typer

from rar_agent.cli import calibrate, change, exchange, look, migrate, plan, teach, upkeep

_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Teach": {
        "create": teach.create,
        "add": teach.add,
        "fit": upkeep.fit,
        "calibrate": calibrate.calibrate,
    },
    "Look": {"list": look.list_, "show": look.show, "verify": look.verify, "plan": plan.plan},
    "Change": {
        "update": change.update,
        "rename": change.rename,
        "merge": change.merge,
        "move": change.move,
        "remove": change.remove,
        "compact": upkeep.compact,
        "delete": change.delete,
    },
    "Exchange": {
        "export": exchange.export,
        "import": exchange.import_,
        "import-rar": exchange.import_rar,
        "migrate": migrate.migrate,
    },
}

app = typer.Typer(help="Teach memories, change them, look at them, forget.", no_args_is_help=True)
for _panel, _commands in _COMMANDS.items():
    for _name, _run in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_run)
