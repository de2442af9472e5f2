import numpy as np
import pytest

from rar_agent.errors import InputError
from rar_agent.memory.left_out import leave_out
from rar_agent.memory.scoring.calibration import expected_calibration_error
from tests.memory.arrays import clusters, memory_of


def taught(folder, found):
    images = {c: found.vectors[found.labels == c] for c in np.unique(found.labels).tolist()}
    return memory_of(folder, images=images)


@pytest.fixture
def memory(tmp_path):
    return taught(tmp_path, clusters(categories=12, shots=12, spread=2.5))


def test_it_is_what_the_fit_was_judged_by(memory):
    left = leave_out(memory)
    assert len(left) == memory.manifest.fit.left_out == 144
    right = left.places == 0
    assert 0.2 < right.mean() < 1
    assert expected_calibration_error(left.confidence, right) == pytest.approx(
        memory.manifest.fit.ece, abs=1e-6
    )
    assert np.exp(left.log_posterior).sum(axis=1) == pytest.approx(np.ones(144))


def test_what_is_left_out_is_no_evidence(memory):
    left = leave_out(memory)
    for number in range(0, 144, 7):
        found = left.candidates(number, 4, 3)
        assert len({candidate.category.name for candidate in found}) == 4
        probabilities = [candidate.probability for candidate in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert probabilities[0] == pytest.approx(left.confidence[number])
        own = left.exemplar(number).entry
        shown = [exemplar for candidate in found for exemplar in candidate.exemplars]
        assert len(shown) == 12
        assert own not in [exemplar.entry for exemplar in shown]
        place = int(left.places[number])
        if place < 4:
            assert found[place].category == left.category(number)


def test_a_memory_that_is_not_calibrated_says_so(tmp_path):
    with pytest.raises(InputError, match="not calibrated"):
        leave_out(taught(tmp_path, clusters(categories=5, shots=1)))
