"""Few-shot draws by CoOp's rule, and even draws of test images."""

import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.sampling import apart, evenly, few_shot, spread

images_of = st.lists(st.integers(0, 6), max_size=60).map(
    lambda labels: [LabelledImage(f"{i}.jpg", Path(f"{i}.jpg"), c) for i, c in enumerate(labels)]
)


def coops(images, shots, seed):
    """CoOp's rule in its own words: random.seed, then random.sample or random.choices a class."""
    random.seed(seed)
    tracker = defaultdict(list)
    for image in images:
        tracker[image.category].append(image)
    drawn = {}
    for label, items in tracker.items():
        enough = len(items) >= shots
        drawn[label] = random.sample(items, shots) if enough else random.choices(items, k=shots)
    return drawn


@given(images_of, st.integers(1, 16), st.integers(0, 5))
def test_images_are_those_of_coop(images, shots, seed):
    expected = coops(images, shots, seed)
    drawn = defaultdict(list)
    for image in few_shot(images, shots, seed):
        drawn[image.category].append(image)
    available = Counter(image.category for image in images)
    assert set(drawn) == set(available)
    for label, count in available.items():
        if count >= shots:
            assert drawn[label] == expected[label]
        else:  # CoOp repeats some; a memory learns each once
            assert drawn[label] == [image for image in images if image.category == label]


def test_a_draw_leaves_the_global_generator_alone():
    random.seed(7)
    before = random.getstate()
    images = [LabelledImage(str(i), Path(str(i)), i % 2) for i in range(9)]
    few_shot(images, 3, 1)
    evenly(images, 3, 1)
    assert random.getstate() == before


@pytest.mark.data
def test_a_published_draw_of_caltech101_is_reproduced(data):
    rows = json.loads((data / "protocols" / "split_zhou_Caltech101.json").read_text())["train"]
    train = [LabelledImage(path, Path(path), label) for path, label, _ in rows]
    # shot_1-seed_1.json of Cross-Modal Adaptation (Lin et al. 2023), which follows CoOp
    published = ["Faces/image_0201.jpg", "Leopards/image_0123.jpg", "Motorbikes/image_0036.jpg"]
    published += ["accordion/image_0043.jpg", "airplanes/image_0663.jpg", "anchor/image_0027.jpg"]
    published += ["ant/image_0003.jpg", "barrel/image_0022.jpg", "bass/image_0048.jpg"]
    drawn = few_shot(train, 1, 1)
    assert [image.key for image in drawn[:9]] == published
    assert drawn[83].key == "soccer_ball/image_0032.jpg"


@given(images_of, st.integers(1, 70), st.integers(0, 3))
def test_an_even_draw_is_even_and_in_order(images, limit, seed):
    drawn = evenly(images, limit, seed)
    assert len(drawn) == min(limit, len(images))
    assert drawn == [image for image in images if image in drawn]
    available = Counter(image.category for image in images)
    counts = Counter(image.category for image in drawn)
    most = max(counts.values(), default=0)
    for label, there in available.items():  # who has fewer than the most less one has given all
        assert counts[label] >= min(there, most - 1)


@given(images_of, st.integers(1, 30), st.integers(0, 3))
def test_a_larger_limit_keeps_what_a_smaller_one_drew(images, limit, seed):
    assert set(evenly(images, limit, seed)) <= set(evenly(images, limit + 5, seed))


def test_seeds_draw_differently():
    images = [LabelledImage(str(i), Path(str(i)), i % 4) for i in range(80)]
    for draw in (few_shot, evenly):
        assert draw(images, 5, 1) == draw(images, 5, 1) != draw(images, 5, 2)


boxes_of = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=60).map(
    lambda pairs: [
        LabelledImage(f"{image}.jpg#{i}", Path(f"{image}.jpg"), category, (0, 0, 9, 9))
        for i, (image, category) in enumerate(pairs)
    ]
)


@given(boxes_of, st.integers(1, 5), st.integers(0, 5))
def test_boxes_are_learnt_from_other_images_than_those_asked_about(boxes, shots, seed):
    learnt, asked = apart(boxes, shots, seed)
    assert not {one.file for one in learnt} & {one.file for one in asked}
    assert [one for one in boxes if one in learnt] == learnt
    assert [one for one in boxes if one in asked] == asked
    assert len(learnt) + len(asked) == len(boxes)
    have, given = (Counter(one.category for one in some) for some in (boxes, learnt))
    assert all(given[category] >= min(shots, count) for category, count in have.items())
    assert apart(boxes, shots, seed) == (learnt, asked)


def test_the_seed_draws_the_images():
    boxes = [LabelledImage(f"{i}#1", Path(f"{i}"), 0, (0, 0, 9, 9)) for i in range(40)]
    drawn = {tuple(one.key for one in apart(boxes, 3, seed)[0]) for seed in range(5)}
    assert {len(keys) for keys in drawn} == {3}  # no image more than is needed
    assert len(drawn) == 5


@given(boxes_of)
def test_in_how_many_images_a_category_is(boxes):
    for category, count in spread(boxes).items():
        assert count == len({one.file for one in boxes if one.category == category})
