"""A process that runs a suite: `python -m tests.evaluation.runner HOME SUITE OUT`."""

import sys
from pathlib import Path

from rar_agent.evaluation.run import prepare_run
from rar_agent.evaluation.suite import load_suite
from rar_agent.settings import load_settings

if __name__ == "__main__":
    home, suite, out = map(Path, sys.argv[1:])
    settings = load_settings(home=home, device="cpu", batch_size=4)
    prepare_run(load_suite(str(suite), home), settings, out).go_on()
