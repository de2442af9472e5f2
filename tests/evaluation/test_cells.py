"""Cells: what is learnt, and what is asked."""

from dataclasses import replace
from pathlib import Path

import pytest

from rar_agent.detection import CropStyle
from rar_agent.errors import InputError
from rar_agent.evaluation.cells import cells_of
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.suite import Suite


def suite(**options):
    return Suite(name="x", dataset="x", **options)


def test_few_shot_is_every_shot_with_every_seed(drawings):
    cells = cells_of(suite(protocol={"shots": [1, 4], "seeds": [1, 2]}), drawings)
    assert [cell.name for cell in cells] == [
        "1-shot, seed 1",
        "1-shot, seed 2",
        "4-shot, seed 1",
        "4-shot, seed 2",
    ]
    assert cells[0].slug == "1-shot-seed1"
    assert [cell.group for cell in cells] == ["1-shot", "1-shot", "4-shot", "4-shot"]
    assert [len(cell.learnt) for cell in cells] == [6, 6, 24, 24]
    assert cells[0].learnt != cells[1].learnt
    for cell in cells:
        assert {one.category for one in cell.learnt} == set(range(6))
        assert list(cell.test) == list(drawings.test)  # nothing of it is learnt
        assert not {one.key for one in cell.learnt} & {one.key for one in cell.test}
        assert not cell.texts


def test_a_cell_knows_which_categories_give_too_few(drawings):
    few = [one for one in drawings.train if one.category != 2 or one.key.endswith("/0.png")]
    cells = cells_of(suite(protocol={"shots": [1, 4], "seeds": [1]}), replace(drawings, train=few))
    assert [cell.short for cell in cells] == [0, 1]
    assert len(cells[1].learnt) == 5 * 4 + 1


def test_a_limit_is_spread_over_categories(drawings):
    [cell] = cells_of(suite(protocol={"shots": [1], "seeds": [1]}, limit=12), drawings)
    assert sorted(one.category for one in cell.test) == sorted([*range(6)] * 2)


def test_zero_shot_learns_names_alone(drawings):
    [cell] = cells_of(suite(protocol={"kind": "zero-shot"}), drawings)
    assert cell.texts
    assert cell.learnt == ()


def test_the_same_images_among_ever_more_categories(drawings):
    asked = {"kind": "categories", "counts": [2, 4, 100], "shots": 2, "seeds": [1]}
    few, more = cells_of(suite(protocol=asked), drawings)
    assert (len(few.known), len(more.known)) == (2, 4)
    assert set(few.known) < set(more.known)
    assert few.test == more.test
    assert {one.category for one in few.test} == set(few.known)
    assert {one.category for one in more.learnt} == set(more.known)
    assert len(more.learnt) == 8


def test_more_candidates_of_one_memory(drawings):
    asked = {"kind": "candidates", "ks": [1, 3], "shots": 2, "seeds": [1, 2]}
    cells = cells_of(suite(protocol=asked), drawings)
    assert [(cell.group, cell.k, cell.memory) for cell in cells] == [
        ("k = 1", 1, "2-shot-seed1"),
        ("k = 3", 3, "2-shot-seed1"),
        ("k = 1", 1, "2-shot-seed2"),
        ("k = 3", 3, "2-shot-seed2"),
    ]
    assert len({cell.slug for cell in cells}) == 4
    assert cells[0].learnt == cells[1].learnt != cells[2].learnt


def test_without_a_vocabulary_images_are_learnt_and_no_names(drawings):
    asked = {"kind": "vocabulary-free", "images": 3, "seeds": [1]}
    [cell] = cells_of(suite(protocol=asked), drawings)
    assert (cell.name, cell.group) == ("vocabulary-free, seed 1", "vocabulary-free")
    assert cell.guessed
    assert len(cell.learnt) == 18
    assert cell.known == ()
    assert len(cell.test) == len(drawings.test)


