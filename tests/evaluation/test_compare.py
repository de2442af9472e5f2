import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.evaluation.compare import compare
from rar_agent.evaluation.recommend import recommend
from tests.evaluation.records import crossed, judged, ranked, record


def mixed(n, only_a, only_b):
    """Two sides of n images, right together but for some."""
    a, b = np.ones(n), np.ones(n)
    b[:only_a] = 0
    a[only_a : only_a + only_b] = 0
    return a, b


def test_which_is_better_by_how_much_and_how_surely():
    a, b = mixed(500, 10, 40)
    found = compare(judged(a), judged(b), "retrieval", "retrieval", "rank@1", "rank@2")
    whole = found.all
    assert (whole.only_a, whole.only_b) == (10, 40)
    assert whole.difference == pytest.approx(30 / 500)
    assert whole.p == pytest.approx(2.4e-5, rel=0.05)  # binomial, 10 of 50, two-sided
    error = np.sqrt(50 / 500 - 0.06**2) / np.sqrt(500)
    assert (whole.low, whole.high) == pytest.approx(
        (0.06 - 1.96 * error, 0.06 + 1.96 * error), abs=0.003
    )
    assert found.better == "b"
    assert found.verdict.startswith("rank@2 is better by 6.0 points (3.")
    back = compare(judged(b), judged(a), "retrieval", "retrieval", "rank@2", "rank@1")
    assert back.better == "a"
    assert back.verdict.startswith("rank@2 is better by 6.0 points (3.")


def test_a_difference_that_so_few_images_cannot_show():
    a, b = mixed(100, 4, 7)
    found = compare(judged(a), judged(b), "retrieval", "retrieval")
    assert found.better is None
    assert found.all.low < 0 < found.all.high
    assert found.unseen == pytest.approx(2.8 * np.sqrt(11 / 100 - 0.03**2) / 10, rel=0.05)
    assert found.verdict.startswith("No difference that 100 images could show: B less A is 3.0")
    assert f"under {100 * found.unseen:.1f} points mostly stay unseen" in found.verdict
    same = compare(judged(a), judged(a), "retrieval", "retrieval")
    assert same.all.p == 1.0
    assert same.all.low < 0 < same.all.high


def test_unpaired_and_unlike_images_are_counted_and_said():
    one, other = judged([1, 1, 1, 0]), judged([1, 0, 1, 0, 1, 1])
    other[0] = other[0].model_copy(update={"sha256": "another"})
    found = compare([*one[:3], record("z", "a", retrieval="a")], other, "retrieval", "retrieval")
    assert (found.all.pairs, found.only_in_a, found.only_in_b, found.differ) == (2, 1, 3, 1)
    assert found.notes[:3] == (
        "Left out: 1 answer of A without a counterpart.",
        "Left out: 3 answers of B without a counterpart.",
        "Left out, because of other bytes or truths: 1 pair.",
    )


def test_boxes_around_nothing_are_no_pairs():
    known = judged([1, 1, 0])
    void = [
        one.model_copy(update={"sample": f"{at}#p1", "truth": ""}) for at, one in enumerate(known)
    ]
    found = compare([*known, *void], [*known, *void], "retrieval", "retrieval")
    assert (found.all.pairs, found.differ, found.only_in_a, found.only_in_b) == (3, 0, 0, 0)
    assert not any("Left out" in note for note in found.notes)
    other = [one.model_copy(update={"truth": "wren"}) for one in void[:1]]  # which is another box
    assert compare([*known, *void], [*known, *other], "retrieval", "retrieval").differ == 1
    with pytest.raises(InputError, match="only boxes around nothing in common"):
        compare(void, void, "retrieval", "retrieval")


def test_where_it_comes_from():
    records = [
        record(f"{at}", truth, cell, knn="owl", retrieval=truth if at % 2 else "owl")
        for cell in ("1-shot, seed 1", "4-shot, seed 1")
        for at, truth in enumerate(["wren", "wren", "tit", "tit", "tit", "owl"])
    ]
    found = compare(records, records, "knn", "retrieval")
    assert [(c.name, c.only_a, c.only_b) for c in found.cells] == [
        ("1-shot, seed 1", 0, 2),
        ("4-shot, seed 1", 0, 2),
    ]
    assert [(c.name, c.pairs, c.only_b) for c in found.categories] == [
        ("tit", 6, 2),
        ("wren", 4, 2),
    ]
    assert found.images == 6
    assert found.all.pairs == 12
    assert found.all.p == 0.5  # two images, not four, are discordant


