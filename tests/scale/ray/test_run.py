"""What lies in a run's folder; no Ray is needed for it."""

import os
import sys

import numpy as np
import pytest

from rar_agent.errors import BusyError, ConfigurationError, DamagedDataError, InputError
from rar_agent.images import admit
from rar_agent.memory import create_memory
from rar_agent.memory.readers.place import Cell, Packed, Span
from rar_agent.memory.teaching.seeing import Seen
from rar_agent.recognizer import Recognizer
from rar_agent.scale.ray.encoding import EncodingShards, packed, unpacked
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.worker import MOST_TRIES, Job, Worker
from rar_agent.scale.ray.written import read_back, written
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


def test_what_only_this_process_can_read_is_refused(tmp_path):
    with (tmp_path / "a").open("w+b") as file, pytest.raises(InputError, match="this process only"):
        written(file)


def test_shards_by_number_of_images_and_by_bytes(run):
    run.write_down([b"1"] * 9)
    assert [len(run.lines(number)) for number in range(run.shards)] == [4, 4, 1]
    assert run.missing() == [0, 1, 2]
    run.keep(1, b"")
    assert run.missing() == [0, 2]
    run.write_down([b"other"])  # it is written down once
    assert run.shards == 3
    large = Run(run.folder.with_name("large"), "", 4)
    large.write_down([bytes(16_000_000)] * 3)
    assert [len(large.lines(number)) for number in range(large.shards)] == [1, 1, 1]


def test_results_of_a_shard(tmp_path):
    rows = [
        Seen("ab", b"small", vector=np.array([1, 0], np.float32)),
        Failure(source="", error="no image", kind="ImageError"),
        Seen("cd", b"", vector=np.array([0, 1], np.float32)),
    ]
    (tmp_path / "a.npz").write_bytes(packed(rows))
    first, lost, second = unpacked(tmp_path / "a.npz")
    assert (first.sha256, first.thumbnail, first.vector.tolist()) == ("ab", b"small", [1, 0])
    assert lost == rows[1]
    assert (second.sha256, second.thumbnail, second.vector.tolist()) == ("cd", b"", [0, 1])
    (tmp_path / "a.npz").write_bytes(packed(rows)[:-30])
    with pytest.raises(DamagedDataError, match=r"a\.npz"):
        unpacked(tmp_path / "a.npz")


def test_a_shard_that_is_done_is_not_done_again(run):
    run.keep(0, packed([]))
    EncodingShards(run, None).do(0, lambda: None)  # it has no list and no encoder, and needs none


def test_one_process_drives_a_run(run):
    with run.held(), pytest.raises(BusyError), run.held():
        pass


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
