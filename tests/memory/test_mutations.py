"""Memories from elsewhere: a few of what `python -m fuzz.memories` runs by the hundred thousand."""

import os
import sys
import time

import pytest

memories = pytest.importorskip("fuzz.memories", reason="not of the package", exc_type=ImportError)
memories_outcome = pytest.importorskip("fuzz.memories_outcome", exc_type=ImportError)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

SEEDS = range(300)
FOUND_ONCE = (1_644, 6_066, 51_610, 52_742, 59_728)
"""Seeds of mutations that were once neither refused by name nor right."""


def test_mutated_memories_are_refused_by_name_or_right():
    totals = memories.Totals()
    with memories.made() as those:
        memories.run(those, [*SEEDS, *FOUND_ONCE], totals)
    assert totals.findings == []
    assert sum(totals.outcomes.values()) == len(SEEDS) + len(FOUND_ONCE)
    assert set(totals.outcomes) == {"refused", "refused by verify", "the same", "right"}


@pytest.mark.parametrize(
    ("crash", "said"),
    [
        (lambda: os.kill(os.getpid(), 9), "exit -9"),
        (lambda: [0] * (1 << 40), "MemoryError"),
        (lambda: time.sleep(60), "longer than"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_crash_is_a_finding(monkeypatch, crash, said):
    """The harness itself: what it is there to see, it sees, and goes on after it."""
    asked = []

    def outcome(home, mutation, known):
        asked.append(mutation)
        if len(asked) == 2:
            crash()
        return "right"

    monkeypatch.setattr(memories_outcome, "outcome", outcome)
    monkeypatch.setattr(memories, "SECONDS", 3.0)
    totals = memories.Totals()
    with memories.made() as those:
        memories.run(those, [7, 8, 9, 10], totals)
    assert totals.findings[0]["seed"] == 8
    assert said in totals.findings[0]["why"]
    assert totals.outcomes["right"] >= 2
