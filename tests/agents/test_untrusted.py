"""What a model may be told has nothing that a terminal may not be shown."""

import sys

from rar_agent.agents.untrusted import plain
from rar_agent.telemetry import UNPRINTABLE


def test_what_steers_a_terminal_is_no_part_of_what_a_model_is_told():
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert len(UNPRINTABLE.findall(every)) > 2_000  # controls, directions, half characters
    assert not UNPRINTABLE.search(plain(every, len(every)))
