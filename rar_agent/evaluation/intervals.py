"""95 % intervals, each with where its formula is from.

Records are not independent: the same image is asked in several cells, and all images of a seed
share its exemplars. Where a group has several seeds, both count.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95
RESAMPLES = 5_000
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))

_CROSSED = (
    "the variance of crossed random effects, images and seeds, by mean squares (Searle, Casella & "
    "McCulloch 1992) with Satterthwaite's degrees of freedom (1946)"
)
SHARE = (
    "Wilson's score interval (1927); over several seeds with the effective number of images and "
    f"Student's t (Korn & Graubard 1998), from {_CROSSED}"
)
MEAN = f"Student's t; over several seeds with {_CROSSED}"
DIFFERENCE = (
    "the outer limits of two: the paired percentile bootstrap over images (Efron & Tibshirani "
    "1993), where several seeds add their variance by mean squares, as Student's t of one degree "
    "of freedom fewer than there are; and Tango's score interval (1998) of a difference of paired "
    "shares, with the effective number of images, which holds where few images differ"
)
QUANTILE = "order statistics by the binomial distribution (Conover 1999), answers independent"
NORM = (
    "Student's t with the signs held, the variance as of a mean; from 0 where even shares would "
    "show as much in one of twenty samples (simulated from the estimated covariance), because a "
    "sum of absolute values is never 0 by chance"
)


class Interval(NamedTuple):
    """Limits of a 95 % interval; nan where one cannot be told."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


class Spread(NamedTuple):
    """How far an estimate may be off: its variance, and the degrees of freedom of that."""

    variance: float
    freedom: float


class Clusters(NamedTuple):
    """What records share: (n,) codes of their images and of their seeds."""

    images: Ints
    seeds: Ints

    @property
    def distinct(self) -> int:
        """Images, each once."""
        return len(np.unique(self.images))

    @property
    def draws(self) -> int:
        """Seeds, each once."""
        return len(np.unique(self.seeds))

    def take(self, which: NDArray[Any]) -> Clusters:
        """Those of some records."""
        return Clusters(self.images[which], self.seeds[which])


def _sums(values: Floats, codes: Ints) -> tuple[Floats, Ints]:
    """(clusters, m) sums of (n, m) values, and (n,) which cluster each is of."""
    found, inverse = np.unique(codes, return_inverse=True)
    sums = [np.bincount(inverse, column, len(found)) for column in values.T]
    return np.column_stack(sums), inverse


class _Parts(NamedTuple):
    """Covariances of m estimates, (m, m) each, with their degrees of freedom.

    Attributes:
        images: Over images; with what images and seeds have together, in each of them.
        seeds: Over seeds, likewise; 0 with one seed.
        both: What both have in them.
        free_images: Images less one.
        free_seeds: Seeds less one.
    """

    images: Floats
    seeds: Floats
    both: Floats
    free_images: int
    free_seeds: int


def _parts(influence: Floats, clusters: Clusters) -> _Parts:
    of_image, _ = _sums(influence, clusters.images)
    nothing = np.zeros((influence.shape[1],) * 2)
    images = len(of_image)
    if images < 2:
        return _Parts(np.full_like(nothing, np.nan), nothing, nothing, 0, 0)
    over_images = of_image.T @ of_image * images / (images - 1)
    of_seed, seed = _sums(influence, clusters.seeds)
    seeds = len(of_seed)
    if seeds < 2:
        return _Parts(over_images, nothing, nothing, images - 1, 0)
    over_seeds = of_seed.T @ of_seed * seeds / (seeds - 1)
    # What is left of a pair without its seed's mean and its image's: the interaction. An image of
    # one seed only is in both sums as it is.
    _, first, pair = np.unique(
        clusters.images * (clusters.seeds.max() + 1) + clusters.seeds,
        return_index=True,
        return_inverse=True,
    )
    left: Floats = np.column_stack([np.bincount(pair, column) for column in influence.T])
    seed, image = seed[first], clusters.images[first]
    left -= (of_seed / np.bincount(seed)[:, None])[seed]
    sums, image = _sums(left, image)
    number = np.bincount(image)[image][:, None]
    alone = number == 1
    spared = np.sqrt(number / np.maximum(number - 1, 1))
    left = np.where(alone, left, (left - sums[image] / number) * spared)
    both = left.T @ left * images / (images - 1)
    return _Parts(over_images, over_seeds, both, images - 1, seeds - 1)


