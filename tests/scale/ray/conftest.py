import os
import sys
from pathlib import Path

import pytest

from rar_agent.scale.ray.cluster import attached


@pytest.fixture(scope="session")
def ray():
    """Ray, running on this machine for all tests of a process, which attach to it."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    root = str(Path(__file__).parents[3])  # workers import what tests define
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [before])])
    try:
        with attached(None):
            yield sys.modules["ray"]
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
