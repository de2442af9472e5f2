"""An index that does not fit on the disk is an error and no file, however FAISS ends."""

import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.memory.index.build import build_index
from rar_agent.memory.index.parameters import spec_for
from rar_agent.memory.index.read import open_index
from rar_agent.memory.index.trust import Trust
from tests.disks import FULL, small_disk
from tests.memory.index.conftest import clustered, mapped

COUNT, DIMENSION = 600, 8


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_half_file_is_never_taken_for_a_whole_one(tmp_path, disk, kind):
    vectors = mapped(tmp_path, clustered(COUNT, DIMENSION)[0])
    spec, path = spec_for(kind, COUNT, DIMENSION, 0.95, "image"), disk.path / "x.index"
    build_index(vectors, spec, path)
    pages = -(-path.stat().st_size // disk.page)
    path.unlink()
    assert pages > 5
    for room in {*range(0, pages, 1 + pages // 16), pages - 1}:
        with (
            disk.leaving(room),
            pytest.raises(ConfigurationError, match=f"'{path}' cannot be written: ({FULL})"),
        ):
            build_index(vectors, spec, path)
        assert not path.exists()
    with disk.leaving(pages):
        build_index(vectors, spec, path)
    assert open_index(path, spec, vectors)


def test_what_this_machine_wrote_is_recorded_or_not_trusted(disk, tmp_path):
    file, digest = tmp_path / "x", "0" * 64
    file.write_bytes(b"x")
    trust = Trust(disk.path / "state")
    with disk.leaving(0), pytest.raises(ConfigurationError, match=f"{disk.path}.*({FULL})"):
        trust.written(file, digest)
    assert not trust.may_parse(file, digest)
    trust.written(file, digest)
    assert trust.may_parse(file, digest)
