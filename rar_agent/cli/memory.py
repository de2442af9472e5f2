"""`rar-agent memory`: the commands, put together."""

from __future__ import annotations

import typer

from rar_agent.cli import change, exchange, look, teach

app = typer.Typer(help="Teach memories, change them, look at them, forget.", no_args_is_help=True)

for panel, commands in {
    "Teach": {"create": teach.create, "add": teach.add, "fit": teach.fit},
    "Look": {"list": look.list_, "show": look.show, "verify": look.verify, "plan": look.plan},
    "Change": {
        "update": change.update,
        "rename": change.rename,
        "merge": change.merge,
        "move": change.move,
        "remove": change.remove,
        "compact": teach.compact,
        "delete": change.delete,
    },
    "Exchange": {
        "export": exchange.export,
        "import": exchange.import_,
        "import-rar": exchange.import_rar,
    },
}.items():
    for command, run in commands.items():
        app.command(command, rich_help_panel=panel)(run)
