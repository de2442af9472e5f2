"""Mirrors follow: never back to an older generation, and past writers that commit meanwhile."""

import threading

import pytest

from rar_agent.errors import DamagedDataError
from rar_agent.locks import locked
from rar_agent.memory import create_memory, open_memory
from rar_agent.memory.format.origin import origin_of
from rar_agent.scale.milvus.origin import MilvusOrigin
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.process import run
from tests.scale.milvus.test_equivalence import photos

pytestmark = pytest.mark.slow


@pytest.fixture
def taught(tmp_path, address):
    create_memory(tmp_path, address, TinyEncoder(), photos(6, "ash", "birch"))
    return tmp_path


TWICE = """
add_to_memory(home, address, TinyEncoder(), photos(6, 'fir'))
add_to_memory(home, address, TinyEncoder(), photos(6, 'oak'))
"""


def test_a_reader_that_is_overtaken_twice_opens_the_newest(taught, address, monkeypatch):
    """Two commits while it mirrors remove the files that it is about to read."""
    fetch, overtaken = MilvusOrigin.fetch, []

    def slowly(self, *given):
        if not overtaken:
            overtaken.append(run(TWICE, taught / "elsewhere", address))
        fetch(self, *given)

    monkeypatch.setattr(MilvusOrigin, "fetch", slowly)
    found = open_memory(taught / "third", address)
    assert overtaken[0][0] == 0, overtaken
    assert found.manifest.generation == 3
    assert len(found.entries) == 24


def test_damage_is_told_where_nobody_commits(taught, address):
    memory = open_memory(taught, address)
    [ref] = [ref for ref in memory.manifest.files() if ref.name.endswith("entries")]
    origin_of(memory.folder).files.drop(ref.name)
    with pytest.raises(DamagedDataError, match=r"Row '.*\.entries/0{8}' .* is missing"):
        open_memory(taught / "third", address)


def test_what_was_asked_before_the_lock_is_asked_again(taught, address, monkeypatch):
    """Another process of this machine mirrored a newer generation meanwhile."""
    folder = open_memory(taught, address).folder
    assert run(TWICE.split("\n")[1], taught / "elsewhere", address)[0] == 0
    origin, mirrored, asked = origin_of(folder), [], threading.Event()
    valid, mirror = MilvusOrigin.valid, MilvusOrigin._mirror

    def first(self):
        found = valid(self)
        asked.set()
        return found

    def counted(self, place, current, size):
        mirrored.append(current)
        mirror(self, place, current, size)

    monkeypatch.setattr(MilvusOrigin, "valid", first)
    monkeypatch.setattr(MilvusOrigin, "_mirror", counted)
    with locked(folder / "pull.lock"):
        reader = threading.Thread(target=origin.pull, args=(folder,))
        reader.start()
        assert asked.wait(20)
        done = run(TWICE.split("\n")[2], taught / "elsewhere", address)
        assert done[0] == 0, done
    reader.join(60)
    assert [b'"generation": 3' in current for current in mirrored] == [True]
    assert b'"generation": 3' in (folder / "CURRENT").read_bytes()
