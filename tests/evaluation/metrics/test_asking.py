"""What ranking changes, how a model is asked, and what it takes."""

import pytest

from rar_agent.evaluation.metrics import Facts, measure
from rar_agent.evaluation.record import Ranked
from rar_agent.types import Usage
from tests.evaluation.records import by_name, judged, ranked, record


def asked(**said):
    return record("1", "a", retrieval="a,b", ranked="a,b", ranking=Ranked(**said))


def test_corrections_and_regressions():
    found = by_name(measure(ranked([1, 1, 0, 0, 0], [1, 0, 1, 1, 0])), "4-shot")
    assert found["ranked", "corrections"].value == pytest.approx(2 / 5)
    assert found["ranked", "regressions"].value == pytest.approx(1 / 5)
    gain = found["ranked", "gain by ranking"]
    assert gain.value == pytest.approx(1 / 5)
    assert gain.low < 0 < gain.high


def test_a_degraded_ranking_counts_as_users_get_it():
    records = ranked([1, 0], [1, 0])
    failed = Ranked(degraded=True, reason="no answer", parse_status="failed", calls=1)
    records[0] = records[0].model_copy(update={"ranking": failed})
    found = by_name(measure(records), "4-shot")
    assert found["ranked", "top-1"].value == 0.5
    assert found["ranked", "top-1"].note == "50.0 % are the retrieval order: ranking failed"
    assert found["ranked", "degraded"].value == 0.5
    assert found["ranked", "unreadable"].value == 0.5


def test_repairs_are_shares_of_answers():
    records = ranked([1] * 4, [1] * 4)
    said = [
        Ranked(calls=1, parse_status="repaired", repairs=3),
        Ranked(calls=1, parse_status="exact"),
        Ranked(),  # not asked: sure enough without
        Ranked(calls=1, parse_status="exact"),
    ]
    records = [r.model_copy(update={"ranking": s}) for r, s in zip(records, said, strict=True)]
    found = by_name(measure(records), "4-shot")
    assert found["ranked", "asked"].value == 0.75
    assert found["ranked", "repaired"].value == pytest.approx(1 / 3)
    assert found["ranked", "repaired"].note == "3 repairs"


def test_order_bias_by_hand():
    # Mean shares 0.7 and 0.3 of two letters: 0.2 from even, of 0.5 at most.
    letters = [(1.0, 0.0), (0.5, 0.5), (0.5, 0.5), (0.8, 0.2)]
    records = ranked([1] * 4, [1] * 4)
    records = [
        r.model_copy(update={"ranking": Ranked(calls=2, parse_status="exact", letters=shares)})
        for r, shares in zip(records, letters, strict=True)
    ]
    found = by_name(measure(records), "4-shot")["ranked", "order bias"]
    assert found.value == pytest.approx(0.4)
    fewer = asked(calls=1, parse_status="exact").model_copy(
        update={"cell": "4-shot, seed 1", "sample": "not in all rotations"}
    )
    found = by_name(measure([*records, fewer]), "4-shot")["ranked", "order bias"]
    assert (found.value, found.n) == (pytest.approx(0.4), 4)
    always = [
        r.model_copy(update={"ranking": Ranked(calls=3, parse_status="exact", letters=(0, 0, 1))})
        for r in records
    ]
    assert by_name(measure(always), "4-shot")["ranked", "order bias"].value == pytest.approx(1)
    one = by_name(measure(ranked([1], [1])), "4-shot")["ranked", "order bias"]
    assert one.why == "the options were not shown in all rotations"


def test_spending():
    records = ranked([1, 1, 1], [1, 1, 1], cost=0.002, tokens=300)
    found = by_name(measure(records), "4-shot")
    assert found["ranked", "cost"].value == pytest.approx(2.0)
    assert found["ranked", "cost"].unit == "dollars"
    assert found["ranked", "input tokens"].value == 300
    assert found["ranked", "output tokens"].value == 10


def test_what_was_answered_before_costs_what_it_cost_then():
    records = ranked([1, 1], [1, 1], cost=0.002, tokens=300)
    before = by_name(measure(records), "4-shot")
    usage = records[0].ranking.usage.again
    assert (usage.cost, usage.input_tokens, usage.cached) == (0, 0, 1)
    kept = Ranked(calls=1, parse_status="exact", usage=usage)
    records[0] = records[0].model_copy(update={"ranking": kept})
    found = by_name(measure(records), "4-shot")
    for name in ("cost", "input tokens", "output tokens"):
        now, then = found["ranked", name], before["ranked", name]
        assert (now.value, now.low, now.n) == (then.value, then.low, then.n)
    assert found["ranked", "cost"].note == "1 image answered before, and not billed again"
    unknown = asked(calls=1, parse_status="exact", usage=Usage(input_tokens=5, cost=None))
    found = by_name(measure([unknown]), "1-shot")
    assert found["ranked", "cost"].why == "the model's price is not known"
    assert found["ranked", "input tokens"].value == 5


def test_latency_and_failures():
    records = [
        r.model_copy(update={"timings_ms": {"total": float(at + 1)}})
        for at, r in enumerate(judged([1] * 100))
    ]
    found = by_name(measure(records, Facts(failed={"1-shot, seed 1": 25})), "1-shot")
    assert found[None, "latency p50"].value == 50
    assert found[None, "latency p95"].value == 95
    assert found[None, "latency p50"].low < 50 < found[None, "latency p50"].high
    assert found[None, "failed"].value == pytest.approx(0.2)
    assert by_name(measure(judged([1])), "1-shot")[None, "latency p50"].why == "nothing was timed"


def test_ranking_that_retrieval_was_not_kept_of():
    found = by_name(measure([record("1", "a", ranked="a")]), "1-shot")
    assert found["ranked", "gain by ranking"].why == "retrieval's own answers were not kept"
    assert found["ranked", "degraded"].why == "how the model was asked was not kept"
    assert found["ranked", "cost"].why == "how the model was asked was not kept"
