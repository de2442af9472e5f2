"""Accuracy on clustered vectors; `clustered` says of what kind."""

import numpy as np
import pytest

from rar_agent.errors import InputError
from rar_agent.memory.index import recall
from rar_agent.memory.index.exact import nearest_exact
from rar_agent.memory.index.recall import measure_recall, tune

KINDS = pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivf-pq"])


@KINDS
def test_the_planned_effort_is_near_the_wanted_recall(built, kind):
    assert measure_recall(built.open(kind), built.vectors, built.queries) >= 0.9


@KINDS
@pytest.mark.parametrize("wanted", [0.95, 0.99])
@pytest.mark.parametrize("modality", ["queries", "texts"])
def test_tuning_reaches_the_wanted_recall(built, kind, wanted, modality):
    queries = getattr(built, modality)
    index = built.open(kind)
    tuned = tune(index, built.vectors, queries, wanted)
    assert tuned.reached
    assert tuned.recall >= wanted
    assert tuned.index.spec.effort >= index.spec.effort
    found = tuned.index.nearest(queries, 10)[1]
    exact = nearest_exact(queries, built.vectors, 10)[1]
    shares = [
        len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)
    ]
    assert np.mean(shares) == pytest.approx(tuned.recall, abs=1e-3)


def test_little_effort_finds_little_and_more_finds_more(built):
    index = built.open("ivf")
    recalls = [
        measure_recall(index.with_effort(effort), built.vectors, built.texts)
        for effort in (1, 4, 256)
    ]
    assert recalls[0] < recalls[1] < recalls[2] == 1


def test_codes_without_reranking_lose_what_no_effort_brings_back(built):
    """So recall is also reached by re-ranking more."""
    index = built.open("ivf-pq").with_effort(256, rerank=1)
    assert measure_recall(index, built.vectors, built.queries) < 0.9
    tuned = tune(index, built.vectors, built.queries, 0.97)
    assert tuned.reached
    assert tuned.index.spec.rerank > 1


def test_a_recall_out_of_reach_is_said(built, monkeypatch):
    index = built.open("ivf").with_effort(1)
    monkeypatch.setattr(recall, "MOST_EFFORT", 2)
    tuned = tune(index, built.vectors, built.texts, 0.999)
    assert not tuned.reached
    assert tuned.index.spec.effort == 2
    assert tuned.recall == measure_recall(tuned.index, built.vectors, built.texts) < 0.999


def test_no_queries_or_an_impossible_recall_is_refused(built):
    with pytest.raises(InputError):
        measure_recall(built.open("ivf"), built.vectors, built.queries[:0])
    with pytest.raises(InputError):
        tune(built.open("ivf"), built.vectors, built.queries, 95)
