"""A disk that is full in the middle of an exchange."""

import shutil

import pytest

from rar_agent.memory import create_memory, open_memory
from rar_agent.memory.format.location import list_memories
from tests.disks import done_in, small_disk
from tests.memory.teaching.expected import SIDE, Expected
from tests.memory.teaching.test_full_disk import KNOWN, MOST, SAMPLES
from tests.memory.teaching.tiny import TinyEncoder

pytest.importorskip("pyarrow", reason="the extra 'data' is not installed")
from rar_agent.memory.exchange.export import export_memory
from rar_agent.memory.exchange.importing import import_memory


@pytest.fixture
def memory(tmp_path):
    return create_memory(tmp_path, "m", TinyEncoder(), SAMPLES, thumbnails=SIDE).memory


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def test_an_import_leaves_nothing_behind(disk, memory, tmp_path):
    exported = export_memory(memory, tmp_path / "exported")
    home = disk.path / "home"
    for room in range(MOST):
        if done_in(disk.leaving(room), disk, lambda: import_memory(home, "m", exported)):
            break
        assert list_memories(home) == []
        assert [path for path in home.rglob("*") if path.is_file()] == []
        shutil.rmtree(home, ignore_errors=True)
    assert 3 <= room < MOST
    assert Expected.of(open_memory(home, "m")).digest() == KNOWN.digest()


def test_an_export_leaves_nothing_behind_and_can_be_repeated(disk, memory):
    folder = disk.path / "exported"
    for room in range(MOST):
        if done_in(disk.leaving(room), disk, lambda: export_memory(memory, folder)):
            break
        assert not folder.exists() or list(folder.iterdir()) == []
    assert 3 <= room < MOST
    assert (folder / "memory.json").stat().st_size
