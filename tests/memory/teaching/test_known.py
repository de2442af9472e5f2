"""Which images are known: every one that was added, no other, and in how many bytes."""

import hashlib
import tracemalloc

from rar_agent.memory import create_memory, open_memory, remove_from_memory
from rar_agent.memory.teaching.known import KnownImages
from tests.memory.teaching.tiny import TinyEncoder, png


def sha256(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_each_that_was_added_is_known_in_its_category():
    known = KnownImages(None)
    for i in range(20_000):  # sorted in several times
        known.add(i % 7, sha256(i))
    known.add(6, sha256(0))
    for i in range(20_000):
        assert known.has(i % 7, sha256(i))
        assert known.has_anywhere(sha256(i))
    assert known.has(6, sha256(0))
    for i in range(20_000, 21_000):
        assert not known.has_anywhere(sha256(i))
    assert not any(known.has((i + 1) % 7, sha256(i)) for i in range(1, 20_000))


def test_those_of_a_memory_are_known_until_they_are_removed(tmp_path):
    shown = {name: [png(name, i) for i in range(3)] for name in ("ash", "fir")}
    memory = create_memory(tmp_path, "m", TinyEncoder(), shown).memory
    gone = memory.entries_of(1)[0]
    remove_from_memory(tmp_path, "m", entries=[gone.id])
    known = KnownImages(open_memory(tmp_path, "m"))
    for number, contents in enumerate(shown.values()):
        for i, content in enumerate(contents):
            digest = hashlib.sha256(content).hexdigest()
            there = (number, i) != (1, 0)
            assert known.has(number, digest) == known.has_anywhere(digest) == there
            assert not known.has(1 - number, digest)


def test_a_new_image_takes_few_bytes():
    """Ten million are to fit in 0.3 GB, also while they are sorted in."""
    count = 200_000
    digests = [sha256(i) for i in range(count)]
    tracemalloc.start()
    known = KnownImages(None)
    for i, digest in enumerate(digests):
        known.add(i % 1_000, digest)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now / count < 24
    assert peak / count < 30
