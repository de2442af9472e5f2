"""A disk that is full in the middle of a change: an error that says so, and the old generation."""

import shutil
from random import Random

import pytest

from rar_agent.memory import create_memory, delete_memory, open_memory, verify_memory
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.open import open_generation
from rar_agent.memory.teaching import learn, seeing
from tests.disks import done_in, small_disk
from tests.memory.format.committed import leftovers
from tests.memory.teaching.expected import SIDE, Change, Expected, some_samples
from tests.memory.teaching.tiny import TinyEncoder

SAMPLES = some_samples(Random(7), 60, True)
KNOWN = Expected().after_teaching(SAMPLES)
NAMES = sorted(KNOWN.categories)
CHANGES = {
    "teach": Change("teach", (some_samples(Random(3), 12, True),)),
    "remove": Change("remove", (NAMES[:2], [])),
    "rename": Change("update", (NAMES[0],), {"rename": "yew"}),
    "merge": Change("merge", ([NAMES[1]], NAMES[0])),
    "compact": Change("compact"),
}
MOST = 200  # pages or files that any of this needs


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    home = tmp_path_factory.mktemp("kept")
    create_memory(home, "m", TinyEncoder(), SAMPLES, thumbnails=SIDE)
    return home


@pytest.fixture(params=["bytes", "files"])
def leaving(request, disk):
    """Leaves the disk that many of what there may be too few of."""
    return disk.leaving if request.param == "bytes" else disk.leaving_names


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_made_or_nothing_is(disk, leaving, kept, kind):
    home, change = disk.path / "home", CHANGES[kind]
    now, new = KNOWN.digest(), KNOWN.after(change).digest()
    for room in range(MOST):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(kept, home)
        if done_in(leaving(room), disk, lambda: change.apply(home, "m", TinyEncoder())):
            break
        assert Expected.of(open_memory(home, "m")).digest() == now
        assert verify_memory(home, "m") == []
        assert leftovers(memory_folder(home, "m")) == []  # what was in vain takes no room
        change.apply(home, "m", TinyEncoder())
        assert Expected.of(open_memory(home, "m")).digest() == new
    assert 3 <= room < MOST
    assert Expected.of(open_memory(home, "m")).digest() == new
    assert verify_memory(home, "m") == []


def test_a_build_goes_on_when_there_is_room(disk, leaving, monkeypatch):
    monkeypatch.setattr(seeing, "CPU_BATCH", 4)
    monkeypatch.setattr(learn, "SEGMENT", 8)  # so that a few images are committed in parts
    home, resumed = disk.path / "home", 0
    folder = memory_folder(home, "m")
    for room in range(0, MOST, 2):
        shutil.rmtree(home, ignore_errors=True)
        if done_in(
            leaving(room),
            disk,
            lambda: create_memory(home, "m", TinyEncoder(), SAMPLES, thumbnails=SIDE),
        ):
            break
        known = 0
        if (folder / "CURRENT").exists():
            known = len(open_generation(folder, read_manifest(folder)).entries)
            assert verify_memory(home, "m") == []
            assert leftovers(folder) == []
        else:
            assert {path.name for path in folder.rglob("*") if path.is_file()} <= {"writer.lock"}
        encoder = TinyEncoder()
        memory = create_memory(home, "m", encoder, SAMPLES, thumbnails=SIDE).memory
        assert Expected.of(memory).digest() == KNOWN.digest()
        assert encoder.images == memory.image_count - known
        resumed += known > 0
    assert resumed or not disk.mounted  # a limit on single files may strike before the first part
    assert room < MOST
    assert Expected.of(open_memory(home, "m")).digest() == KNOWN.digest()


def test_a_memory_can_be_deleted_to_make_room(disk, kept):
    home = disk.path / "home"
    shutil.copytree(kept, home)
    with disk.leaving(0):
        delete_memory(home, "m")
    assert list(home.rglob("*.*")) == []
