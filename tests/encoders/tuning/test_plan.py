"""What runs, by settings and tuning; and when a tuning holds no more."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rar_agent import garbage
from rar_agent.encoders.engines.make import machine, versions
from rar_agent.encoders.tuning import (
    Agreement,
    Chosen,
    Measured,
    Plan,
    Tuning,
    Way,
    keep_lower,
    plan_of,
    read_tuning,
    write_tuning,
)
from rar_agent.encoders.tuning.measure import choose, refusal
from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from tests.disks import FULL, small_disk

INT8 = "int8-0123abcd"
ALIKE = Agreement(images=400, same=396, low=0.97, high=0.996, difference=0.1)


def measured(engine="torch", precision="fp32", speed=10.0, refused="", batch=8):
    return Measured(
        engine=engine,
        precision=precision,
        batch_size=batch,
        images_s=speed,
        refused=refused,
        agreement=ALIKE,
    )


def tuning(**changes):
    rows = (
        measured(),
        measured("openvino", "fp32", 20),
        measured("openvino", INT8, 40, batch=16),
        measured("torch", "bf16", 15),
    )
    fields = {
        "encoder": "builtin",
        "identity": "id",
        "device": "cpu",
        "machine": machine("cpu"),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "created": "2026-01-01T00:00:00+00:00",
        "images": "400 held-out exemplars",
        "memory": "birds",
        "rounds": 5,
        "measured": rows,
        "chosen": Chosen(engine="openvino", precision="fp32", batch_size=8),
        "lower": Chosen(engine="openvino", precision=INT8, batch_size=16),
        "why": "it is faster",
    }
    return Tuning(**{**fields, **changes})


def way(precision, engine="openvino", device="cpu"):
    return Way(precision, engine, device)


def ran(measured=(), known=True, **asked):
    plan = plan_of(Settings(**asked), "cpu", tuning() if known else None, measured)
    return plan.engine, plan.precision, plan.batch_size


@pytest.fixture(params=[True, False])
def passes(request, monkeypatch):
    """How many images a pass has where nothing was tuned: fewer where malloc does not keep."""
    monkeypatch.setattr(garbage, "_keeps", request.param)
    return 8 if request.param else 4


def test_without_a_tuning_nothing_changes(passes):
    assert plan_of(Settings(), "cpu", None) == Plan("torch", "fp32", passes)
    assert plan_of(Settings(), "cuda", None) == Plan("torch", "fp32", 32)
    assert plan_of(Settings(batch_size=2), "cpu", None) == Plan("torch", "fp32", 2)
    assert ran(known=False, precision="bf16") == ("torch", "bf16", passes)
    assert ran(known=False, precision="int8") == ("openvino", "int8", passes)


def test_a_tuning_decides_what_the_settings_leave_open(passes):
    assert ran() == ("openvino", "fp32", 8)
    assert ran(batch_size=4) == ("openvino", "fp32", 4)
    assert ran(engine="torch") == ("torch", "fp32", passes)
    assert ran(precision="bf16") == ("torch", "bf16", 8)
    assert ran(precision="int8") == ("openvino", INT8, 16)
    assert ran(precision="fp32") == ("openvino", "fp32", 8)
    assert ran(precision="fp16") == ("torch", "fp16", passes)


def test_fp32_as_asked_is_what_was_chosen_not_what_is_faster_by_chance(passes):
    plain = tuning(chosen=Chosen(engine="torch", precision="fp32", batch_size=8))
    plan = plan_of(Settings(precision="fp32"), "cpu", plain)
    assert (plan.engine, plan.batch_size) == ("torch", passes)
    plan = plan_of(
        Settings(), "cpu", tuning(chosen=Chosen(engine="torch", precision="fp32", batch_size=2))
    )
    assert plan.batch_size == 2


def test_precision_is_lowered_only_for_a_memory_that_has_its_drift_on_record(passes):
    assert ran([way(INT8)]) == ("openvino", INT8, 16)
    assert ran([way("int8-ffffffff"), way("bf16")]) == ("openvino", "fp32", 8)
    assert ran([way(INT8)], precision="fp32") == ("openvino", "fp32", 8)
    assert ran([way(INT8)], engine="torch") == ("torch", "fp32", passes)
    other_ways = [way(INT8, "torch"), way(INT8, device="cuda")]
    assert ran(other_ways) == ("openvino", "fp32", 8)


def test_what_is_kept_is_read_again(tmp_path):
    write_tuning(tmp_path, tuning())
    assert read_tuning(tmp_path, "builtin", "cpu", "id") == tuning()
    assert read_tuning(tmp_path, "builtin", "cuda", "id") is None
    assert [path.suffix for path in (tmp_path / "tuning").iterdir()] == [".json"]


def test_a_lower_precision_that_was_not_tried_again_stays():
    before = tuning()
    plain = tuning(lower=None, measured=(measured(), measured("openvino", "fp32", 20)))
    for tried in ((), ("bf16",)):
        kept = keep_lower(plain, before, tried)
        assert kept.lower == before.lower
        assert f"{INT8} by openvino was allowed before, and stays" in kept.why
        assert kept.fastest("int8") == before.fastest("int8")
    assert keep_lower(plain, before, ["int8"]) == plain
    assert keep_lower(plain, None, ()) == plain
    other = Chosen(engine="torch", precision="bf16", batch_size=8)
    assert keep_lower(plain.model_copy(update={"lower": other}), before, ["bf16"]).lower == other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"identity": "another"}, "the encoder changed"),
        ({"machine": "another"}, "the machine changed"),
        ({"threads": 99}, "the machine changed"),
        ({"versions": {**versions(), "torch": "1.0"}}, "packages changed: torch"),
    ],
)
def test_what_holds_no_more_is_not_used_and_told_once(tmp_path, caplog, changes, says):
    write_tuning(tmp_path, tuning(**changes))
    with caplog.at_level(logging.WARNING, "rar_agent"):
        assert read_tuning(tmp_path, "builtin", "cpu", "id") is None
        assert read_tuning(tmp_path, "builtin", "cpu", "id") is None
    assert [says in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[1]"])
def test_a_damaged_file_counts_as_none(tmp_path, data):
    write_tuning(tmp_path, tuning())
    [path] = (tmp_path / "tuning").iterdir()
    path.write_bytes(data)
    assert read_tuning(tmp_path, "builtin", "cpu", "id") is None


def test_what_is_refused():
    assert refusal("fp32", 1e-6, None) == ""
    assert "not equal" in refusal("fp32", 1e-4, ALIKE)
    assert "under 99.5 %" in refusal("bf16", 0.01, ALIKE)
    assert refusal("bf16", 0.01, ALIKE.model_copy(update={"same": 398})) == ""
    assert refusal(INT8, 0.1, ALIKE) == ""
    assert "no memory" in refusal(INT8, 0.1, None)


speeds = st.floats(0.1, 1e4)
rows = st.builds(
    measured,
    st.sampled_from(["torch", "compile", "openvino"]),
    st.sampled_from(["fp32", "bf16", INT8]),
    speeds,
    st.sampled_from(["", "not equal"]),
)


@given(others=st.lists(rows, max_size=8), plain=speeds)
def test_what_is_chosen_is_never_refused_nor_lower_unasked_nor_slower(others, plain):
    every = [measured(speed=plain), *others]
    chosen, lower, _ = choose(every)
    assert chosen.precision == "fp32"
    for one in filter(None, (chosen, lower)):
        same = [m for m in every if (m.engine, m.precision) == (one.engine, one.precision)]
        assert any(not m.refused for m in same)
        assert max(m.images_s for m in same if not m.refused) >= plain
    if lower:
        assert lower.precision != "fp32"


def test_a_tuning_that_finds_no_room_leaves_the_one_before(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        write_tuning(disk.path, tuning())
        with (
            disk.leaving(0),
            pytest.raises(ConfigurationError, match=f"'{disk.path}.*' cannot be written: ({FULL})"),
        ):
            write_tuning(disk.path, tuning(why="another"))
        assert read_tuning(disk.path, "builtin", "cpu", "id") == tuning()
