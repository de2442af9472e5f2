import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rar_agent.cli.main import COMMANDS, app


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_a_command_what_it_says_itself(name):
    own = COMMANDS[name].load(name)
    assert own.name == name
    assert own.help.partition("\n\n")[0] == COMMANDS[name].help


def test_help_imports_no_command():
    code = """
import sys
from rar_agent.cli.main import app
try:
    app(["--help"])
finally:
    watched = {"rar_agent", "pydantic"}
    print(sorted(name for name in sys.modules if name.partition(".")[0] in watched))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = ["rar_agent", "rar_agent.cli", "rar_agent.cli.lazy", "rar_agent.cli.main"]
    loaded += ["rar_agent.errors", "rar_agent.garbage"]
    assert done.stdout.splitlines()[-1] == str(loaded), done.stderr
    assert all(f" {name} " in done.stdout for name in COMMANDS)


def test_commands_within_a_command_are_found_and_no_others():
    runner = CliRunner()
    assert "--images" in runner.invoke(app, ["memory", "create", "--help"]).output
    assert "install-completion" not in runner.invoke(app, ["memory", "--help"]).output
    refused = runner.invoke(app, ["memry"])
    assert refused.exit_code == 2
    assert "Did you mean 'memory'?" in refused.output
