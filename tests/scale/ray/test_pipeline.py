import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from rar_agent.scale.ray import pipeline
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.worker import Job
from tests.conftest import eventually

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Endless:
    """Begins what does shard 0 at once, and any other never; leaves its process's number."""

    folder: Path

    def __call__(self, run):
        (self.folder / str(os.getpid())).touch()
        return _Endless(run)


class _Endless:
    def __init__(self, run):
        self._run = run

    def do(self, number, alive):
        while number:
            time.sleep(0.1)
        self._run.keep(number, b"")


def test_who_no_longer_waits_ends_what_drives_from_afar(ray, tmp_path):
    run = Run(tmp_path / "run", ".done", 1)
    run.write_down([b"1", b"2"])
    began = tmp_path / "began"
    began.mkdir()
    with run.held() as token:
        job = Job(run, token, Endless(began), str(tmp_path), 300)
        rows = pipeline._from_afar(job, [0, 1], 1, 0.0)
        assert next(rows)["shard"] == 0
        [worker] = began.iterdir()
        assert Path("/proc", worker.name).exists()
        rows.close()
        eventually(lambda: not Path("/proc", worker.name).exists(), limit_s=60)
