"""The wall clock may be wrong, and jump by years: it decides nothing that is waited for or lost."""

import ast
import os
import time
from pathlib import Path
from random import Random

import pytest

from rar_agent.images import ImageStore, admit
from rar_agent.memory import add_to_memory, create_memory, open_memory, verify_memory
from rar_agent.models.cache import AnswerCache
from rar_agent.models.capabilities import KEPT_DAYS, Capabilities
from tests.conftest import draw
from tests.memory.teaching.expected import Expected, some_samples
from tests.memory.teaching.tiny import TinyEncoder
from tests.test_source import Names

PACKAGE = Path(__file__).parents[1] / "rar_agent"
CLOCKS = {
    *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "strftime", "ctime")),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    *("datetime.date.today", "time.clock_gettime"),
}
TOLD = "told to people alone"
ALLOWED = {
    ("doctor.py", "time.localtime"): TOLD,
    ("doctor.py", "time.strftime"): TOLD,
    ("encoders/engines/kept.py", "time.time"): "drafts go that nobody has touched for two days",
    ("encoders/tuning/measure.py", "datetime.datetime.now"): TOLD,
    ("evaluation/run.py", "time.gmtime"): TOLD,
    ("evaluation/run.py", "time.strftime"): TOLD,
    ("graph/calibrate.py", "datetime.datetime.now"): TOLD,
    ("images/store.py", "time.time"): "images that wait expire; what was just put stays",
    ("memory/format/lock.py", "time.time"): TOLD,
    ("memory/teaching/draft.py", "datetime.datetime.now"): TOLD,
    ("models/capabilities.py", "time.time"): "what is of the future, or old, is learnt again",
    ("scale/milvus/claim.py", "time.time"): "a claim lasts two minutes, on clocks that agree",
}
YEARS = 10 * 365 * 86_400


def test_every_use_of_the_wall_clock_is_known():
    """Time limits, retries and budgets go by clocks that nobody sets."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = Names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name) and names.of(node) in CLOCKS:
                found.add((path.relative_to(PACKAGE).as_posix(), names.of(node)))
    assert found == ALLOWED.keys()


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock of this process, by seconds from what is right."""
    real = time.time, time.time_ns

    def put(seconds):
        monkeypatch.setattr(time, "time", lambda: real[0]() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: real[1]() + int(seconds * 1e9))

    return put


def test_generations_follow_each_other_whatever_the_clock_says(tmp_path, clock):
    first, second = some_samples(Random(0), 20, True), some_samples(Random(3), 12, True)
    known = Expected().after_teaching(first)
    clock(YEARS)
    create_memory(tmp_path, "m", TinyEncoder(), first)
    clock(-YEARS)
    add_to_memory(tmp_path, "m", TinyEncoder(), second)
    memory = open_memory(tmp_path, "m")
    assert memory.manifest.generation == 2
    assert Expected.of(memory).digest() == known.after_teaching(second).digest()
    assert verify_memory(tmp_path, "m") == []


def test_new_answers_take_the_place_of_old_ones_after_the_clock_was_set_back(tmp_path, clock):
    cache = AnswerCache(tmp_path / "answers.sqlite", 0.2)
    for at, offset in enumerate((YEARS, 0, -YEARS)):
        clock(offset)
        for number in range(100):
            cache.put(f"{at} {number}".encode(), "x" * 3_000)
        assert cache.get(f"{at} 99".encode())
        assert cache.get(f"{at} 80".encode())
    assert cache.get(b"0 99") is None


def test_what_a_server_refuses_is_learnt_again_after_a_jump(tmp_path, clock):
    Capabilities("http://server", "m", tmp_path).refuse({"schema"})
    for offset, kept in ((0, True), (-60, False), (KEPT_DAYS * 86_400 + 60, False), (60, True)):
        clock(offset)
        assert (Capabilities("http://server", "m", tmp_path).refused == {"schema"}) is kept
    clock(-YEARS)
    Capabilities("http://server", "m", tmp_path).refuse({"logprobs"})
    assert Capabilities("http://server", "m", tmp_path).refused == {"logprobs"}


def test_an_image_that_was_just_put_stays(tmp_path, clock):
    images = [admit(draw("red", seed)) for seed in range(4)]
    for image in images[:3]:
        ImageStore(tmp_path).put(image)
    for file in tmp_path.iterdir():  # the clock was ten years ahead
        os.utime(file, (time.time() + YEARS,) * 2)
    ImageStore(tmp_path, max_files_bytes=1).put(images[3])
    assert ImageStore(tmp_path).get(images[3].sha256)
    assert len(list(tmp_path.iterdir())) == 1
    clock(YEARS)  # it is again
    ImageStore(tmp_path).put(images[0])
    assert [image.sha256 in ImageStore(tmp_path) for image in images] == [True, False, False, False]
