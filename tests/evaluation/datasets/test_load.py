"""From a card to a data set, or to what has to be done first."""

import pytest

from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from rar_agent.evaluation.datasets import find_copies, list_datasets, load_dataset
from rar_agent.evaluation.datasets.check import digest, mark
from rar_agent.settings import load_settings
from tests.evaluation.datasets.conftest import paint

NAMES = ["blue tit", "robin"]


def test_a_folder_of_one_line(birds, at):
    data = load_dataset({"images": str(birds)}, at)
    assert (data.name, len(data.train), len(data.test)) == ("birds", 6, 4)
    assert [category.name for category in data.categories] == NAMES
    assert data.renamed == {"blue_tit": "blue tit"}
    assert data.train[0].key == "train/blue_tit/train0.png"
    assert all(image.file.is_file() for image in (*data.train, *data.test))
    assert [image.category for image in data.test] == [0, 0, 1, 1]


def test_a_folder_is_relative_to_where_one_stands(birds, at, monkeypatch):
    monkeypatch.chdir(birds.parent)
    assert len(load_dataset({"images": "birds"}, at).train) == 6


def test_a_card_finds_its_folder_among_the_data_sets(birds, at):
    data = load_dataset({"folder": "birds", "images": ".", "name": "mine"}, at)
    assert (data.name, len(data.train)) == ("mine", 6)


def test_one_folder_is_parted_the_same_on_every_machine(tmp_path, at):
    for place in ("here", "there"):
        for i in range(10):
            paint(tmp_path / place / "robin" / f"{i}.png", (i, 0, 0))
            paint(tmp_path / place / "wren" / f"{i}.png", (i, 1, 0))
    here, there = (
        load_dataset({"images": str(tmp_path / place), "test_share": 0.3}, at)
        for place in ("here", "there")
    )
    assert (len(here.train), len(here.test)) == (14, 6)
    assert [image.key for image in here.test] == [image.key for image in there.test]
    assert here.checksum == there.checksum


def test_the_checksum_belongs_to_names_and_keys(birds, at):
    before = load_dataset({"images": str(birds)}, at).checksum
    renamed = load_dataset({"images": str(birds), "renames": {"robin": "Robin"}}, at)
    assert renamed.checksum != before
    paint(birds / "test" / "robin" / "more.png")
    assert load_dataset({"images": str(birds)}, at).checksum != before


def test_renames_are_by_name_or_folder_and_are_recorded(birds, at):
    card = {"images": str(birds), "renames": {"robin": "European robin"}}
    data = load_dataset(card, at)
    assert data.renamed == {"blue_tit": "blue tit", "robin": "European robin"}


def test_names_from_a_file_decide_the_order(birds, at):
    (birds / "names.txt").write_text("robin European robin\nblue_tit\n")
    data = load_dataset({"images": str(birds), "names": str(birds / "names.txt")}, at)
    assert [category.name for category in data.categories] == ["European robin", "blue tit"]
    assert {image.category for image in data.train if "robin" in image.key} == {0}
    (birds / "names.txt").write_text("robin\n")
    with pytest.raises(DamagedDataError, match="does not list 1 of the folders: blue_tit"):
        load_dataset({"images": str(birds), "names": str(birds / "names.txt")}, at)


def test_rare_categories_have_few_images(birds, at):
    (birds / "train" / "robin" / "train0.png").unlink()
    assert load_dataset({"images": str(birds), "rare": 2}, at).rare == {1}
    assert load_dataset({"images": str(birds)}, at).rare == frozenset()


def test_counts_are_asserted(birds, at):
    counts = {"categories": 3, "train": 6, "test": 5_000}
    with pytest.raises(
        DamagedDataError, match=r"2 categories instead of 3, 4 test instead of 5,000"
    ):
        load_dataset({"images": str(birds), "counts": counts}, at)


def test_the_list_of_categories_is_asserted_and_differences_are_named(birds, at):
    right = {"classes": digest(NAMES), "marks": "".join(map(mark, NAMES))}
    load_dataset({"images": str(birds), **right}, at)
    (birds / "train" / "robin").rename(birds / "train" / "wren")
    (birds / "test" / "robin").rename(birds / "test" / "wren")
    with pytest.raises(DamagedDataError, match=r"'wren' not expected"):
        load_dataset({"images": str(birds), **right}, at)
    del right["marks"]
    with pytest.raises(DamagedDataError, match="from 'blue tit' to 'wren'"):
        load_dataset({"images": str(birds), **right}, at)


