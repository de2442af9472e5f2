"""The file of answers: shared, killed, filled up, damaged."""

import hashlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from rar_agent.models.cache import AnswerCache


def key(name):
    return hashlib.sha256(str(name).encode()).digest()


WRITER = """
import hashlib, sys
from pathlib import Path
from rar_agent.models.cache import AnswerCache
cache, start, count = AnswerCache(Path(sys.argv[1]), 50), int(sys.argv[2]), int(sys.argv[3])
for n in range(start, start + count):
    cache.put(hashlib.sha256(str(n).encode()).digest(), f"answer {n} " * 50)
    print(n, flush=True)
"""


def writer(path, start, count):
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "answers.sqlite"


def test_what_is_put_is_there_in_the_next_process_too(path):
    cache = AnswerCache(path, 10)
    assert cache.get(key(1)) is None
    cache.put(key(1), "one")
    cache.put(key(2), "two")
    cache.put(key(2), "two, again")
    found = [AnswerCache(path, 10).get(key(n)) for n in (1, 2, 3)]
    assert found == ["one", "two, again", None]


@pytest.mark.slow
def test_processes_write_at_the_same_time(path):
    writers = [writer(path, start, 150) for start in (0, 100, 200, 300)]  # they overlap
    for one in writers:
        _, errors = one.communicate(timeout=60)
        assert (one.returncode, errors) == (0, "")
    cache = AnswerCache(path, 50)
    assert all(cache.get(key(n)) == f"answer {n} " * 50 for n in range(450))


def test_a_forked_process_opens_the_file_itself(path):
    cache = AnswerCache(path, 10)
    cache.put(key("parent"), "x")
    inherited = cache._connection
    child = os.fork()
    if not child:
        cache.put(key("child"), cache.get(key("parent")))
        os._exit(cache._connection is inherited)
    assert os.waitpid(child, 0)[1] == 0
    assert cache._connection is inherited
    assert cache.get(key("child")) == "x"


@pytest.mark.slow
def test_what_was_put_before_a_kill_is_there_after_it(path):
    writers = [writer(path, start, 1_000_000) for start in (0, 1_000_000)]
    written = []
    for one in writers:
        assert one.stdout is not None
        written += [int(one.stdout.readline()) for _ in range(100)]
    for one in writers:
        os.kill(one.pid, signal.SIGKILL)
        rest, _ = one.communicate(timeout=30)
        written += [int(line) for line in rest.split("\n")[:-1]]
    cache = AnswerCache(path, 50)
    assert all(cache.get(key(n)) == f"answer {n} " * 50 for n in written)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    cache.put(key("after"), "goes on")
    assert cache.get(key("after")) == "goes on"


def test_the_file_stays_under_its_size_and_loses_what_was_used_longest_ago(path):
    cache = AnswerCache(path, 1)
    cache.put(key("loved"), "x" * 10_000)
    for n in range(300):
        cache.put(key(n), "x" * 10_000)
        assert cache.get(key("loved"))
    there = [n for n in range(300) if cache.get(key(n))]
    assert there == list(range(there[0], 300))
    assert 60 <= len(there) <= 100
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size <= 1_000_000


def test_a_smaller_size_makes_room_at_the_next_answer(path):
    cache = AnswerCache(path, 10)
    for n in range(300):
        cache.put(key(n), "x" * 10_000)
    AnswerCache(path, 0.5).put(key("new"), "y")
    assert cache.get(key("new")) == "y"
    assert sum(bool(cache.get(key(n))) for n in range(300)) < 50


def test_an_answer_larger_than_the_file_may_be_is_not_kept(path):
    cache = AnswerCache(path, 0.1)
    cache.put(key(1), "x" * 1_000_000)
    assert cache.get(key(1)) is None
    cache.put(key(2), "y")
    assert cache.get(key(2)) == "y"


def begin(path):
    cache = AnswerCache(path, 10)
    for n in range(100):
        cache.put(key(n), "x" * 2_000)
    for file in path.parent.iterdir():  # as after a power cut that took the log
        if file.name.endswith(("-wal", "-shm")):
            with sqlite3.connect(path) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return cache


def garble(path):
    path.write_bytes(b"no database " * 1_000)


def cut(path):
    path.write_bytes(path.read_bytes()[:20_000])


def scribble(path):
    data = bytearray(path.read_bytes())
    data[4_096:-4_096] = os.urandom(len(data) - 8_192)
    path.write_bytes(data)


def somebody_elses(path):
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE answers(question TEXT)")


@pytest.mark.parametrize("damage", [garble, cut, scribble, somebody_elses])
def test_a_damaged_file_is_set_aside(path, caplog, damage):
    begin(path)._connection.close()
    damage(path)
    damaged = path.read_bytes()
    cache = AnswerCache(path, 10)
    with caplog.at_level(logging.WARNING, "rar_agent"):
        for n in range(100):
            if cache.get(key(n)) is None:
                cache.put(key(n), "new")
    assert caplog.text.count("was damaged") == 1
    assert path.with_name("answers.sqlite.damaged").stat().st_size == len(damaged)
    assert [AnswerCache(path, 10).get(key(n)) for n in (0, 99)] == ["new", "new"]


def test_damage_under_open_files_costs_nobody_the_new_one(path, caplog):
    one, two = begin(path), AnswerCache(path, 10)
    assert two.get(key(1))
    scribble(path)
    with caplog.at_level(logging.WARNING, "rar_agent"):
        for n in range(100):
            one.put(key(n), "new")
        for n in range(100):
            two.put(key(n), "newer")
    there = [AnswerCache(path, 10).get(key(n)) for n in range(100)]
    assert set(there[1:]) == {"newer"}
    assert {one.get(key(n)) for n in range(1, 100)} == {"newer"}


def test_a_file_that_is_deleted_while_it_is_open_is_no_matter(path):
    cache = begin(path)
    for file in list(path.parent.iterdir()):
        file.unlink()
    cache.put(key("new"), "x")
    other = AnswerCache(path, 10)
    other.put(key(1), "y")
    assert other.get(key(1)) == "y"


def test_no_place_for_the_file_is_said_once(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    cache = AnswerCache(tmp_path / "cache" / "answers.sqlite", 10)
    with caplog.at_level(logging.WARNING, "rar_agent"):
        for _ in range(3):
            cache.put(key(1), "x")
            assert cache.get(key(1)) is None
    assert caplog.text.count("answers are not kept") == 1


def test_a_reader_does_not_wait_for_a_writer(path):
    cache = begin(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    assert cache.get(key(1)) == "x" * 2_000
    assert time.monotonic() - start < 1.9  # and not the two seconds that a writer waits
    cache.put(key("new"), "x")  # goes without, in the end
    assert time.monotonic() - start < 10
    other.execute("ROLLBACK")
    assert cache.get(key("new")) is None
    cache.put(key("new"), "x")
    assert cache.get(key("new")) == "x"
