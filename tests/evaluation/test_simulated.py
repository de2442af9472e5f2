"""The simulated ranker is as right as it says."""

import numpy as np
import pytest

from rar_agent.errors import InputError
from rar_agent.evaluation.simulated import SimulatedRanker
from rar_agent.types import Candidate, Category

CANDIDATES = [
    Candidate(category=Category(name=name), probability=0.2, score=0.0, evidence=("image",))
    for name in "abcde"
]


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.8, 1.0])
def test_it_is_right_as_often_as_it_says(accuracy):
    ranker = SimulatedRanker(f"simulated:{accuracy}")
    ranker.truths = {seed: "c" if seed % 2 else "stranger" for seed in range(4_000)}
    found = [ranker.rank(None, CANDIDATES, seed) for seed in range(4_000)]
    right = [CANDIDATES[one.order[0]].category.name == "c" for one in found[1::2]]
    assert np.mean(right) == pytest.approx(accuracy, abs=0.03)
    for one in found[:20]:
        assert sorted(one.order) == [0, 1, 2, 3, 4]
        assert sum(one.probabilities) == pytest.approx(1)
        assert int(np.argmax(one.probabilities)) == one.order[0]
    assert found[3] == ranker.rank(None, CANDIDATES, 3)  # an image is answered the same way


@pytest.mark.parametrize("name", ["simulated:", "simulated:1.2", "simulated:x"])
def test_an_accuracy_that_is_none(name):
    with pytest.raises(InputError, match=r"simulated:0\.8"):
        SimulatedRanker(name)
