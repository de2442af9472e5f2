import numpy as np
import pytest

from rar_agent.errors import InputError
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.left_out import leave_out
from rar_agent.memory.scoring.calibration import expected_calibration_error
from rar_agent.memory.teaching.draft import Draft
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


def test_an_image_that_was_learnt_twice_is_not_left_out(memory):
    entries, once = memory.entries, leave_out(memory)
    row = int(once.rows[0])
    content = bytes(entries.fields(np.array([row]))["content"][0])
    draft = Draft.after(memory)
    draft.add_segment(
        "image", [NewEntry(5, content.hex(), "again")], entries.vectors(np.array([row]))
    )
    twice = draft.commit("ready", "never")
    left = leave_out(twice)
    assert len(left) == len(once) - 1
    contents = [bytes(c) for c in twice.entries.fields(left.rows)["content"]]
    assert content not in contents
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(
    ("shots", "to_do"), [(1, "100 or more in all"), (8, "100 or more in all"), (12, "memory fit m")]
)
def test_a_memory_that_is_not_calibrated_says_so(tmp_path, shots, to_do):
    found = taught(tmp_path, clusters(categories=10, shots=shots))
    if shots == 12:  # calibrated, and then taught much
        draft = Draft.after(found)
        vectors = found.entries.vectors(np.arange(30))
        draft.add_segment(
            "image", [NewEntry(0, text_content(f"new {i}"), "new") for i in range(30)], vectors
        )
        found = draft.commit("ready", "never")
    with pytest.raises(InputError, match="not calibrated") as raised:
        leave_out(found)
    assert to_do in str(raised.value)
