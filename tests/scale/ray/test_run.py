"""What lies in a run's folder; no Ray is needed for it."""

import os
import sys

import numpy as np
import pytest

from rar_agent.batch import Entry, Journal
from rar_agent.errors import BusyError, ConfigurationError, DamagedDataError, ImageError, InputError
from rar_agent.images import Policy, admit
from rar_agent.images.admit import source_name
from rar_agent.memory import create_memory
from rar_agent.memory.readers import TableReader
from rar_agent.memory.readers.place import Cell, Packed, Span
from rar_agent.memory.teaching.seeing import Seen, Work
from rar_agent.recognizer import Recognizer
from rar_agent.scale.ray import RayEngine
from rar_agent.scale.ray.encoding import EncodingShards, packed, unpacked
from rar_agent.scale.ray.recognising import journal_of, try_failures_again
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.teaching import SeeingByRay
from rar_agent.scale.ray.worker import MOST_TRIES, Job, Worker
from rar_agent.scale.ray.written import read_back, written
from rar_agent.settings import load_settings
from rar_agent.types import Failure
from tests.memory.teaching.tiny import TinyEncoder, picture, png


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run", ".npz", 4)


def test_images_come_back_as_they_were(tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff.png")
    for path in (odd, tmp_path / "plain.png"):
        path.write_bytes(png("jay", 1))
    given = [odd, str(tmp_path / "plain.png"), png("jay", 2), picture("jay", 3)]
    given += [np.asarray(picture("jay", 4)), admit(png("jay", 5), detail=2)]
    back = list(read_back([written(image) for image in given]))
    for one, other in zip(back, given, strict=True):
        if not hasattr(one, "sha256"):
            one, other = admit(one), admit(other)
        assert (one.sha256, one.rgb.tobytes()) == (other.sha256, other.rgb.tobytes())
    assert back[5].name == given[5].name


def test_places_come_back(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"0123456789")
    [data, lost] = read_back(written(place) for place in [Span(file, 2, 3), Span(file, 9, 3)])
    assert data == b"234"
    assert "has become shorter" in str(lost)
    for place in (Packed(file, 1, 2), Cell(file, "image", 0, 1)):
        [lost] = read_back([written(place)])
        assert "cannot be read" in str(lost)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[object(), None]], object),
        np.zeros((2, 2, 3), np.float32),
        np.array(["a", ""]),
        np.array([], object),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4), np.uint8),
    ],
    ids=["objects", "floats", "texts", "nothing", "empty", "grey"],
)
def test_an_array_that_is_no_image_is_refused_as_ever(array):
    [back] = read_back([written(array)])
    told = []
    for one in (array, back):
        with pytest.raises(ImageError) as refused:
            admit(one)
        told.append((str(refused.value), source_name(one)))
    assert told[0] == told[1]


def test_what_only_this_process_can_read_is_refused(tmp_path):
    with (tmp_path / "a").open("w+b") as file, pytest.raises(InputError, match="this process only"):
        written(file)


def test_shards_by_number_of_images_and_by_bytes(run):
    run.write_down([b"1"] * 9)
    assert [len(run.lines(number)) for number in range(run.shards)] == [4, 4, 1]
    assert run.missing() == [0, 1, 2]
    run.keep(1, b"")
    assert run.missing() == [0, 2]
    run.write_down([b"1"] * 4 + [b"2"] + [b"1"] * 4)  # of a list that changed nothing is kept
    assert run.missing() == [0, 1, 2]
    large = Run(run.folder.with_name("large"), "", 4)
    large.write_down([bytes(16_000_000)] * 3)
    assert [len(large.lines(number)) for number in range(large.shards)] == [1, 1, 1]


