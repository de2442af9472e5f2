"""What is fitted on simulated answers, and whether what it promises holds on others."""

import numpy as np
import pytest

from rar_agent.memory.scoring.calibration import accept_from
from rar_agent.ranking.asking import Read
from rar_agent.ranking.cascade import Allowed, fit_weight
from rar_agent.ranking.fitted import Answered, fit_cascade
from rar_agent.ranking.fusion import fuse
from rar_agent.ranking.options import shown_orders
from tests.ranking.test_cascade import K, images, retrieved

LIKING = np.array([0.7, 0.2, 0.07, 0.03])


def says(truth, order, knows, random, liking):
    """Probabilities of letters: what it knows, times how it likes them."""
    logits = random.normal(0, 0.4, K)
    if truth is not None and knows:
        logits[order.index(truth)] += 2.5
    shares = np.exp(logits) * liking
    return shares / shares.sum()


def answers(shares, truth, accuracy, seed, liking=None, rotated=0):
    """What a model that likes letters says of images, the first few in all rotations too."""
    random, found = np.random.default_rng(seed), []
    for number, (row, place) in enumerate(zip(shares, truth, strict=True)):
        knows, liked = random.random() < accuracy, np.ones(K) if liking is None else liking
        orders = shown_orders(K, number, 0)
        said = [says(place, order, knows, random, liked) for order in orders]
        whole, usual = Read(orders, said), Read(orders[:1], said[:1])
        some = whole if number < rotated else None
        found.append(Answered(row.tolist(), place, usual.shares(K).tolist(), usual, some))
    return found


def known(seed=0, count=2_000):
    return retrieved(*images(count, seed))


@pytest.mark.parametrize("seed", range(3))
def test_a_liking_for_letters_is_divided_out_where_that_pays(seed):
    shares, truth = images(200, seed)
    fitted = fit_cascade(answers(shares, truth, 0.9, seed, LIKING, 8), known(), Allowed())
    assert fitted.bias.bias > 0.3
    assert np.argmax(fitted.prior) == 0
    plain = fit_cascade(answers(shares, truth, 0.9, seed, LIKING), known(), Allowed())
    assert plain.bias is None
    assert plain.prior == ()
    assert np.mean(fitted.right) > np.mean(plain.right)


@pytest.mark.parametrize("seed", range(12))
def test_noise_is_not_divided_out(seed):
    # In sample it often looks as if it paid.
    shares, truth = images(150, seed)
    fitted = fit_cascade(answers(shares, truth, 0.7, seed, None, 6), known(), Allowed())
    assert fitted.bias is not None
    assert fitted.prior == ()


def test_what_is_asked_for_the_letters_alone_fits_no_weight():
    shares, truth = images(150, 0)
    usual = answers(shares, truth, 0.9, 0)
    orders = shown_orders(K, 0, 0)
    perfect = [np.eye(K)[order.index(0)] for order in orders]
    alone = [Answered([0.25] * K, 0, None, None, Read(orders, perfect)) for _ in range(40)]
    one, other = (fit_cascade(given, known(), Allowed()) for given in (usual, usual + alone))
    assert other.weight == one.weight
    assert len(other.right) == len(one.right) == 150
    assert other.bias is not None


def test_a_model_that_mends_nothing_is_not_asked():
    # It makes the right ones likelier by being sure where retrieval is right, and mends nothing.
    shares, truth = images(300, 4)
    echo = [
        Answered(row.tolist(), place, [0.85, 0.05, 0.05, 0.05] if place == 0 else [0.25] * 4)
        for row, place in zip(shares, truth, strict=True)
    ]
    assert fit_weight([one.ranked(()) for one in echo]) > 0.3
    fitted = fit_cascade(echo, known(), Allowed())
    assert (fitted.weight, fitted.gate) == (0.0, 0.0)
    assert fitted.answers == ()


def test_answers_are_those_that_will_be_asked_for():
    shares, truth = images(400, 3)
    given = answers(shares, truth, 0.9, 3)
    fitted = fit_cascade(given, known(), Allowed(asked=0.3))
    below = [one for one in given if one.retrieval[0] < fitted.gate]
    assert 0 < len(below) < len(given)
    assert len(fitted.answers) == len(below)


def test_a_budget_says_what_it_costs():
    shares, truth = images(300, 3)
    given = answers(shares, truth, 0.9, 3)
    lost = [fit_cascade(given, known(), Allowed(asked=share)).loss for share in (0.1, 0.4, 0.9)]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > lost[-1]
    assert fit_cascade(given, known(), Allowed(0.02)).loss == 0.02


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_accepted_answers_to_other_images_err_as_rarely_as_promised(rate):
    kept, worse = 0, 0
    for seed in range(8):
        given = answers(*images(200, seed), 0.9, seed, LIKING, 6)
        fitted = fit_cascade(given, known(seed), Allowed())
        confidence, right = (np.array(part) for part in zip(*fitted.answers, strict=True))
        least = accept_from(confidence, right.astype(bool), rate)
        wrong = []
        for one in answers(*images(600, 100 + seed), 0.9, 100 + seed, LIKING):
            ranked = one.ranked(fitted.prior)
            final = fuse(ranked.retrieval, ranked.ranking, fitted.weight)
            if one.retrieval[0] < fitted.gate and max(final) >= least:
                wrong.append(int(np.argmax(final)) != one.truth)
        kept += len(wrong) > 0
        noise = 1.645 * np.sqrt(rate * (1 - rate) / max(1, len(wrong)))
        worse += bool(wrong) and float(np.mean(wrong)) > rate + noise
    assert kept >= 4
    assert worse <= 1  # a promise may fail in a tenth of the cases
