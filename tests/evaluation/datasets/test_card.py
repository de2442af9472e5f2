"""Cards: those that ship, and what is wrong with others."""

import pytest

from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.evaluation.datasets.card import find_cards, load_card, read_card
from rar_agent.evaluation.datasets.check import digest, mark
from rar_agent.evaluation.suite import find_suites, load_suite

TEST_SIZES = {  # of CoOp's protocol, and RAF-DB's that the paper took for FGVC-Aircraft
    "imagenet": 50_000,
    "caltech101": 2_465,
    "oxford_pets": 3_669,
    "stanford_cars": 8_041,
    "flowers": 2_463,
    "food101": 30_300,
    "fgvc_aircraft": 3_333,
    "sun397": 19_850,
    "dtd": 1_692,
    "eurosat": 8_100,
    "ucf101": 3_783,
    "raf_db": 3_068,
    "cub200": 5_794,
    "dogs120-full": 8_580,
}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    home = tmp_path_factory.mktemp("empty")
    return {name: read_card(path) for name, path in find_cards(home).items()}


def test_every_shipped_card_says_what_matters(shipped):
    for name, card in shipped.items():
        assert card.name == name
        assert card.title
        assert card.domain != "categories"
        assert card.licence
        assert card.counts.categories
        assert card.counts.train or card.source.loader == "coco"
        assert card.counts.test or card.source.loader == "coco"
        if card.marks:
            assert len("".join(card.marks.split())) == 2 * card.counts.categories
            assert card.classes
        if card.download:
            assert card.download.url.startswith("http")
            assert card.download.size


def test_test_sizes_are_those_of_the_protocol(shipped):
    assert {name: shipped[name].counts.test for name in TEST_SIZES} == TEST_SIZES


@pytest.mark.parametrize(
    ("name", "card"),
    [("flowers102", "flowers"), ("pets37", "oxford_pets"), ("cars196-full", "stanford_cars")],
)
def test_the_fine_grained_sets_have_their_usual_names_too(tmp_path, name, card):
    assert load_card(name, tmp_path).name == card


def test_other_names_are_of_one_card_only(shipped):
    names = [*shipped, *(other for card in shipped.values() for other in card.also)]
    assert len(names) == len(set(names))


def test_every_shipped_suite_has_its_card(tmp_path):
    for name in find_suites(tmp_path):
        load_card(load_suite(name, tmp_path).dataset, tmp_path)


def test_raf_and_icons_name_their_own_categories(shipped):
    for name in ("raf_db", "icons"):
        card = shipped[name]
        assert digest(card.source.names) == card.classes
        assert len(card.source.names) == card.counts.categories
    assert "".join(map(mark, shipped["raf_db"].source.names)) == shipped["raf_db"].marks
    assert shipped["icons"].counts.categories >= 300


def test_the_users_own_card_comes_first(tmp_path):
    own = tmp_path / "evals" / "datasets" / "cub100.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("title: mine\nimages: birds\n")
    assert load_card("cub100", tmp_path).title == "mine"
    assert load_card(str(own), tmp_path).source.images == "birds"


def test_what_there_is_is_said(tmp_path):
    with pytest.raises(NotFoundError, match=r"no data set 'cub'.*cub200.*images: FOLDER"):
        load_card("cub", tmp_path)
    with pytest.raises(NotFoundError, match=r"no file 'x\.yaml'"):
        load_card("x.yaml", tmp_path)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "source is not valid"),
        ({"images": "x", "tempaltes": ["a {}"]}, "tempaltes"),
        ({"images": "x", "templates": ["a photo"]}, r"templates.*no \{\}"),
        ({"loader": "magic", "images": "x"}, "magic"),
        ({"dataset": "x", "train": "all", "test": "all"}, "same split"),
        ({"images": "x", "test_share": 1}, "test_share"),
    ],
)
def test_plain_data_that_is_no_card(tmp_path, spec, reason):
    with pytest.raises(InputError, match=reason):
        load_card(spec, tmp_path)


@pytest.mark.parametrize("text", ["a: [", "just words", "title: x\nsource: {loader: coop}\n"])
def test_a_file_that_is_no_card_is_named(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        read_card(file)
