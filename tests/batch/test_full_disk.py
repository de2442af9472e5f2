"""A journal on a disk that fills up keeps what it said it has, and the work goes on from there."""

import pytest

from rar_agent.batch import Entry, Journal, read_journal, run
from tests.disks import done_in, small_disk

KEYS = [str(number) for number in range(40)]


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.mark.parametrize("size", [100, 700, 2_000])
def test_what_was_acknowledged_stays_and_nothing_else_is_done_twice(disk, size):
    asked, kept = [], []
    path = disk.path / "run" / "journal.jsonl"

    def work(keys):
        for key in keys:
            asked.append(key)
            yield Entry(key, {"n": key, "text": "x" * size})
            kept.append(key)  # it is asked for more once this one is written

    def go_on():
        with Journal(path, "c") as journal:
            run(journal, KEYS, work, share=8)

    stopped = 0
    for room in range(200):
        if done_in(disk.leaving(room), disk, go_on):
            break
        stopped += 1
        assert [entry.key for entry in read_journal(path, "c")] == kept
        with Journal(path, "c") as journal:  # what is half is dropped, and is no damage
            assert list(journal.entries) == kept
    assert stopped
    assert kept == KEYS
    assert len(asked) <= len(KEYS) + stopped
    lines = path.read_bytes().splitlines()
    assert len(lines) == 1 + len(KEYS)


def test_no_room_for_the_files(disk):
    path = disk.path / "run" / "journal.jsonl"
    for room in range(10):
        if done_in(disk.leaving_names(room), disk, lambda: Journal(path, "c").close()):
            break
