import os
from pathlib import Path

import pytest

from rar_agent.errors import InputError
from rar_agent.memory import read_folder, read_names


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


def test_names(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("# birds\nrobin\n\n  Bachman's Sparrow \n", encoding="utf-8")
    assert [category.name for category in read_names(file)] == ["robin", "Bachman's Sparrow"]
    file.write_text("\ufeffa\n#b", encoding="utf-8")  # a byte order mark is no part of a name
    assert [category.name for category in read_names(file)] == ["a"]
    for text, says in [("", "no names"), ("a\na\n", "twice"), ("x" * 201, "200 characters")]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=says):
            read_names(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_names(tmp_path / "missing")


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
