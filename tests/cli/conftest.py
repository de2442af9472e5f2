"""The command line in this process: its output and exit status, with the encoder loaded once."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from rar_agent.cli import main, show
from rar_agent.memory import SampleReader, create_memory
from rar_agent.memory.readers import Sample
from rar_agent.models import budget
from rar_agent.types import Category
from tests.conftest import COLOURS, draw

WARM = ("red", "orange")


@pytest.fixture
def rar(monkeypatch, capsys):
    """Runs a command; gives its status, what it printed, and what it said on standard error."""
    monkeypatch.setenv("RAR_DEVICE", "cpu")
    monkeypatch.setattr(show.out, "_width", 200)
    monkeypatch.setattr(show.err, "_width", 200)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rar-agent", *map(str, arguments)])
        budget.of_process.cache_clear()  # a command is a process
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert "bug:" not in printed.err
        return SimpleNamespace(status=status, out=printed.out, err=printed.err)

    return run


@pytest.fixture(scope="session")
def taught_colours(tmp_path_factory, builtin):
    """RAR_HOME with `colours`, a calibrated memory in two branches, with thumbnails."""
    home = tmp_path_factory.mktemp("colours-home")
    samples = [
        Sample(
            Category(
                name=colour,
                parent="warm" if colour in WARM else "cold",
                metadata={"hot": colour in WARM, "letters": len(colour)},
            ),
            draw(colour, 1_000 * c + i),
            f"gone/{colour}/{i}.png",
        )
        for c, colour in enumerate(COLOURS)
        for i in range(18)
    ]
    create_memory(home, "colours", builtin, SampleReader(samples), thumbnails=48)
    return home


@pytest.fixture
def colours(taught_colours, tmp_path, monkeypatch):
    """A copy of its home, to change."""
    home = tmp_path / "own-home"
    shutil.copytree(taught_colours, home)
    monkeypatch.setenv("RAR_HOME", str(home))
    return home


def row(text, start):
    """The first line that starts so, its words apart."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()