def test_results_of_a_shard(tmp_path):
    rows = [
        Seen("ab", b"small", vector=np.array([1, 0], np.float32)),
        Failure(source="", error="no image", kind="ImageError"),
        Seen("cd", b"", vector=np.array([0, 1], np.float32)),
    ]
    (tmp_path / "a.npz").write_bytes(packed(rows, "list"))
    first, lost, second = unpacked(tmp_path / "a.npz", "list")
    assert (first.sha256, first.thumbnail, first.vector.tolist()) == ("ab", b"small", [1, 0])
    assert lost == rows[1]
    assert (second.sha256, second.thumbnail, second.vector.tolist()) == ("cd", b"", [0, 1])
    with pytest.raises(InputError, match="changed"):
        unpacked(tmp_path / "a.npz", "another")
    (tmp_path / "a.npz").write_bytes(packed(rows, "list")[:-30])
    with pytest.raises(DamagedDataError, match=r"a\.npz"):
        unpacked(tmp_path / "a.npz", "list")


def test_a_shard_that_is_done_is_not_done_again(run):
    run.keep(0, packed([], ""))
    EncodingShards(run, None).do(0, lambda: None)  # it has no list and no encoder, and needs none


def seen_by_ray(run, reader, encoder, lost=None):
    """What a driver is told, whose worker is this process, which does not see a file."""
    shards = EncodingShards(run, Work(encoder, Policy(), "one", 0))

    def done():
        if lost:
            lost.rename(lost.with_suffix(".lost"))
        for number in run.missing():
            shards.do(number, lambda: None)
            yield number
        if lost:
            lost.with_suffix(".lost").rename(lost)

    doing = done()
    seeing = SeeingByRay(run, reader, doing)
    items = [(0, sample) for sample in reader.samples()]
    found = [one for batch in seeing.batches(items, lambda *_: False) for _, one in batch]
    assert next(doing, None) is None
    return found


