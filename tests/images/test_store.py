import gc
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.images import AdmittedImage, ImageStore, admit
from tests.conftest import draw
from tests.forks import Stuck, in_fork, needs_fork


@contextmanager
def full_disk():
    """No file may grow beyond 100 bytes."""
    resource = pytest.importorskip("resource")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_is_put_is_got():
    store, image = ImageStore(), admit(draw("red", 1))
    assert store.get(store.put(image)) is image
    assert image.sha256 in store


def test_unknown_hashes_and_paths_are_not_found(tmp_path):
    draw("red", 1).save(tmp_path / "x.png")
    for store in (ImageStore(), ImageStore(tmp_path)):
        for name in ("0" * 64, "x", "../x", str(tmp_path / "x.png")):
            assert name not in store
            with pytest.raises(NotFoundError):
                store.get(name)


def test_memory_is_bounded_and_the_last_image_stays():
    store = ImageStore(max_pixels=2 * 96 * 96)
    hashes = [store.put(admit(draw("red", i))) for i in range(4)]
    assert [h in store for h in hashes] == [False, False, True, True]
    large = store.put(admit(draw("red", 9, side=300)))
    assert large in store


def test_an_image_that_is_still_held_is_found_beyond_the_bound():
    store, held = ImageStore(max_pixels=1), admit(draw("red", 1))
    store.put(held)
    for i in range(2, 5):
        store.put(admit(draw("red", i)))
    assert store.get(held.sha256) is held


def test_a_place_survives_a_restart_with_the_same_pixels(tmp_path):
    image = admit(draw("blue", 3))
    ImageStore(tmp_path / "store").put(image)
    again = ImageStore(tmp_path / "store").get(image.sha256)
    assert np.array_equal(np.asarray(again.rgb), np.asarray(image.rgb))


def test_files_expire_by_age_and_size(tmp_path):
    first, second, third = (admit(draw("blue", i)) for i in (1, 2, 3))
    ImageStore(tmp_path, expiry_s=100).put(first)
    old = time.time() - 1000
    os.utime(tmp_path / f"{first.sha256}.image", (old, old))
    ImageStore(tmp_path, expiry_s=100).put(second)
    assert first.sha256 not in ImageStore(tmp_path)
    ImageStore(tmp_path, max_files_bytes=1).put(third)
    assert [i.sha256 in ImageStore(tmp_path) for i in (second, third)] == [False, True]


def test_bytes_are_kept_as_they_came(tmp_path):
    file = tmp_path / "x.jpg"
    draw("blue", 3).save(file, quality=60)
    image = admit(file, keep_encoded=True)
    ImageStore(tmp_path / "store").put(image)
    [kept] = (tmp_path / "store").iterdir()
    assert kept.read_bytes() == file.read_bytes()
    store = ImageStore(tmp_path / "store")
    assert np.array_equal(np.asarray(store.get(image.sha256).rgb), np.asarray(image.rgb))
    assert store.get(image.sha256).encoded is None  # pixels are enough in memory


def test_what_is_used_stays(tmp_path):
    hashes = [ImageStore(tmp_path, expiry_s=100).put(admit(draw("blue", i))) for i in (1, 2)]
    old = time.time() - 1000
    for one in tmp_path.iterdir():
        os.utime(one, (old, old))
    ImageStore(tmp_path).get(hashes[0])
    ImageStore(tmp_path, expiry_s=100).put(admit(draw("blue", 3)))
    assert [h in ImageStore(tmp_path) for h in hashes] == [True, False]


def test_a_user_s_own_files_are_left_alone(tmp_path):
    draw("red", 1).save(tmp_path / "holiday.jpg")
    (tmp_path / "album").mkdir()
    for one in tmp_path.iterdir():
        os.utime(one, (1, 1))
    for seed in (2, 3):
        ImageStore(tmp_path, max_files_bytes=1, expiry_s=1).put(admit(draw("blue", seed)))
    assert {"holiday.jpg", "album"} < {one.name for one in tmp_path.iterdir()}


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "images").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be kept in .*RAR_HOME"):
        ImageStore(tmp_path / "images").put(admit(draw("red", 1)))


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    image = replace(admit(draw("red", 1)), encoded=b"x" * 10_000)
    store = ImageStore(tmp_path)
    with full_disk(), pytest.raises(ConfigurationError, match="Make room"):
        store.put(image)
    assert not list(tmp_path.iterdir())
    store.put(image)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_was_never_written_is_written_again(tmp_path):
    image = admit(draw("red", 1))
    ImageStore(tmp_path).put(image)
    [file] = tmp_path.iterdir()
    file.write_bytes(b"")
    ImageStore(tmp_path).put(image)
    assert ImageStore(tmp_path).get(image.sha256)


def test_limits_are_for_what_comes_in(tmp_path, monkeypatch):
    image = admit(draw("red", 1))
    ImageStore(tmp_path).put(image)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as programs with large images do
    assert ImageStore(tmp_path).get(image.sha256)


@needs_fork
def test_a_fork_while_another_thread_looks():
    store, stuck = ImageStore(), Stuck()
    known = store.put(admit(draw("red", 1)))

    def look():
        with store._lock:
            stuck()

    with stuck.held(look):
        assert in_fork(lambda: known in store and store.get(known))


@pytest.mark.parametrize("whole_first", [True, False])
def test_an_image_in_more_and_in_less_detail(whole_first):
    """Who wants more has it while anyone holds it; the other is found when it alone is held."""
    whole = AdmittedImage("a" * 64, Image.new("RGB", (8, 8)), "x")
    reduced = AdmittedImage("a" * 64, Image.new("RGB", (4, 4)), "x")
    store = ImageStore(max_pixels=1)
    for image in (whole, reduced) if whole_first else (reduced, whole):
        store.put(image)
    assert store.get("a" * 64) is whole
    store.put(AdmittedImage("b" * 64, Image.new("RGB", (8, 8)), "y"))  # takes its place
    del whole, image
    gc.collect()
    assert store.get("a" * 64) is reduced
