import os
import random
import shutil
from pathlib import Path

import pytest

from rar_agent.errors import InputError
from rar_agent.images import admit
from rar_agent.memory.readers import SUFFIXES, FolderReader, read_folder
from tests.memory.readers.pictures import png


def test_a_folder_of_folders(discs):
    found = read_folder(discs)
    assert [category.name for category, _ in found] == sorted(
        f"{c} discs" for c in ("red", "green", "blue", "orange", "purple", "black")
    )
    assert all(len(images) == 6 for _, images in found)


def test_shots_are_drawn_by_the_seed_not_the_first(discs):
    draws = {tuple(read_folder(discs, shots=2, seed=s)[0][1]) for s in range(6)}
    assert len(draws) > 1
    assert read_folder(discs, 2, 1) == read_folder(discs, 2, 1)


def test_other_files_and_hidden_folders_are_passed_over(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for place in ("a/1.JPG", "a/deep/2.png", "a/notes.txt", ".hidden/3.png", "loose.png"):
        (tmp_path / place).touch()
    [(category, images)] = read_folder(tmp_path)
    assert category.name == "a"
    assert [image.name for image in images] == ["1.JPG", "2.png"]


def test_what_is_no_folder_of_folders(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        read_folder(tmp_path / "missing")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="no folders with images"):
        read_folder(tmp_path)


def test_folders_whose_names_become_one(tmp_path):
    for name in ("a_b", "a b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    with pytest.raises(InputError, match="'a b' appears twice"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["_", "x" * 201])
def test_folders_that_cannot_name_a_category(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").touch()
    with pytest.raises(InputError, match="cannot name a category"):
        read_folder(tmp_path)


def test_paths_are_absolute_and_odd_file_names_are_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f" / "mushroom [edible]").mkdir(parents=True)
    odd = os.fsencode(tmp_path / "f" / "mushroom [edible]") + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).touch()
    [(category, [image])] = read_folder(Path("f"))
    assert category.name == "mushroom [edible]"
    assert image.is_absolute()
    assert os.fsencode(image) == odd


def test_a_sample_an_image(discs):
    reader = FolderReader(discs)
    samples = list(reader.samples())
    assert reader.count == len(samples) == 36
    assert samples == list(reader.samples())
    assert [(s.category, s.image) for s in samples] == [
        (category, image) for category, images in read_folder(discs) for image in images
    ]
    assert all(s.source == str(s.image) and Path(s.source).is_absolute() for s in samples)
    assert samples[0].category.name == "black discs"
    assert samples[0].key == "black_discs"
    assert admit(samples[0].image).rgb.size == (96, 96)


@pytest.mark.parametrize("shots", [1, 2, 5, 6, 7])
@pytest.mark.parametrize("seed", [0, 3])
def test_draws_are_those_of_the_first_release(discs, shots, seed):
    expected = []
    for place in sorted(discs.resolve().iterdir()):
        images = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
        if len(images) > shots:
            images = sorted(random.Random(f"{seed}:{place.name}").sample(images, shots))
        expected.append((place.name.replace("_", " "), images))
    assert [(c.name, images) for c, images in read_folder(discs, shots, seed)] == expected


def test_a_folder_whose_name_is_not_utf8_can_be_drawn_from(tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    place.mkdir()
    for i in range(3):
        (place / f"{i}.png").touch()
    [(category, images)] = read_folder(tmp_path, shots=1)
    assert category.name == "caf?"
    assert len(images) == 1


@pytest.mark.parametrize("change", ["add", "remove", "rename", "rewrite", "touch", "category"])
def test_a_changed_folder_is_another(tmp_path, change):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(1))
    before = FolderReader(tmp_path).identity
    assert FolderReader(tmp_path).identity == before
    image = tmp_path / "a" / "1.png"
    if change == "add":
        (tmp_path / "a" / "2.png").write_bytes(png(2))
    elif change == "remove":
        shutil.rmtree(tmp_path / "b")
    elif change == "rename":
        image.rename(tmp_path / "a" / "2.png")
    elif change == "rewrite":
        image.write_bytes(png(1) + b"more")
    elif change == "touch":
        os.utime(image, ns=(1, 1))
    else:
        (tmp_path / "a").rename(tmp_path / "c")
    assert FolderReader(tmp_path).identity != before


def test_other_files_change_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(png(1))
    before = FolderReader(tmp_path).identity
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "1.png").touch()
    assert FolderReader(tmp_path).identity == before
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path, moved)  # copies times of change too
    assert FolderReader(moved).identity == before


def test_a_folder_that_is_gone(tmp_path):
    (tmp_path / "f").mkdir()
    reader = FolderReader(tmp_path / "f")
    (tmp_path / "f").rmdir()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        next(reader.samples())


def test_what_is_wrong_is_said_before_the_first_image(tmp_path):
    for name in ("a", "x" * 201):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    with pytest.raises(InputError, match="cannot name a category"):
        next(FolderReader(tmp_path).samples())
