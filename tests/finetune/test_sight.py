"""The proof that the path sees, in its smallest size: minutes, so only where the extra is there."""

import pytest


@pytest.mark.slow
def test_a_model_trained_on_one_memory_ranks_pictures_of_another(tmp_path):
    pytest.importorskip("trl", reason="training needs the extra 'train'")
    pytest.importorskip("peft", reason="training needs the extra 'train'")
    import torch

    from benchmarks.sight import SMALL, prove

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = prove(tmp_path, SMALL, say=False)
    finally:
        torch.set_num_threads(threads)
    assert found.model > found.chance + 3 * found.error(found.chance)
    assert found.model > found.retrieval_inside
    assert found.pipeline > found.retrieval
    assert abs(found.shuffled - found.chance) < 3 * found.error(found.chance)
