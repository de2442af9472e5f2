"""The command line; `main` turns errors into one line and an exit status."""

from rar_agent.cli.main import main

__all__ = ["main"]
