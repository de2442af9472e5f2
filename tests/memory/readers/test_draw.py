import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory.readers import (
    FolderReader,
    NamesReader,
    Sample,
    SampleReader,
    ShardReader,
    TableReader,
    chain,
    draw,
)
from rar_agent.types import Category, Failure
from tests.memory.readers.pictures import png, read
from tests.memory.readers.test_shards import BIRDS, tar

NAMES = "abcd"


def reader_of(names):
    """An image for each name, in that order, each another one."""
    return SampleReader(
        [Sample(Category(name=name), str(i), f"image {i}") for i, name in enumerate(names)]
    )


names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=30)
few = st.integers(1, 6)
seeds = st.integers(0, 9)


@given(names, few, seeds)
def test_a_draw(names, shots, seed):
    everything = list(reader_of(names).samples())
    drawn = draw(reader_of(names), shots, seed)
    samples = list(drawn.samples())
    positions = [everything.index(sample) for sample in samples]
    assert positions == sorted(set(positions))
    there, taken = Counter(names), Counter(s.category.name for s in samples)
    assert taken == {name: min(count, shots) for name, count in there.items()}
    assert drawn.count == len(samples)
    assert list(drawn.samples()) == samples
    assert list(draw(reader_of(names), shots, seed).samples()) == samples


@given(names, few, seeds, st.randoms())
def test_other_categories_do_not_matter(names, shots, seed, shuffled):
    """However the images of others stand between them, the same of its own are drawn."""

    def of_a(names):
        own = [i for i, name in enumerate(names) if name == "a"]
        samples = draw(reader_of(names), shots, seed).samples()
        return [own.index(int(s.image)) for s in samples if s.category.name == "a"]

    others = list(names)
    shuffled.shuffle(others)
    assert of_a(names) == of_a(others) == of_a([n for n in names if n == "a"] or ["b"])


def test_the_draw_is_that_of_the_key():
    samples = [Sample(Category(name="a b"), str(i), "", key="a_b") for i in range(20)]
    drawn = draw(SampleReader(samples), 5, 7)
    expected = sorted(random.Random("7:a_b").sample(range(20), 5))
    assert [int(s.image) for s in drawn.samples()] == expected
    assert len({tuple(s.image for s in draw(SampleReader(samples), 5, i).samples()) for i in "123"})


def test_seeds_draw_differently():
    draws = {tuple(s.image for s in draw(reader_of("a" * 20), 3, i).samples()) for i in range(9)}
    assert len(draws) > 1


def test_names_and_failures_pass_through(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image,category\n1.png,a\n,b\n2.png,\n3.png,a\n,b\n", encoding="utf-8")
    drawn = draw(TableReader(path), 1)
    samples, failures = read(drawn)
    assert sorted(s.category.name for s in samples) == ["a", "b", "b"]
    assert len(failures) == 1
    assert drawn.count == 1


def test_shards_are_drawn_from(tmp_path):
    tar(tmp_path / "t.tar", BIRDS)
    drawn = draw(ShardReader(tmp_path / "t.tar"), 1)
    assert sorted(s.category.name for s in read(drawn)[0]) == ["robin", "wren"]
    assert drawn.count == 2


def test_other_shots_and_seeds_are_other_inputs(discs):
    reader = FolderReader(discs)
    identities = [reader.identity]
    identities += [draw(reader, shots, seed).identity for shots in (1, 2) for seed in (0, 1)]
    assert len(set(identities)) == 5
    assert draw(FolderReader(discs), 2, 1).identity == identities[-1]


def test_no_images_of_each_are_refused(discs):
    with pytest.raises(InputError, match="0 images of each"):
        draw(FolderReader(discs), 0)


def test_a_chain_reads_one_after_another(discs, tmp_path):
    (tmp_path / "names.txt").write_text("robin\n", encoding="utf-8")
    (tmp_path / "t.csv").write_text("image,category\n1.png,\n2.png,a\n", encoding="utf-8")
    parts = [FolderReader(discs), NamesReader(tmp_path / "names.txt")]
    parts += [TableReader(tmp_path / "t.csv")]
    chained = chain(*parts)
    expected = [sample for part in parts for sample in part.samples()]
    assert list(chained.samples()) == expected == list(chained.samples())
    assert isinstance(expected[-2], Failure)
    assert chained.count == 37
    tar(tmp_path / "t.tar", BIRDS)
    assert chain(*parts, ShardReader(tmp_path / "t.tar")).count is None
    assert chain(parts[0]) is parts[0]
    assert chain(*parts).identity == chained.identity
    assert chain(*reversed(parts)).identity != chained.identity
    assert chain(*parts[:2]).identity != chained.identity
    with pytest.raises(InputError, match="nothing to learn"):
        chain()


def test_a_draw_from_a_chain_counts_a_category_once(tmp_path):
    (tmp_path / "f" / "a_b").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "f" / "a_b" / f"{i}.png").write_bytes(png(i))
    (tmp_path / "t.csv").write_text("image,category\n1.png,a b\n2.png,a b\n", encoding="utf-8")
    both = chain(FolderReader(tmp_path / "f"), TableReader(tmp_path / "t.csv"))
    assert both.count == 5
    assert len(list(draw(both, 4).samples())) == 4