def covariance(influence: Floats, clusters: Clusters) -> tuple[Floats, float]:
    """Of estimates to which each record adds its part of the error.

    With one seed it is that over images. With several, images and seeds are crossed random effects:
    the sum over both, less what is counted twice, and no less than over either.

    Args:
        influence: (n, m) of m estimates; columns sum to 0.
        clusters: What the records share.

    Returns:
        (m, m), and Satterthwaite's degrees of freedom, by the sums of the variances.
    """
    images, seeds, both, free_images, free_seeds = _parts(influence, clusters)
    if not free_seeds:
        return images, float(free_images)
    total = max((images + seeds - both, images, seeds), key=np.trace)
    size, a, b, c = (float(np.trace(one)) for one in (total, images, seeds, both))
    if not size:
        return total, float(free_images)
    noise = a**2 / free_images + b**2 / free_seeds + c**2 / (free_images * free_seeds)
    return total, size**2 / noise


def spread(influence: Floats, clusters: Clusters) -> Spread:
    """Of one estimate; see `covariance`."""
    found, freedom = covariance(influence[:, None], clusters)
    return Spread(float(found[0, 0]), freedom)


def wilson(share: float, n: float, critical: float = _Z) -> Interval:
    """Wilson's score interval (1927) of a share of n; n may be an effective number."""
    if not n > 0:
        return UNKNOWN
    square = critical**2 / n
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return Interval(
        0.0 if share <= 0 else max(0.0, float(middle - half)),
        1.0 if share >= 1 else min(1.0, float(middle + half)),
    )


def of_share(right: NDArray[np.bool_], clusters: Clusters) -> Interval:
    """Of a share of records; see `SHARE`."""
    n = len(right)
    if not n:
        return UNKNOWN
    share = float(right.mean())
    if clusters.draws < 2:
        return wilson(share, n)
    return of_bounded(share, (right - share) / n, clusters)


def of_bounded(value: float, influence: Floats, clusters: Clusters, n: float = np.inf) -> Interval:
    """Of any estimate between 0 and 1, as Wilson's with an effective number of images.

    Args:
        value: The estimate.
        influence: (n,) what each record adds to its error; sums to 0.
        clusters: What the records share.
        n: At most this effective number; it counts where the variance is 0.
    """
    variance, freedom = spread(influence, clusters)
    most = min(n, clusters.distinct if not variance > 0 else len(influence))
    if not variance > 0 or not 0 < value < 1:
        return wilson(value, most)
    effective = min(value * (1 - value) / variance, most)
    return wilson(value, effective, float(stats.t.ppf(0.5 + LEVEL / 2, freedom)))


def of_estimate(
    value: float, influence: Floats, clusters: Clusters, least: float, most: float
) -> Interval:
    """Student's t interval of an estimate, within bounds; see `MEAN`."""
    variance, freedom = spread(influence, clusters)
    if not freedom > 0:
        return UNKNOWN
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * np.sqrt(variance)
    return Interval(max(least, float(value - half)), min(most, float(value + half)))


def of_mean(
    values: Floats, clusters: Clusters, least: float = -np.inf, most: float = np.inf
) -> Interval:
    """Of a mean over records; see `MEAN`."""
    if not len(values):
        return UNKNOWN
    mean = float(values.mean())
    return of_estimate(mean, (values - mean) / len(values), clusters, least, most)


def of_quantile(values: Floats, share: float) -> Interval:
    """Of a quantile; a limit that so few values do not have is nan. See `QUANTILE`."""
    if not len(values):
        return UNKNOWN
    found = stats.quantile_test(values, p=share).confidence_interval(LEVEL)
    return Interval(float(found.low), float(found.high))


