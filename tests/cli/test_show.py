"""How results look where nobody sees a terminal, and where one is."""

import pytest

from rar_agent.cli import show

LONG = "a note that is longer than a line " * 6


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        ({}, 1),
        ({"COLUMNS": "100"}, 3),  # whoever says how wide is believed
        ({"FORCE_COLOR": "1"}, 3),  # as a terminal of 80
    ],
)
@pytest.mark.parametrize("stderr", [False, True])
def test_lines_are_broken_for_terminals_only(capsys, monkeypatch, variables, lines, stderr):
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    show._console(stderr).print(LONG.strip())
    said = capsys.readouterr()
    assert len((said.err if stderr else said.out).splitlines()) == lines
