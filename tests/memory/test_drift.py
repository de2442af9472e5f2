"""Drift: which ways of running an encoder are on record, and a copy without some exemplars."""

import os

import pytest

from rar_agent.encoders.base import Fingerprint
from rar_agent.encoders.tuning import Way
from rar_agent.errors import BusyError, ConfigurationError
from rar_agent.memory.drift import keep_drifts, recorded, require_recorded, to_hold_out, without
from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.memory.format.lock import writer_lock
from tests.disks import done_in, small_disk
from tests.memory.arrays import clusters, memory_of


def record(memory, precision, engine="torch", device="cpu"):
    return DriftRecord(
        precision=precision,
        engine=engine,
        device=device,
        images=10,
        of="photos",
        top1=1.0,
        low=0.7,
        high=1.0,
        difference=0.0,
        created="2026-01-01T00:00:00+00:00",
        entries=memory.image_count,
        next_entry=memory.manifest.next_entry,
    )


INT8 = "int8-0123abcd"


@pytest.fixture
def memory(tmp_path):
    found = clusters(categories=6, shots=8)
    return memory_of(tmp_path, images=found.by_label())


def test_a_way_is_on_record_by_precision_engine_and_device(memory, tmp_path):
    keep_drifts(tmp_path, "m", [record(memory, "bf16"), record(memory, "bf16", "torch", "cuda")])
    after = keep_drifts(tmp_path, "m", [record(memory, "bf16", "compile", "cuda")])
    assert recorded(after) == {Way("bf16", "torch", "cpu"), Way("bf16", "compile", "cuda")}


def test_int8_on_record_is_that_model_by_that_engine(memory, tmp_path):
    def ask(precision, engine):
        require_recorded(after, Fingerprint({}, precision, engine))

    after = keep_drifts(tmp_path, "m", [record(memory, INT8, "openvino")])
    ask(INT8, "openvino")
    for precision, engine in ((INT8, "compile"), ("int8-ffffffff", "openvino")):
        with pytest.raises(ConfigurationError, match="was not measured"):
            ask(precision, engine)


def test_a_copy_is_made_while_nobody_writes_and_is_gone_afterwards(memory):
    memories = memory.folder.parent
    left = memories / ".drift-killed"
    left.mkdir()
    os.utime(left, (0, 0))
    held = to_hold_out(memory)
    with without(memory, held) as asked:
        assert asked.image_count == memory.image_count - len(held)
        assert not (asked.folder / "writer.json").exists()
        assert not left.exists()
    assert [path.name for path in memories.iterdir()] == ["m"]
    with writer_lock(memory.folder), pytest.raises(BusyError), without(memory, held):
        pytest.fail("it copied what somebody writes to")


@pytest.mark.parametrize("names", [False, True])
def test_a_copy_that_finds_no_room_says_so_and_is_gone(tmp_path, names):
    with small_disk(tmp_path / "disk") as disk:
        memory = memory_of(disk.path, images=clusters(categories=6, shots=8).by_label())
        held = to_hold_out(memory)

        def copied():
            with without(memory, held) as asked:
                assert asked.image_count == memory.image_count - len(held)

        leaving = disk.leaving_names if names else disk.leaving
        for room in range(100):
            if done_in(leaving(room), disk, copied):
                break
            assert [path.name for path in memory.folder.parent.iterdir()] == ["m"]
        assert 3 <= room < 99
