import os
import signal
import subprocess
import sys
import tarfile
from io import BytesIO

import numpy as np
import pytest

from rar_agent.errors import BusyError, FingerprintMismatchError
from rar_agent.memory import add_to_memory, create_memory
from rar_agent.memory.readers import FolderReader, SampleReader, ShardReader, TableReader, chain
from rar_agent.scale.ray import RayEngine, engine
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.conftest import eventually
from tests.memory.teaching.tiny import TinyEncoder, picture, png
from tests.scale.ray.worlds import Loads

pytestmark = pytest.mark.slow

KINDS = ("jay", "robin", "wren")
EACH = 8
IMAGES = len(KINDS) * EACH


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(engine, "_TAUGHT", 4)  # so that there are some shards


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home", ray_workers=2)


def pictures(first=0):
    """Names of categories and encoded images, one of them none."""
    found = [(kind, png(kind, first + i)) for kind in KINDS for i in range(EACH)]
    return [*found[:5], ("jay", b"no image"), *found[5:]]


def folder(place):
    for number, (kind, data) in enumerate(pictures()):
        (place / "birds" / kind).mkdir(parents=True, exist_ok=True)
        (place / "birds" / kind / f"{number:02d}.png").write_bytes(data)
    return FolderReader(place / "birds")


def parquet(place):
    pa = pytest.importorskip("pyarrow", reason="needs the extra data")
    import pyarrow.parquet as pq

    held = [({"bytes": data, "path": None}, kind) for kind, data in pictures(first=20)]
    rows = [{"image": image, "label": kind, "seen": 3} for image, kind in held]
    pq.write_table(pa.Table.from_pylist(rows), place / "birds.parquet", row_group_size=10)
    return TableReader(place / "birds.parquet")


def shards(place, suffix=".tar"):
    for half in range(2):
        mode = "w:gz" if suffix.endswith("gz") else "w"
        with tarfile.open(place / f"birds-{half}{suffix}", mode) as tar:
            for number, (kind, data) in enumerate(pictures(first=40)):
                if number % 2 == half:
                    for name, held in ((f"{number}.png", data), (f"{number}.cls", kind.encode())):
                        info = tarfile.TarInfo(name)
                        info.size = len(held)
                        tar.addfile(info, BytesIO(held))
    return ShardReader(str(place / f"birds-*{suffix}"))


def files(place):
    """A folder, Parquet and WebDataset."""
    return chain(folder(place), parquet(place), shards(place))


def others(place):
    """What lies in this process's memory, repeats, packed shards and names alone."""
    return chain(
        SampleReader(
            {
                "jay": [png("jay", 0), png("jay", 0), picture("jay", 30)],
                "owl": [np.asarray(picture("owl", 1)), b"none", np.array([None]), png("jay", 0)],
            }
        ),
        shards(place, ".tar.gz"),
        SampleReader([(Category(name="auk", description="a bird"), [])]),
    )


def known(memory):
    """What a memory holds, but for its vectors."""
    entries = memory.entries
    rows = range(len(entries))
    kept = entries.fields(np.arange(len(entries)))
    return (
        [category.model_dump() for category in memory.categories],
        [int(number) for number in memory.categories.ids],
        [(int(f["id"]), int(f["category"]), bytes(f["content"])) for f in kept],
        [(entries.source(row), entries.thumbnail(row)) for row in rows],
        (memory.manifest.next_entry, memory.manifest.next_category, memory.manifest.dimension),
    )


def vectors(memory):
    return memory.entries.vectors(np.arange(len(memory.entries)))


def scores(memory, encoder):
    """Of all categories, for new images."""
    images = [picture(kind, 99) for kind in (*KINDS, "owl")]
    rows, norms = encoder.encode_images_with_norms(images)
    found = memory.search(rows, norms, k=memory.category_count)
    return [{c.category.name: c.score for c in one.candidates} for one in found]


