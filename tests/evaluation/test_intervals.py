"""Intervals against libraries, closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from rar_agent.evaluation.intervals import (
    Clusters,
    covariance,
    mcnemar,
    of_difference,
    of_mean,
    of_norm,
    of_quantile,
    of_share,
    tango,
    wilson,
)
from tests.evaluation.records import crossed


def one_seed(n):
    return Clusters(np.arange(n), np.zeros(n, dtype=np.int64))


def of_table(table):
    """Values and clusters of an (images, seeds) table."""
    images, seeds = np.indices(table.shape)
    return table.ravel(), Clusters(images.ravel(), seeds.ravel())


@given(st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_a_share_of_one_cell_has_scipys_wilson_interval(counts):
    n, right = counts
    low, high = of_share(np.arange(n) < right, one_seed(n))
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_as_newcombe_1998_prints_it():
    # Newcombe (1998), Stat. Med. 17:857, table I: 81/263, 15/148, 0/20, 1/29.
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


def test_a_mean_of_one_cell_has_students_interval():
    values = np.random.default_rng(0).normal(5, 2, 40)
    theirs = stats.ttest_1samp(values, 0).confidence_interval()
    assert of_mean(values, one_seed(40)) == pytest.approx((theirs.low, theirs.high))
    assert np.isnan(of_mean(values[:1], one_seed(1))).all()


def test_two_way_variance_is_that_of_mean_squares():
    # Means of rows 1.5, 4, 9.5, of columns 4 and 6, of all 5. Mean squares: rows 33.5, columns 6,
    # the rest, 0.25 + 0 + 0.25 twice over 2 degrees of freedom, 0.5.
    table = np.array([[1.0, 2.0], [3.0, 5.0], [8.0, 11.0]])
    values, clusters = of_table(table)
    found, freedom = covariance(((values - values.mean()) / 6)[:, None], clusters)
    assert found[0, 0] == pytest.approx((33.5 + 6 - 0.5) / 6)
    assert freedom == pytest.approx(39**2 / (33.5**2 / 2 + 6**2 / 1 + 0.5**2 / 2))


def test_images_of_one_seed_each_are_counted_once():
    random = np.random.default_rng(0)
    values = random.normal(size=3_000)
    clusters = Clusters(np.arange(3_000), np.arange(3_000) % 30)
    found, _ = covariance(((values - values.mean()) / 3_000)[:, None], clusters)
    assert found[0, 0] == pytest.approx(1 / 3_000, rel=0.5)


def test_seeds_that_all_agree_add_nothing_and_give_no_false_precision():
    right = np.random.default_rng(0).random(200) < 0.7
    values, clusters = of_table(np.repeat(right[:, None], 3, axis=1))
    one = of_share(right, one_seed(200))
    three = of_share(values, clusters)
    assert three == pytest.approx(one, abs=2e-3)  # not as if there were 600 images
    all_right = of_share(np.ones(600, dtype=bool), clusters)
    assert all_right.low == pytest.approx(wilson(1.0, 200).low)


@pytest.mark.parametrize(("seeds", "of_seed"), [(1, 0.0), (3, 0.0), (3, 0.3), (8, 0.3)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, of_seed):
    random = np.random.default_rng(1)
    truth = crossed(random, 20_000, 400, of_seed=of_seed).mean()
    shares, differences = 0, 0
    for _ in range(200):
        right, clusters = of_table(crossed(random, 150, seeds, of_seed=of_seed))
        other, _ = of_table(crossed(random, 150, seeds, of_seed=of_seed))
        shares += of_share(right, clusters).low <= truth <= of_share(right, clusters).high
        low, high = of_difference(right.astype(float) - other, clusters)[0]
        differences += low <= 0 <= high
    assert shares / 200 >= 0.91
    assert differences / 200 >= 0.91


def test_a_quantile_lies_in_the_interval_of_order_statistics():
    values = np.random.default_rng(0).exponential(size=500)
    theirs = stats.quantile_test(values, p=0.95).confidence_interval(0.95)
    assert of_quantile(values, 0.95) == (theirs.low, theirs.high)
    assert np.isnan(of_quantile(values[:10], 0.95).high)  # ten values have no such limit


def test_a_difference_has_scipys_paired_bootstrap():
    random = np.random.default_rng(0)
    change = random.choice([-1.0, 0.0, 1.0], size=400, p=[0.1, 0.7, 0.2])
    (low, high), error = of_difference(change, one_seed(400))
    theirs = stats.bootstrap((change,), np.mean, n_resamples=5_000, method="percentile", rng=1)
    limits = theirs.confidence_interval
    assert (low, high) == pytest.approx((limits.low, limits.high), abs=0.006)
    assert error == pytest.approx(theirs.standard_error, rel=0.05)


def test_a_difference_over_seeds_has_the_two_way_variance():
    random = np.random.default_rng(0)
    table = crossed(random, 500, 3, of_seed=0.5).astype(float) - crossed(random, 500, 3)
    values, clusters = of_table(table)
    variance, _ = covariance(((values - values.mean()) / len(values))[:, None], clusters)
    _, error = of_difference(values, clusters)
    assert error == pytest.approx(np.sqrt(variance[0, 0]), rel=0.05)


def test_no_difference_at_all_still_has_an_interval():
    (low, high), error = of_difference(np.zeros(100), one_seed(100))
    assert -low == high == pytest.approx(wilson(0.0, 100).high)
    assert error > 0
    assert np.isnan(of_difference(np.ones(1), one_seed(1))[0]).all()
    assert np.isnan(of_difference(np.ones(0), one_seed(0))[0]).all()


def test_tango_as_fagerland_et_al_2014_print_it():
    # Stat. Med. 33:2850: one gained, seven lost of 21 patients.
    assert tango(1 / 21, 7 / 21, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("gained", "lost", "n"), [(3, 9, 60), (0, 4, 40), (20, 20, 300)])
def test_tango_s_limits_are_where_the_score_statistic_is_critical(gained, lost, n):
    def statistic(difference):
        """With the likeliest shares, found by a search instead of Tango's formula."""

        def unlikely(share_lost):
            shares = share_lost + difference, share_lost, 1 - 2 * share_lost - difference
            counts = gained, lost, n - gained - lost
            return -sum(c * np.log(max(s, 1e-300)) for c, s in zip(counts, shares, strict=True))

        bounds = max(0.0, -difference), (1 - difference) / 2
        found = optimize.minimize_scalar(unlikely, bounds=bounds, options={"xatol": 1e-12}).x
        variance = (2 * found + difference - difference**2) / n
        return ((gained - lost) / n - difference) / np.sqrt(variance)

    low, high = tango(gained / n, lost / n, n)
    assert (statistic(low), statistic(high)) == pytest.approx((1.96, -1.96), abs=2e-3)


def test_a_norm_of_nothing_but_chance_begins_at_0():
    random = np.random.default_rng(0)
    from_0 = 0
    for _ in range(100):
        value, (low, high) = of_norm(random.normal(size=(300, 5)) / 10, one_seed(300))
        assert value > 0
        assert low <= value <= high
        from_0 += low == 0
    assert from_0 >= 88  # 95 expected


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(only_a, only_b):
    assert mcnemar(only_a, only_b) == pytest.approx(mcnemar(only_b, only_a))
    assert 0 < mcnemar(only_a, only_b) <= 1


def test_mcnemar_by_hand_and_as_statsmodels_has_it():
    # 1 against 6 of 7 discordant: twice (1 + 7) / 2 ** 7.
    assert mcnemar(1, 6) == pytest.approx(16 / 128)
    assert mcnemar(0, 0) == 1.0
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for b, c in ((1, 6), (10, 25), (7, 7), (0, 9), (150, 186)):
        assert mcnemar(b, c) == pytest.approx(tables.mcnemar([[5, b], [c, 5]], exact=True).pvalue)