def test_seeds_are_in_the_interval():
    random = np.random.default_rng(0)
    a = np.repeat(random.random((300, 1)) < 0.7, 3, axis=1)
    b = a.copy()
    b[:60, 0] = True  # seed 1 alone gains
    sides = [
        [r for s in range(3) for r in judged(t[:, s], f"1-shot, seed {s + 1}")] for t in (a, b)
    ]
    found = compare(*sides, "retrieval", "retrieval")
    assert found.all.p < 0.001  # by images alone
    assert found.all.low < 0  # another draw of exemplars may gain nothing
    assert found.better is None
    assert not any("One seed" in note for note in found.notes)


def test_nothing_in_common():
    with pytest.raises(InputError, match="A has 1-shot, seed 1, B has 4-shot, seed 1"):
        compare(judged([1]), judged([1], "4-shot, seed 1"), "retrieval", "retrieval")
    with pytest.raises(InputError, match="B has no answer by 'ranked'"):
        compare(judged([1]), judged([1]), "retrieval", "ranked")
    other = [r.model_copy(update={"sha256": "x"}) for r in judged([1])]
    with pytest.raises(InputError, match="other bytes or truths"):
        compare(judged([1]), other, "retrieval", "retrieval")
    with pytest.raises(InputError, match="two records"):
        compare(judged([1]) * 2, judged([1]), "retrieval", "retrieval")


def test_one_image_says_nothing():
    found = compare(judged([1]), judged([0]), "retrieval", "retrieval")
    assert found.verdict == "One image cannot say whether A or B is better."
    assert found.better is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_swapped_sides_swap_the_answer(pairs):
    a, b = (judged(side) for side in zip(*pairs, strict=True))
    found, back = (compare(*s, "retrieval", "retrieval") for s in ((a, b), (b, a)))
    assert found.all.difference == pytest.approx(-back.all.difference)
    assert found.all.p == pytest.approx(back.all.p)
    assert (found.all.low, found.all.high) == pytest.approx((-back.all.high, -back.all.low))
    assert found.all.low - 1e-9 <= found.all.difference <= found.all.high + 1e-9


def test_other_candidates_are_said():
    one = [
        record("1", "a", retrieval="a,b", ranked="a,b"),
        record("2", "a", retrieval="a,b", ranked="a,b"),
    ]
    other = [one[0], record("2", "a", retrieval="a,c", ranked="a,c")]
    found = compare(one, other)
    assert found.other_candidates == 1
    assert "Ranked from other candidates: 1 pair." in found.notes
    assert compare(one, one).other_candidates == 0


def test_the_better_prompt_is_recommended_with_its_price():
    a, b = mixed(600, 5, 60)
    runs = {"rank@1": ranked(a, a, cost=0.001), "rank@2": ranked(a, b, cost=0.002)}
    found = recommend(runs)
    assert found.choice == "rank@2"
    assert "rank@2 is better by 9.2 points" in found.reason
    assert "1,000 images cost $2, with rank@1 $1: $0.01091 for each answer more" in found.reason
    assert [one.safe for one in found.judged] == [False, True]


def test_a_cheaper_prompt_that_is_surely_no_worse_is_recommended():
    a, b = mixed(3_000, 6, 6)
    found = recommend({"rank@1": ranked(a, a, cost=0.01), "rank@2": ranked(a, b, cost=0.001)})
    assert found.choice == "rank@2"
    assert all(one.safe for one in found.judged)


def test_too_few_images_recommend_nothing():
    a, b = mixed(60, 4, 8)
    found = recommend({"rank@1": ranked(a, a, cost=0.001), "rank@2": ranked(a, b, cost=0.002)})
    assert found.choice is None
    assert "stay with rank@1" in found.reason


def test_prompts_are_judged_on_the_images_that_all_answered():
    random = np.random.default_rng(0)
    right = crossed(random, 50, 3).T
    runs = {f"rank@{at}": ranked(row, row) for at, row in enumerate(right)}
    runs["rank@0"] = runs["rank@0"][:30]
    found = recommend(runs)
    assert {one.top_1.n for one in found.judged} == {30}
    assert len(found.comparisons) == 3
    assert found.comparisons[0].level == pytest.approx(1 - 0.05 / 3)
    with pytest.raises(InputError, match="One prompt"):
        recommend({"rank@1": runs["rank@1"]})
