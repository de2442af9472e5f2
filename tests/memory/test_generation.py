"""Contract 2: a crash or damage at any point leaves the old or the new generation, or an error."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.encoders.base import normalize
from rar_agent.errors import DamagedDataError, NotFoundError, RarError
from rar_agent.memory import generation, open_memory, verify_memory
from rar_agent.memory.generation import read_manifest
from rar_agent.memory.manifest import EncoderRecord
from rar_agent.memory.segment import NewEntry, text_content, write_segment
from rar_agent.memory.write import Draft
from rar_agent.types import Category

RECORD = EncoderRecord(
    name="builtin",
    details={"dimension": "8"},
    precision="fp32",
    text_scale=20.0,
    names_help=False,
    templates=("{}",),
)


def extend(folder, categories=3, shots=2, seed=0, after=None):
    """Commit a generation with some categories more; needs no encoder."""
    draft = Draft.after(after) if after else Draft.new(folder, RECORD, 8)
    first = len(draft.categories)
    ids = draft.add_categories([Category(name=f"c{first + i}") for i in range(categories)])
    new = list(ids.values())[-categories:]
    entries = [
        NewEntry(c, "image", text_content(f"{seed}:{c}:{s}"), f"/photos/{c}/{s}.jpg")
        for c in new
        for s in range(shots)
    ]
    rows = np.random.default_rng(seed).normal(size=(len(entries), 8)).astype(np.float32)
    draft.segments.append(write_segment(folder, draft.next_entry, entries, normalize(rows)[0]))
    draft.next_entry += len(entries)
    return draft.commit("ready")


@pytest.fixture
def memory(tmp_path):
    return extend(tmp_path / "memories" / "m")


def opened(tmp_path):
    return open_memory(tmp_path, "m")


def contents(memory):
    return (
        [category.name for category in memory.categories],
        memory.entries.ids.tolist(),
        np.asarray(memory.entries.vectors).tolist(),
        [memory.entries.source(row) for row in range(len(memory.entries.ids))],
    )


def test_what_is_committed_is_what_is_opened(memory, tmp_path):
    assert contents(opened(tmp_path)) == contents(memory)
    later = extend(memory.folder, seed=1, after=memory)
    assert contents(opened(tmp_path)) == contents(later)
    assert opened(tmp_path).manifest.generation == 2


STEPS = ["before the manifest", "before CURRENT", "during CURRENT", "after CURRENT"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_the_old_or_the_new_generation(memory, tmp_path, monkeypatch, step):
    old = contents(memory)
    write = generation._write_durably

    def crashing(path, data):
        if step == "before the manifest" and path.suffix == ".json":
            raise SystemExit
        if step == "before CURRENT" and path.name == "CURRENT":
            raise SystemExit
        if step == "during CURRENT" and path.name == "CURRENT":
            path.with_name("CURRENT.tmp").write_bytes(data[: len(data) // 2])
            raise SystemExit
        write(path, data)
        if step == "after CURRENT" and path.name == "CURRENT":
            raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(generation, "_write_durably", crashing)
        with pytest.raises(SystemExit):
            extend(memory.folder, seed=1, after=memory)
    found = opened(tmp_path)
    assert found.manifest.generation == (2 if step == "after CURRENT" else 1)
    if step != "after CURRENT":
        assert contents(found) == old
    assert verify_memory(tmp_path, "m") == []
    # The next writer goes on, and leaves no draft behind.
    extend(memory.folder, seed=2, after=found)
    assert verify_memory(tmp_path, "m") == []
    assert not list(memory.folder.rglob("*.tmp"))


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from rar_agent.memory import open_memory
from tests.memory.test_generation import extend
home = Path({home!r})
while True:
    memory = open_memory(home, "m")
    extend(memory.folder, 1, 2, memory.manifest.generation, memory)
    print(memory.manifest.generation + 1, flush=True)
"""


@pytest.mark.slow
def test_kill_minus_nine_at_random_points(memory, tmp_path, request):
    random = np.random.default_rng(0)
    code = KILLED.format(root=str(request.config.rootpath), home=str(tmp_path))
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        said = int(writer.stdout.readline())
        for _ in range(int(random.integers(1, 30))):
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout.read().split())])
        writer.wait()
        found = opened(tmp_path)
        # What was said to be committed is there; at most one more was under way.
        assert said <= found.manifest.generation <= said + 1
        assert len(found.categories) == found.manifest.generation + 2
        assert verify_memory(tmp_path, "m") == []


def test_readers_survive_the_writers_clean_up(memory, tmp_path):
    reader = opened(tmp_path)
    before = contents(reader)
    later = memory
    for seed in range(1, 6):
        later = extend(memory.folder, seed=seed, after=later)
    assert contents(reader) == before
    assert len(list((memory.folder / "generations").iterdir())) == 2


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_is_an_error_or_changes_nothing(memory, tmp_path, data):
    """Any flipped, cut or missing file: open fails with our error, or verify names the file."""
    home = tmp_path / "damaged"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(tmp_path / "memories", home / "memories")
    whole = contents(open_memory(home, "m"))
    files = sorted(p for p in (home / "memories" / "m").rglob("*") if p.is_file())
    files = [p for p in files if p.name != "writer.lock" and p.stat().st_size]
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "missing"]))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
    elif kind == "cut":
        path.write_bytes(content[:place])
    else:
        path.unlink()
    try:
        found = open_memory(home, "m")
        vectors = np.eye(1, 8, dtype=np.float32)
        found.search(vectors, np.ones(1, np.float32))
    except RarError:
        return
    assert verify_memory(home, "m") or contents(found) == whole


def test_unknown_versions_say_what_to_do(memory, tmp_path):
    import hashlib

    folder = memory.folder
    path = folder / "generations" / "000001.json"
    manifest = {**json.loads(path.read_bytes()), "format_version": 2}
    data = json.dumps(manifest).encode()
    path.write_bytes(data)
    current = {"generation": 1, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "CURRENT").write_text(json.dumps(current))
    with pytest.raises(DamagedDataError, match=r"format version 2.*Install"):
        opened(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="memory create nosuch"):
        open_memory(tmp_path, "nosuch")
    with pytest.raises(NotFoundError):
        read_manifest(tmp_path)
