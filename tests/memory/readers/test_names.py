import pytest

from rar_agent.errors import InputError
from rar_agent.memory.readers import NamesReader, Sample, read_names
from rar_agent.types import Category


def test_names(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("# birds\nrobin\n\n  Bachman's Sparrow \n", encoding="utf-8")
    assert [category.name for category in read_names(file)] == ["robin", "Bachman's Sparrow"]
    file.write_text("\ufeffa\n#b", encoding="utf-8")  # a byte order mark is no part of a name
    assert [category.name for category in read_names(file)] == ["a"]
    wrong = [
        ("", "no names"),
        ("# letters\na\n\nb\n  a\n", "'a' appears twice in .*, in lines 2 and 5"),
        ("x" * 201, "200 characters"),
    ]
    for text, says in wrong:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=says):
            read_names(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_names(tmp_path / "missing")


def test_a_sample_a_name(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("# birds\nrobin\n\nwren\n", encoding="utf-8")
    reader = NamesReader(file)
    assert list(reader.samples()) == [
        Sample(Category(name="robin"), None, f"{file}:2"),
        Sample(Category(name="wren"), None, f"{file}:4"),
    ]
    assert list(reader.samples()) == list(reader.samples())
    assert reader.count == 0
    assert NamesReader(file).identity == reader.identity
    file.write_text("robin\nwren\n# birds\n", encoding="utf-8")
    assert NamesReader(file).identity == reader.identity
    file.write_text("wren\nrobin\n", encoding="utf-8")
    assert NamesReader(file).identity != reader.identity


def test_a_file_that_is_no_list_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        NamesReader(tmp_path / "missing")
