"""What the tools ask: one recognizer, and others like it."""

import pytest

from rar_agent.agents import AgentContext, recognizers
from rar_agent.agents.recognizers import Recognizers
from rar_agent.errors import InputError
from tests.forks import Stuck, in_fork, needs_fork


def test_each_is_made_once_and_few_are_kept(recognizer, monkeypatch):
    monkeypatch.setattr(recognizers, "_MOST", 2)
    asked = Recognizers(recognizer)
    assert asked.of() is asked.of("discs") is recognizer
    other = asked.of("other")
    assert asked.of("other") is other
    assert [chosen.memory for chosen in asked._known] == ["discs", "other"]


def test_what_cannot_be_used_is_not_kept(recognizer):
    asked = Recognizers(recognizer)
    for name in ("nosuch", "../discs"):
        with pytest.raises(InputError, match="There is: discs, other"):
            asked.of(name)
    assert AgentContext("nosuch") not in asked._known


@needs_fork
def test_a_fork_while_one_is_made(recognizer):
    asked, stuck = Recognizers(recognizer), Stuck()

    def make():
        with asked._lock:
            stuck()

    with stuck.held(make):
        assert in_fork(lambda: asked.of() is recognizer)
