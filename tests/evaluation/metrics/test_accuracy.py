import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.evaluation.intervals import wilson
from rar_agent.evaluation.metrics import Facts, measure
from rar_agent.evaluation.record import Ranked
from tests.evaluation.records import answer, by_name, judged, record


def test_accuracies_of_a_worked_example():
    records = [
        record("1", "wren", retrieval="wren,tit,owl,jay,kite"),  # right
        record("2", "wren", retrieval="tit,wren,owl,jay,kite"),  # second
        record("3", "wren", retrieval="wren,tit,owl,jay,kite"),
        record("4", "tit", retrieval="owl,jay,kite,hen,wren"),  # not retrieved
        record("5", "owl", retrieval="jay,kite,hen,wren,tit,owl"),  # sixth
    ]
    found = by_name(measure(records, Facts(rare=frozenset({"tit", "owl"}))), "1-shot")
    value = {
        name: found["retrieval", name].value for _, name in found if ("retrieval", name) in found
    }
    assert value["top-1"] == pytest.approx(2 / 5)
    assert value["top-5"] == pytest.approx(3 / 5)
    assert value["recall@k"] == pytest.approx(4 / 5)
    assert value["top-1 given retrieved"] == pytest.approx(2 / 4)
    assert value["macro top-1"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert value["rare top-1"] == 0
    assert found["retrieval", "top-1"].low == pytest.approx(wilson(0.4, 5).low)
    assert found["retrieval", "top-1 given retrieved"].n == 4
    assert found["retrieval", "recall@k"].note == "k = 6"


def test_what_cannot_be_computed_says_why():
    found = by_name(measure([record("1", "wren", retrieval="tit,owl", alone="tit")]), "1-shot")
    assert found["retrieval", "top-5"].value is None
    assert found["retrieval", "top-5"].why == "the answers name 2 categories at most"
    assert found["alone", "recall@k"].why.startswith("nothing is retrieved")
    assert "never among" in found["retrieval", "top-1 given retrieved"].why
    assert "rare" in found["retrieval", "rare top-1"].why
    rare = Facts(rare=frozenset({"hen"}))
    found = by_name(measure([record("1", "wren", knn="tit")], rare), "1-shot")
    assert found["knn", "rare top-1"].why == "no image of a rare category was asked about"


def test_few_categories_have_a_top_5():
    facts = Facts(known={"1-shot, seed 1": 2})
    found = by_name(measure([record("1", "wren", retrieval="tit,wren")], facts), "1-shot")
    assert found["retrieval", "top-5"].value == 1.0


def test_a_model_alone_is_wrong_where_the_truth_was_not_shown():
    asked = Ranked(shown=2)
    records = [
        record("1", "wren", alone="wren,tit", asked_alone=asked),
        record("2", "owl", alone="wren,tit", asked_alone=asked),
    ]
    found = by_name(measure(records, Facts(known={"1-shot, seed 1": 8})), "1-shot")
    assert found["alone", "top-1"].value == 0.5
    assert found["alone", "top-1"].note.startswith("25.0 % of the categories were shown")
    assert found["alone", "top-1 given retrieved"].why.startswith("nothing is retrieved")


def test_cells_and_their_groups():
    records = judged([1, 1, 0, 0]) + judged([1, 1, 1, 0], "1-shot, seed 2")
    records += judged([1, 1, 1, 1], "zero-shot")
    metrics = [m for m in measure(records) if m.name == "top-1"]
    assert [(m.cell, m.cells, m.value) for m in metrics] == [
        ("1-shot", 2, 0.625),
        ("1-shot, seed 1", 1, 0.5),
        ("1-shot, seed 2", 1, 0.75),
        ("zero-shot", 1, 1.0),
    ]


def test_an_image_counts_once():
    with pytest.raises(InputError, match=r"'0.jpg' has two records"):
        measure(judged([1]) + judged([1]))


def test_no_records_have_no_metrics():
    assert measure([]) == []


@st.composite
def _records(draw):
    names = ["wren", "tit", "owl", "jay", "hen", "kite"]
    cells = draw(st.sampled_from([["a"], ["a, seed 1", "a, seed 2"], ["a, seed 1", "b, seed 1"]]))
    found = []
    for cell in cells:
        for sample in range(draw(st.integers(0, 6))):
            order = draw(st.permutations(names))
            size = draw(st.integers(0, 6))
            p = draw(st.sampled_from([None, 0.0, 0.25, 0.5, 0.5, 1.0]))
            ways = draw(st.sets(st.sampled_from(["knn", "retrieval", "ranked", "alone"])))
            given = answer(*order[:size], p=p if size else None, accepted=draw(st.booleans()))
            truth = draw(st.sampled_from(names))
            found.append(record(f"{sample}", truth, cell, **dict.fromkeys(ways, given)))
    return found


@given(_records(), st.randoms(use_true_random=False))
def test_every_metric_is_within_its_bounds_whatever_the_order(records, random):
    metrics = measure(records)
    for m in metrics:
        assert (m.value is None) == bool(m.why)
        assert m.formula
        assert m.interval
        if m.value is None:
            continue
        least, most = {"share": (0, 1), "difference": (-1, 1), "cosine": (-1, 1)}.get(
            m.unit, (0, np.inf)
        )
        assert least <= m.value <= most
        if m.low is not None and m.high is not None:
            assert least <= m.low <= m.value + 1e-9
            assert m.value - 1e-9 <= m.high <= most
    random.shuffle(records)
    key = lambda m: (m.cell, m.way or "", m.name)  # noqa: E731
    for one, other in zip(sorted(metrics, key=key), sorted(measure(records), key=key), strict=True):
        assert key(one) == key(other)
        for limit in ("value", "low", "high"):
            assert getattr(one, limit) == pytest.approx(getattr(other, limit), abs=1e-9)


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong(right):
    records = judged([right] * 30, ps=[0.9] * 30)
    found = by_name(measure(records), "1-shot")
    share = found["retrieval", "top-1"]
    assert share.value == right
    assert share.high - share.low == pytest.approx(wilson(0, 30).high)
    assert found["retrieval", "AURC"].value == (not right)
    assert found["retrieval", "AURC"].high > found["retrieval", "AURC"].low
    assert "nothing to tell apart" in found["retrieval", "AUROC"].why