def test_a_category_that_is_missing_is_counted_out(birds, at):
    three = ["blue tit", "heron", "robin"]
    card = {"images": str(birds), "classes": digest(three), "marks": "".join(map(mark, three))}
    with pytest.raises(DamagedDataError, match="number 2 missing"):
        load_dataset(card, at)


def test_two_categories_of_one_name(birds, at):
    with pytest.raises(InputError, match=r"more than one category 'robin'.*renames"):
        load_dataset({"images": str(birds), "renames": {"blue_tit": "robin"}}, at)


def test_half_of_a_split_is_refused(birds, at):
    (birds / "test").rename(birds / "testing")
    with pytest.raises(InputError, match="no folder test"):
        load_dataset({"images": str(birds)}, at)
    assert len(load_dataset({"images": str(birds), "test": "testing"}, at).test) == 4


def test_an_unreadable_image_is_for_later(birds, at):
    (birds / "test" / "robin" / "test0.png").write_bytes(b"no image")
    assert len(load_dataset({"images": str(birds)}, at).test) == 4


def test_copies_are_found_and_leaks_told(birds, at):
    assert find_copies(load_dataset({"images": str(birds)}, at)) == []
    paint(birds / "test" / "robin" / "leak.png", (0, 1, False))  # as train1 of robin
    paint(birds / "train" / "robin" / "again.png", (0, 2, False))
    paint(birds / "train" / "blue_tit" / "other.png", (0, 2, False))
    found = find_copies(load_dataset({"images": str(birds)}, at))
    assert {copies.keys: (copies.leaks, copies.labels) for copies in found} == {
        ("train/robin/train1.png", "test/robin/leak.png"): (True, 1),
        ("train/blue_tit/other.png", "train/robin/again.png", "train/robin/train2.png"): (False, 2),
    }


# states


def test_what_is_not_there_says_what_to_fetch(at, place):
    states = {state.card.name: state for state in list_datasets(at)}
    assert states["fgvc_aircraft"].state == "downloadable"
    assert states["cub200"].state == "needs you"
    with pytest.raises(ConfigurationError) as error:
        load_dataset("cub200", at)
    for part in (
        "data.caltech.edu",
        "1.2 GB",
        "non-commercial",
        str(place / "cub200"),
        "RAR_EVALS",
    ):
        assert part in str(error.value)


def test_nothing_is_downloaded_unasked(at):
    with pytest.raises(ConfigurationError, match=r"RAR_DOWNLOAD=1: 2\.8 GB from https") as error:
        load_dataset("fgvc_aircraft", at)
    assert "non-commercial" in error.value.fix
    with pytest.raises(ConfigurationError, match="hub, and downloading is off"):
        load_dataset({"dataset": "someone/birds"}, at)


def test_a_download_that_fails_says_where_to_put_it(at, place):
    asked = load_settings(at, download=True)  # the tests reach nothing but loopback
    with pytest.raises(ConfigurationError, match="could not fetch FGVCAircraft") as error:
        load_dataset("fgvc_aircraft", asked)
    assert str(place / "fgvc_aircraft") in error.value.fix


def test_pieces_that_are_there_are_not_asked_for_again(at, place):
    split = place / "caltech-101" / "split_zhou_Caltech101.json"
    split.parent.mkdir()
    split.write_text("{}")
    [state] = [state for state in list_datasets(at) if state.card.name == "caltech101"]
    assert state.state == "needs you"
    assert "101_ObjectCategories" in state.message
    assert "drive.google.com" not in state.message


def test_a_bad_card_does_not_hide_the_others(at):
    own = at.home / "evals" / "datasets" / "bad.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("images: [")
    states = {state.card.name: state for state in list_datasets(at)}
    assert "cannot be read" in states["bad"].message
    assert "cub200" in states


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "leaks"), [("cub100", 0), ("caltech100", 0), ("cars196", 0), ("dogs120", 0)]
)
def test_real_subsets_are_what_their_cards_say(data, name, leaks):
    found = load_dataset(name, load_settings())
    assert found.caution
    assert sum(copies.leaks for copies in find_copies(found)) == leaks