def of_norm(parts: Floats, clusters: Clusters) -> tuple[float, Interval]:
    """A sum of the absolute values of means, and its interval; see `NORM`.

    Args:
        parts: (n, m) what each record adds to each of m means.
        clusters: What the records share.
    """
    n = len(parts)
    means = parts.mean(axis=0)
    value = float(np.abs(means).sum())
    found = of_estimate(value, (parts @ np.sign(means) - value) / n, clusters, 0.0, 1.0)
    spreads, _ = covariance((parts - means) / n, clusters)
    if np.isnan(spreads).any():
        return value, UNKNOWN
    scales, axes = np.linalg.eigh(spreads)
    normal = np.random.default_rng(0).standard_normal((RESAMPLES, len(scales)))
    chance = np.abs((normal * np.sqrt(np.maximum(scales, 0))) @ axes.T).sum(axis=1)
    # A hair of room: what is 0 but for rounding is 0.
    low = 0.0 if value <= np.quantile(chance, LEVEL) + 1e-12 else found.low
    return value, Interval(low, found.high)


def of_difference(
    values: Floats, clusters: Clusters, level: float = LEVEL
) -> tuple[Interval, float]:
    """Of a mean difference over records, and its standard error; see `DIFFERENCE`.

    Images with the same differences are drawn together, which is the same and faster.

    Args:
        values: (n,) differences: -1, 0 or 1.
        clusters: What the records share.
        level: Of the interval; more than 0.95 where several are compared.
    """
    images = clusters.distinct
    if not len(values) or (images < 2 and np.any(values)):
        return UNKNOWN, float("nan")
    gained, lost = float((values > 0).mean()), float((values < 0).mean())
    influence = (values - values.mean()) / len(values)
    parts = _parts(influence[:, None], clusters)
    of_seeds = max(0.0, float(parts.seeds[0, 0] - parts.both[0, 0]))
    # Half of the draws from either side: who swaps the sides gets the same interval, swapped.
    halves = [sign * _resampled(sign * values, clusters.images) for sign in (1, -1)]
    error = float(np.sqrt(np.concatenate(halves).var(ddof=1) + of_seeds))
    tails = [0.5 - level / 2, 0.5 + level / 2]
    critical = float(stats.norm.ppf(tails[1]))
    if of_seeds:
        random = np.random.default_rng(1)
        noise = np.sqrt(of_seeds) * random.standard_t(parts.free_seeds, len(halves[0]))
        halves = [halves[0] + noise, halves[1] - noise]
        critical = float(stats.t.ppf(tails[1], spread(influence, clusters).freedom))
    variance = spread(influence, clusters).variance
    number = (gained + lost - (gained - lost) ** 2) / variance if variance > 0 else images
    score = tango(gained, lost, number, critical)
    low, high = np.quantile(np.concatenate(halves), tails)
    # Where nothing differs, nothing drawn from it does: the other interval tells the error.
    error = error or score.high / critical
    return Interval(min(float(low), score.low), max(float(high), score.high)), error


def tango(gained: float, lost: float, n: float, critical: float = _Z) -> Interval:
    """Tango's score interval (1998) of gained - lost, shares of n pairs.

    Its limits are the differences at which the score statistic, with the likeliest shares that have
    such a difference, is at the critical value.

    Args:
        gained: Share of pairs that only the second has right.
        lost: That only the first has.
        n: Pairs; may be an effective number.
        critical: Quantile of the statistic.
    """

    def excess(difference: float, side: int) -> float:
        half = (-gained - lost + (2 - gained + lost) * difference) / 2
        both = np.sqrt(max(0.0, half**2 + 2 * lost * difference * (1 - difference)))
        share = (both - half) / 2
        variance = max(0.0, 2 * share + difference * (1 - difference)) / n
        return float(side * (difference - gained + lost) - critical * np.sqrt(variance))

    mean = gained - lost
    low, high = (
        # A hair from the mean: where nothing differs, the statistic there is 0 / 0.
        float(optimize.brentq(excess, mean + side * 1e-9, side, (side,)))
        if side * mean < 1 - 1e-9
        else float(side)
        for side in (-1, 1)
    )
    return Interval(low, high)


def _resampled(values: Floats, images: Ints) -> Floats:
    """(RESAMPLES / 2,) means of values of images drawn with replacement."""
    table, _ = _sums(np.column_stack([values, np.ones(len(values))]), images)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    number = int(counts.sum())
    random = np.random.default_rng(0)
    drawn = random.multinomial(number, counts / number, RESAMPLES // 2) @ kinds
    return drawn[:, 0] / drawn[:, 1]


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's test (1947): discordant pairs fall evenly either way."""
    if not only_a + only_b:
        return 1.0
    return float(stats.binomtest(only_b, only_a + only_b).pvalue)
