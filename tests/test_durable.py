"""Small files that are there whole or not at all."""

import pytest

from rar_agent.durable import replace_file
from tests.disks import FULL, read_only, small_disk

OLD, NEW = b"old" * 4_000, b"new" * 5_000


@pytest.mark.parametrize("names", [False, True], ids=["bytes", "files"])
def test_a_full_disk_leaves_the_old_content_and_no_draft(tmp_path, names):
    with small_disk(tmp_path / "disk") as disk:
        path = disk.path / "folder" / "x.json"
        replace_file(path, OLD)
        leaving = disk.leaving_names if names else disk.leaving
        for room in range(64):
            try:
                with leaving(room):
                    replace_file(path, NEW)
                break
            except OSError as error:
                assert error.strerror in FULL.split("|")  # noqa: PT017 - it may also succeed
                assert path.read_bytes() == OLD
                assert list(path.parent.iterdir()) == [path]
        assert 0 < room < 63
        assert path.read_bytes() == NEW


def test_a_folder_that_may_only_be_read(tmp_path):
    path = tmp_path / "folder" / "x.json"
    replace_file(path, OLD)
    with read_only(path.parent), pytest.raises(OSError, match=r"Read-only|Permission denied"):
        replace_file(path, NEW)
    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]
