"""What a build is said to need, beside what it needs."""

import tracemalloc

import numpy as np
import pytest

from rar_agent.memory.teaching import estimate
from rar_agent.types import Category
from tests.memory.arrays import begin, clusters, put


@pytest.mark.parametrize(
    ("categories", "shots", "dimension"), [(500, 2, 128), (60, 20, 300), (300, 4, 256)]
)
def test_a_fit_needs_no_more_than_was_said(tmp_path, monkeypatch, categories, shots, dimension):
    monkeypatch.setattr(estimate, "BATCH_PIXELS", 0)  # which would hide the fit of a small memory
    monkeypatch.setattr(estimate, "SEGMENT", 0)
    shown = clusters(categories, shots, dimension)
    draft = begin(tmp_path / "memories" / "m", dimension=dimension)
    for c in range(categories):
        draft.put(Category(name=f"c{c}"))
    put(draft, "image", shown.by_label())
    tracemalloc.start()
    memory = draft.commit("ready")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = estimate.estimate_build(tmp_path, len(shown.labels), dimension)
    assert peak < said.ram_bytes < 6 * peak
    disk = sum(ref.size for ref in memory.manifest.files())
    assert disk < said.disk_bytes < 2 * disk


def test_more_images_need_more_and_an_unknown_number_as_much_as_the_fit_can(tmp_path):
    said = [estimate.estimate_build(tmp_path, 10**n, 512) for n in range(1, 8)]
    assert (np.diff([one.ram_bytes for one in said]) > 0).all()
    assert (np.diff([one.disk_bytes for one in said]) > 0).all()
    assert said[-1].ram_bytes > 0.7e9
    unknown = estimate.estimate_build(tmp_path / "not" / "there", None, 512)
    assert unknown.disk_bytes is None
    assert said[3].ram_bytes < unknown.ram_bytes < said[-1].ram_bytes
    assert estimate.estimate_build(tmp_path, 10**15, 512).fits is False