def assert_same(ours, local, encoder):
    assert known(ours.memory) == known(local.memory)
    np.testing.assert_allclose(vectors(ours.memory), vectors(local.memory), atol=1e-5)
    for one, other in zip(scores(ours.memory, encoder), scores(local.memory, encoder), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert ours.failures == local.failures
    assert (ours.added, ours.known, ours.conflicts) == (local.added, local.known, local.conflicts)


@pytest.mark.parametrize(
    ("inputs", "failed", "more"),
    [(files, 3, {"thumbnails": 4}), (others, 3, {"views": "flip", "domain": "birds"})],
    ids=["files", "others"],
)
def test_the_memory_is_the_local_one(ray, tmp_path, settings, inputs, failed, more):
    reader, encoder = inputs(tmp_path), TinyEncoder()
    local = create_memory(settings.home, "local", encoder, reader, **more)
    elsewhere = RayEngine(settings, load=Loads(tmp_path))
    ours = create_memory(settings.home, "ours", encoder, reader, engine=elsewhere, **more)
    assert ours.failed == failed
    assert_same(ours, local, encoder)
    assert not list((settings.home / "ray").iterdir())  # nothing is left
    assert ray.is_initialized()  # who attaches ends nothing


@pytest.mark.parametrize("how", ["die", "hang"])
def test_workers_that_dawdle_and_then_die_or_hang(ray, tmp_path, settings, how):
    reader, encoder = folder(tmp_path), TinyEncoder()
    local = create_memory(settings.home, "local", encoder, reader)
    world = Loads(tmp_path, at=6, how=how)
    patient = settings.model_copy(update={"ray_patience_s": 4 if how == "hang" else 60})
    elsewhere = RayEngine(patient, load=world)
    ours = create_memory(settings.home, "ours", encoder, reader, engine=elsewhere)
    assert {file.name for file in tmp_path.glob("once-*")} == {"once-dawdled", f"once-{how}"}
    assert_same(ours, local, encoder)
    assert IMAGES <= world.encoded <= IMAGES + 4  # the shard it was in, at most


DRIVER = """
import sys
from pathlib import Path
from rar_agent.memory import create_memory
from rar_agent.memory.readers import FolderReader
from rar_agent.scale.ray import RayEngine, engine
from rar_agent.settings import load_settings
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.ray.worlds import Loads

engine._TAUGHT = 4
place, address = Path(sys.argv[1]), sys.argv[2]
settings = load_settings(home=place / "home", ray_workers=2, ray_address=address)
world = Loads(place, at=10, how="hang")
reader = FolderReader(place / "birds")
create_memory(settings.home, "ours", TinyEncoder(), reader, engine=RayEngine(settings, load=world))
"""


def test_a_driver_that_was_killed_goes_on(ray, tmp_path, settings):
    reader, encoder, world = folder(tmp_path), TinyEncoder(), Loads(tmp_path)
    address = ray.get_runtime_context().gcs_address
    here = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on loopback, as the cluster
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path), address], env=here)
    try:
        done = settings.home / "ray"
        eventually(lambda: len(list(done.glob("*/done/*.npz"))) >= 3, limit_s=120)
        with pytest.raises(BusyError):
            create_memory(settings.home, "ours", encoder, reader, engine=RayEngine(settings))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = world.encoded
    left = 4 * 7 - 4 * len(list(done.glob("*/done/*.npz")))
    ours = create_memory(
        settings.home, "ours", encoder, reader, engine=RayEngine(settings, load=world)
    )
    local = create_memory(settings.home, "local", encoder, reader)
    assert_same(ours, local, encoder)
    assert left - 4 <= world.encoded - before <= left


def test_an_interrupted_run_goes_on(ray, tmp_path, settings):
    reader, encoder, world = folder(tmp_path), TinyEncoder(), Loads(tmp_path)
    elsewhere = RayEngine(settings, load=world)

    def interrupt(done, total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_memory(settings.home, "ours", encoder, reader, progress=interrupt, engine=elsewhere)
    before = world.encoded
    assert before >= 7  # and one that is none
    ours = create_memory(settings.home, "ours", encoder, reader, engine=elsewhere)
    assert ours.added + ours.known == IMAGES
    assert ours.memory.image_count == IMAGES
    assert world.encoded <= IMAGES + 2 * 4  # the shards that both workers were at


def test_adding(ray, tmp_path, settings):
    reader, encoder = folder(tmp_path), TinyEncoder()
    for name in ("local", "ours"):
        create_memory(
            settings.home, name, encoder, {"jay": [png("jay", 2)], "auk": [png("auk", 0)]}
        )
    local = add_to_memory(settings.home, "local", encoder, reader)
    elsewhere = RayEngine(settings, load=Loads(tmp_path))
    ours = add_to_memory(settings.home, "ours", encoder, reader, engine=elsewhere)
    assert ours.known == 1
    assert_same(ours, local, encoder)


def test_another_encoder_in_a_worker_is_refused(ray, tmp_path, settings):
    elsewhere = RayEngine(settings, load=Loads(tmp_path, weights="others"))
    with pytest.raises(FingerprintMismatchError, match="weights"):
        create_memory(settings.home, "ours", TinyEncoder(), folder(tmp_path), engine=elsewhere)
