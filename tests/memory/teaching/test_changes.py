"""Any sequence of changes is what a rebuild from what should be there is."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory import create_memory, open_memory, verify_memory
from tests.memory.format.committed import leftovers
from tests.memory.teaching.expected import (
    Change,
    Expected,
    RefusedError,
    created,
    some_change,
    some_samples,
)
from tests.memory.teaching.tiny import TinyEncoder, picture


def posteriors(memory):
    queries, norms = TinyEncoder().encode_images_with_norms(
        [picture(kind, number) for kind in ("ash", "birch", "fir", "ivy") for number in (90, 91)]
    )
    found = memory.search(queries, norms, k=50)
    return [{c.category.name: c.probability for c in one.candidates} for one in found]


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), names_help=st.booleans(), length=st.integers(1, 8))
def test_any_changes_equal_a_rebuild(tmp_path_factory, random, names_help, length):
    home = tmp_path_factory.mktemp("changes")
    encoder = TinyEncoder(names_help)
    memory, now = created(
        home, "m", some_samples(random, 30, random.random() < 0.3), encoder, thumbnails=4
    )
    assert Expected.of(memory).state() == now.state()
    for _ in range(length):
        change = some_change(random, now)
        generation = memory.manifest.generation
        try:
            after = now.after(change)
        except RefusedError:
            with pytest.raises(InputError):
                change.apply(home, "m", encoder)
            memory = open_memory(home, "m")
            assert memory.manifest.generation == generation
            continue
        now, memory = after, change.apply(home, "m", encoder)
        assert Expected.of(memory).state() == now.state(), change
        assert Expected.of(open_memory(home, "m")).state() == now.state()
        assert leftovers(memory.folder) == []
    assert verify_memory(home, "m") == []
    if samples := now.samples():
        memory = Change("compact").apply(home, "m", encoder, "always")
        templates = memory.manifest.encoder.templates
        again = create_memory(home, "again", TinyEncoder(), samples, templates=templates).memory
        # A rebuild gives all of them a text, if one has.
        if now.texts in (set(), {n for n in now.categories if now.has_entry(n)}):
            for one, two in zip(posteriors(memory), posteriors(again), strict=True):
                assert one == pytest.approx(two, abs=1e-4)


@pytest.mark.slow
def test_many_changes_by_seed(tmp_path):
    """Longer ways than hypothesis takes; every kind of change, accepted and refused."""
    seen = Counter()
    for seed in range(6):
        random, encoder = Random(seed), TinyEncoder(seed % 2 == 1)
        memory, now = created(
            tmp_path, f"m{seed}", some_samples(random, 25, seed % 3 == 0), encoder
        )
        for _ in range(60):
            change = some_change(random, now)
            try:
                after = now.after(change)
            except RefusedError:
                seen["refused"] += 1
                with pytest.raises(InputError):
                    change.apply(tmp_path, f"m{seed}", encoder, "never")
                continue
            seen[change.kind] += 1
            now, memory = after, change.apply(tmp_path, f"m{seed}", encoder, "never")
            assert Expected.of(memory).state() == now.state(), change
        assert np.unique(memory.entries.ids).size == len(memory.entries)
        assert verify_memory(tmp_path, f"m{seed}") == []
    assert min(seen[k] for k in ("teach", "remove", "update", "merge", "move", "compact")) >= 5
    assert seen["refused"] >= 5
