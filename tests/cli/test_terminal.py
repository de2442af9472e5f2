"""What a memory from elsewhere says cannot steer the terminal that shows it."""

import pytest
from rich.text import Text

from rar_agent.cli.show import _console, grid

STEERING = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf"


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("make", [str, Text, lambda text: grid(text, title=text)])
def test_control_characters_are_shown_as_question_marks(capsys, monkeypatch, make, colours):
    monkeypatch.setenv("FORCE_COLOR" if colours else "NO_COLOR", "1")
    shown = make(STEERING)
    if not isinstance(shown, str | Text):
        shown.add_row(STEERING)
    _console().print(shown, style="bold")
    printed = capsys.readouterr().out
    assert "a?]0;titleb?[2Jc?31m" in printed
    assert not {"\x07", "\x9b", "\u202e", "\r"} & set(printed)
    assert ("\x1b[1m" in printed) == colours
    for steering in ("\x1b]", "\x1b[2J"):
        assert steering not in printed


def test_what_people_write_stays(capsys):
    _console().print("naïve 鳥 \u200fعربي\u200f 👩‍🔬 two\nlines")
    assert capsys.readouterr().out == "naïve 鳥 \u200fعربي\u200f 👩‍🔬 two\nlines\n"
