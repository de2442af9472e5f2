import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.scoring.features import map_features
from rar_agent.memory.teaching.draft import Draft
from tests.memory.arrays import clusters, memory_of, unit

D = 16
ONES = np.ones(3, np.float32)


def some(seed, count):
    return unit(np.random.default_rng(seed).normal(size=(count, D)))


def posterior(memory, queries, columns=None):
    columns = np.arange(len(memory.categories)) if columns is None else np.asarray(columns)
    norms = np.ones(len(queries), np.float32)
    return np.exp(memory.scorer.log_posterior(queries, norms, columns))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    taught=st.dictionaries(st.integers(0, 7), st.integers(1, 4), max_size=8),
    named=st.sets(st.integers(0, 7)),
    seed=st.integers(0, 999),
)
def test_every_posterior_sums_to_one_whatever_is_known(tmp_path, taught, named, seed):
    if not taught and not named:
        return
    memory = memory_of(
        tmp_path / str(seed),
        {c: some(c, n) for c, n in taught.items()},
        {c: some(100 + c, 1) for c in named},
    )
    found = posterior(memory, some(seed, 3))
    assert found.sum(axis=1) == pytest.approx(1)
    known = sorted({*taught, *named})
    assert (found[:, known] > 0).all()
    assert (np.delete(found, known, axis=1) == 0).all()


def test_head_rows_give_the_classifiers_own_softmax(tmp_path):
    random = np.random.default_rng(0)
    weights = random.normal(size=(8, D)).astype(np.float32)
    features = random.normal(size=(4, D)).astype(np.float32)
    memory = memory_of(tmp_path, heads=dict(enumerate(weights)))
    norms = np.linalg.norm(features, axis=1).astype(np.float32)
    found = memory.scorer.log_posterior(unit(features), norms, np.arange(8))
    assert found == pytest.approx(log_softmax(features @ weights.T, axis=1), abs=1e-4)


def test_categories_without_photos_keep_what_their_texts_give_them(tmp_path):
    queries, texts = some(1, 5), {c: some(50 + c, 1) for c in range(6)}
    images = {c: some(c, 2) for c in (0, 2)}
    mixed = memory_of(tmp_path / "mixed", images, texts)
    found = posterior(mixed, queries)
    scale = 10.0 * mixed.fit.text_alone
    by_text = scale * queries @ np.concatenate([texts[c] for c in range(6)]).T
    by_text = np.exp(log_softmax(by_text, axis=1))
    assert found[:, [1, 3, 4, 5]] == pytest.approx(by_text[:, [1, 3, 4, 5]], abs=1e-5)
    assert found[:, [0, 2]].sum(1) == pytest.approx(by_text[:, [0, 2]].sum(1), abs=1e-5)


def test_a_category_without_a_text_is_judged_by_its_photos(tmp_path):
    exemplars, queries, asked = clusters(6, 6, D, spread=0.3, fresh=5)
    images = exemplars.by_label()
    centres = {c: unit(images[c].mean(axis=0, keepdims=True)) for c in range(6)}
    # 0 to 2 have both, 3 and 4 photos only, 5 a text only
    memory = memory_of(
        tmp_path,
        {c: images[c] for c in range(5)},
        {c: centres[c] for c in (0, 1, 2, 5)},
    )
    assert (posterior(memory, queries).argmax(axis=1) == asked).mean() > 0.9


def test_photos_only_and_texts_only_with_nothing_in_common(tmp_path):
    memory = memory_of(tmp_path, {0: some(1, 3), 1: some(2, 3)}, {2: some(3, 1)})
    found = posterior(memory, some(4, 3))
    assert found[:, :2].sum(axis=1) == pytest.approx(2 / 3)


def test_a_shortlist_gives_the_full_posterior_renormalised(tmp_path):
    texts = {c: some(50 + c, 1) for c in range(6)}
    columns = [0, 2, 5]
    for name, images in (("none", {}), ("all", {c: some(c, 2) for c in range(6)})):
        memory = memory_of(tmp_path / name, images, texts)
        full = posterior(memory, some(1, 3))[:, columns]
        short = posterior(memory, some(1, 3), columns)
        assert short == pytest.approx(full / full.sum(axis=1, keepdims=True), abs=1e-6)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 999), spread=st.sampled_from([0.3, 1.5]))
def test_batch_and_single_search_agree(tmp_path, seed, spread):
    exemplars, queries, _ = clusters(12, 6, D, seed=seed, spread=spread, fresh=2)
    memory = memory_of(
        tmp_path / str(seed) / str(spread),
        exemplars.by_label(),
    )
    together = memory.search(queries, np.ones(len(queries), np.float32), k=5)
    for i, result in enumerate(together):
        [alone] = memory.search(queries[i : i + 1], ONES[:1], k=5)
        assert [c.category for c in alone.candidates] == [c.category for c in result.candidates]
        assert [c.score for c in alone.candidates] == pytest.approx(
            [c.score for c in result.candidates], abs=1e-5
        )


def test_many_exemplars_are_no_advantage_of_their_own(tmp_path):
    """One photo against thirty: new images of the former are found nearly as often as they say."""
    counts = [1 if c % 2 else 30 for c in range(40)]
    exemplars, queries, asked = clusters(40, counts, 32, spread=1.0, seed=5, fresh=20)
    memory = memory_of(tmp_path, exemplars.by_label())
    found = posterior(memory, queries)
    answered = np.bincount(found.argmax(axis=1) % 2, minlength=2) / len(asked)
    assert answered[1] > 0.3  # half of the images are of categories with one photo


@pytest.mark.parametrize("positive", [True, False])
def test_removed_and_added_exemplars_count_at_once(tmp_path, positive):
    """Without fitting again, the classifier is that of what is there now."""
    exemplars = clusters(10, 12, D, spread=0.4)
    vectors = unit(np.abs(exemplars.vectors)) if positive else exemplars.vectors
    images = {c: vectors[exemplars.labels == c] for c in range(10)}
    memory = memory_of(tmp_path, images)
    assert memory.calibrated
    draft = Draft.after(memory)
    draft.remove(memory.entries.id_of(int(row)) for row in memory.entries.rows_of("image", [0])[:3])
    new = unit(vectors[exemplars.labels == 4] + 0.1)
    entries = [NewEntry(4, text_content(f"new{i}"), "new") for i in range(12)]
    draft.add_segment("image", entries, new)
    changed = draft.commit("ready", "never")
    sums = changed.sums()
    kept = {**images, 0: images[0][3:], 4: np.concatenate([images[4], new])}
    assert sums.counts.tolist() == [9, 12, 12, 12, 24, 12, 12, 12, 12, 12]
    for c, rows in kept.items():
        mapped = map_features(rows, changed.fit.feature_map)
        assert sums.sums[c] == pytest.approx(mapped.sum(axis=0), abs=1e-4)
    assert changed.changed == 15
    assert changed.stale
    assert not changed.calibrated
    assert "stale" in changed.probability_means()