def test_what_a_data_set_is_too_small_for(drawings):
    with pytest.raises(InputError, match="6 categories, fewer than each of 10"):
        cells_of(suite(protocol={"kind": "categories", "counts": [10]}), drawings)
    with pytest.raises(InputError, match="no test images"):
        cells_of(suite(), replace(drawings, test=[]))


STYLES = {"sharp": {"blur": 0}, "square": {"square": True}}


@pytest.fixture
def boxes(drawings):
    """Boxes of nothing to learn from: of the last category in 2 images, of the others in 12."""
    listed = [
        LabelledImage(f"{image}#{category}", Path(f"{image}"), category, (0, 0, 9, 9))
        for image in range(12)
        for category in range(6 if image < 2 else 5)
    ]
    return replace(drawings, train=[], test=listed)


def test_names_of_the_same_boxes_in_each_style(boxes):
    sharp, square = cells_of(suite(protocol={"kind": "crops", "styles": STYLES}), boxes)
    assert (sharp.name, sharp.crop) == ("sharp", CropStyle(blur=0))
    assert (square.name, square.crop) == ("square", CropStyle(square=True))
    for cell in (sharp, square):
        assert cell.texts
        assert cell.learnt == ()
        assert list(cell.known) == list(range(6))
        assert cell.test == boxes.test


def test_exemplars_of_each_style_are_of_images_that_are_not_asked_about(boxes):
    asked = {"kind": "crops", "styles": STYLES, "shots": 4, "images": 5, "seeds": [1, 2]}
    cells = cells_of(suite(protocol=asked), boxes)
    assert [(cell.name, cell.group) for cell in cells] == [
        ("sharp, seed 1", "sharp"),
        ("square, seed 1", "square"),
        ("sharp, seed 2", "sharp"),
        ("square, seed 2", "square"),
    ]
    assert len({cell.memory for cell in cells}) == 4  # what is learnt looks different
    for cell in cells:
        assert list(cell.known) == list(range(5))
        assert (len(cell.learnt), cell.short, cell.texts) == (5 * 4, 0, False)
        assert {one.category for one in (*cell.learnt, *cell.test)} == set(range(5))
        assert not {one.file for one in cell.learnt} & {one.file for one in cell.test}
    assert cells[0].learnt == cells[1].learnt != cells[2].learnt
    assert cells[0].test == cells[1].test != cells[2].test


def test_exemplars_are_of_train_where_there_is_one(boxes):
    data = replace(boxes, train=boxes.test[:30], test=boxes.test[30:])
    asked = {"kind": "crops", "styles": STYLES, "shots": 2}
    for cell in cells_of(suite(protocol=asked), data):
        assert set(cell.learnt) <= set(data.train)
        assert cell.test == data.test


@pytest.mark.parametrize("kind", ["crops", "categories"])
def test_of_some_categories_alone_no_proposal_is_wrong(boxes, kind):
    data = replace(boxes, train=boxes.test, annotations={"info": {"boxes": "proposed"}})
    protocol = {"kind": kind, **({"styles": STYLES} if kind == "crops" else {"counts": [2]})}
    with pytest.raises(InputError, match=f"'{kind}' asks about boxes of some categories"):
        cells_of(suite(protocol=protocol), data)
    cells_of(suite(protocol=protocol), replace(data, annotations={}))


def test_a_limit_of_proposals_is_of_whole_images(boxes):
    data = replace(boxes, annotations={"info": {"boxes": "proposed"}})
    [cell] = cells_of(suite(protocol={"kind": "zero-shot"}, limit=7), data)
    assert len({one.file for one in cell.test}) == 1
    [cell] = cells_of(suite(protocol={"kind": "zero-shot"}, limit=7), boxes)
    assert len({one.file for one in cell.test}) > 1


def test_what_cannot_be_cropped(boxes, drawings):
    with pytest.raises(InputError, match="has no boxes"):
        cells_of(suite(protocol={"kind": "crops", "styles": STYLES}), drawings)
    for more in ({"images": 13}, {"shots": 12}):
        with pytest.raises(InputError, match="no image is left to ask about"):
            cells_of(suite(protocol={"kind": "crops", "styles": STYLES, **more}), boxes)