def table(folder, first):
    """A table of five images of its own, whose text is that of others."""
    folder.mkdir()
    names = [f"{i}.png" for i in range(5)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(png("jay", first + i))
    rows = "".join(f"{name},jay\n" for name in names)
    (folder / "labels.csv").write_text("image,category\n" + rows)
    return TableReader(folder / "labels.csv")


def test_other_images_of_the_same_text_are_not_taken_for_those(run, tmp_path):
    one = table(tmp_path / "v1", 0)
    hashes = [image.sha256 for image in seen_by_ray(run, one, TinyEncoder())]
    (tmp_path / "v1").rename(tmp_path / "before")
    other = table(tmp_path / "v1", 10)
    assert one.identity == other.identity
    assert not set(hashes) & {image.sha256 for image in seen_by_ray(run, other, TinyEncoder())}


def test_of_changed_images_the_shard_alone_is_encoded_again(run, tmp_path):
    reader, encoder = table(tmp_path / "v1", 0), TinyEncoder()
    before = seen_by_ray(run, reader, encoder)
    (tmp_path / "v1" / "4.png").write_bytes(png("owl", 9))
    after = seen_by_ray(run, reader, encoder)
    assert [one.sha256 == other.sha256 for one, other in zip(before, after, strict=True)] == [
        *4 * [True],
        False,
    ]
    assert encoder.images == 5 + 1


def test_failures_alone_are_tried_again(run, tmp_path):
    reader, encoder = table(tmp_path / "v1", 0), TinyEncoder()
    first = seen_by_ray(run, reader, encoder, lost=tmp_path / "v1" / "2.png")
    assert [isinstance(one, Failure) for one in first] == [False, False, True, False, False]
    again = seen_by_ray(run, reader, encoder)
    assert not any(isinstance(one, Failure) for one in again)
    assert encoder.images == 5
    assert [one.sha256 for one in again] == [
        admit(tmp_path / "v1" / f"{i}.png").sha256 for i in range(5)
    ]


def test_a_late_result_of_another_list_is_not_taken(run, tmp_path):
    reader = table(tmp_path / "v1", 0)
    hashes = [one.sha256 for one in seen_by_ray(run, reader, TinyEncoder())]
    run.keep(1, packed([Seen("of others", b"", vector=np.ones(2, np.float32))], "of others"))
    assert [one.sha256 for one in seen_by_ray(run, reader, TinyEncoder())] == hashes


def test_one_process_drives_a_run(run):
    with run.held(), pytest.raises(BusyError), run.held():
        pass


def test_a_run_is_listed_by_who_holds_it(tmp_path):
    engine = RayEngine(load_settings(home=tmp_path))
    with engine._listed("a", [b"1", b"2"]) as (run, _):
        assert len(run.lines(0)) == 2
        with pytest.raises(BusyError), engine._listed("a", [b"1", b"2"]):
            pass
        run.keep(0, b"")
        assert list(run.folder.parent.iterdir()) == [run.folder]
    with engine._listed("a", [b"1", b"2"]) as (again, _):
        assert (again, again.missing()) == (run, [])
        again.remove()
    with again.held():  # of one that was removed, or never listed, nothing is there but the lock
        pass
    with engine._listed("a", [b"1", b"2"]) as (anew, _):
        assert anew.missing() == [0]
    with engine._listed("a", []) as (none, _):
        assert none.shards == 0
    with engine._listed("other", [b"1", b"2"]) as (other, _):
        assert other.folder != run.folder


def test_what_is_removed_is_held(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    removed, remove = [], Run.remove

    def watched(run):
        if "new-" not in run.folder.name:
            with pytest.raises(BusyError), run.held():
                pass
            removed.append(run)
        remove(run)

    monkeypatch.setattr(Run, "remove", watched)
    engine = RayEngine(load_settings(home=tmp_path))
    work = Work(TinyEncoder(), Policy(), "one", 0)
    with engine.seeing(work, tmp_path / "birds", table(tmp_path / "v1", 0)):
        pass
    assert len(removed) == 1
    assert not removed[0].folder.exists()


def test_recognitions_that_failed_are_tried_again(run):
    run = Run(run.folder, ".done", 4)
    run.write_down([b"1"] * 8)
    for number, failed in ((0, True), (1, False)):
        with Journal(journal_of(run, number), "c") as journal:
            journal.append([Entry("0", {}, failed)])
        run.keep(number, b"")
    try_failures_again(run, "c")
    assert run.missing() == [0]


def test_a_folder_that_a_node_does_not_share(run):
    with run.held() as token:
        run.require_seen(token, "here")
        with pytest.raises(ConfigurationError, match="Node there does not see"):
            Run(run.folder.with_name("other"), "", 4).require_seen(token, "there")
        with pytest.raises(ConfigurationError):
            run.require_seen("of another driver", "there")


class Counting:
    def __init__(self, run):
        self.done = []

    def do(self, number, alive):
        alive()
        self.done.append(number)
        if number == 2:
            raise ZeroDivisionError("a bug")


def test_a_worker_says_what_was_wrong_and_never_raises(run):
    with run.held() as token:
        worker = Worker(Job(run, token, Counting, str(run.folder), 60))
        assert worker({"shard": 1}) == {"shard": 1, "kind": "", "message": "", "fix": ""}
        assert worker({"shard": 2})["kind"] == "ZeroDivisionError"
        stranger = Worker(Job(run, "another", Counting, "/", 60))
        assert stranger({"shard": 0})["kind"] == "ConfigurationError"


def test_a_shard_that_ends_all_its_workers_is_given_up(run):
    with run.held() as token:
        for _ in range(MOST_TRIES):
            run.try_again(3)
        worker = Worker(Job(run, token, Counting, str(run.folder), 60))
        told = worker({"shard": 3})
        assert told["kind"] == "InputError"
        assert "RAR_ISOLATE" in told["fix"]
        run.forget_tries()
        assert not worker({"shard": 3})["kind"]


def test_without_ray_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[ray\]'"):
        create_memory(tmp_path, "a", TinyEncoder(), {"jay": [png("jay", 1)]}, engine="ray")
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[ray\]'"):
        Recognizer(home=tmp_path).recognize_batch([png("jay", 1)], engine="ray")
    with pytest.raises(InputError, match="no engine 'spark'"):
        create_memory(tmp_path, "a", TinyEncoder(), {"jay": [png("jay", 1)]}, engine="spark")
