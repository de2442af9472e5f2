"""Finding and loading: whose comes first, and what an invalid file is told."""

from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts import find_prompts, list_prompts, load_prompt

VALID = """
name: rank
version: 2
system: Sort {{{domain}}}.
user: "{{#options}}{{{letter}}} {{{name}}};{{/options}}"
"""


def write(home, text, version="2"):
    folder = Path(home) / "prompts" / "rank"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}.yaml"
    path.write_text(text)
    return path


def test_the_users_folder_comes_first(tmp_path):
    own = write(tmp_path, VALID.replace("version: 2", "version: 1"), "1")
    assert load_prompt("rank@1", tmp_path).templates[0] == ("system", "Sort {{{domain}}}.")
    other = write(tmp_path, VALID)
    found = {found.reference: found for found in find_prompts(tmp_path)}
    assert [(found[r].path, found[r].own, found[r].hides) for r in ("rank@1", "rank@2")] == [
        (own, True, True),
        (other, True, False),
    ]
    assert not found["choice@1"].own


def test_versions_are_in_their_order(tmp_path):
    for version in ("10", "9", "02", "latest"):
        write(tmp_path, VALID, version)
    assert [r for r in list_prompts(tmp_path) if r.startswith("rank@")] == [
        "rank@1",
        "rank@9",
        "rank@10",
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{{{domain}}}", "{{{colour}}}", ":4 uses colour, which is not supplied"),
        ("{{{domain}}}", "{{domain}}", ":4 uses {{domain}}, which HTML-escapes it"),
        ("{{{letter}}} ", "", ":5 does not use letter"),
        ("version: 2", "version: 3", ":3 says it is rank@3. Its place says rank@2"),
        ("system:", "sytem:", ":4 has an unknown key 'sytem'. Is it 'system'?"),
        ("name: rank", "name: [", "is not YAML"),
        ("{{{name}}}", "{{{nam}}}", "(1 more: rar-agent prompts lint rank@2)"),
    ],
)
def test_an_invalid_prompt_fails_when_loaded(tmp_path, old, new, says):
    path = write(tmp_path, VALID.replace(old, new))
    with pytest.raises(ConfigurationError) as error:
        load_prompt("rank@2", tmp_path)
    assert str(error.value).startswith(f"Prompt {path}:")
    assert says in str(error.value)


@pytest.mark.parametrize(
    "reference", ["rank", "rank@", "rank@x", "rank@01", "rank@²", "rank@99", "other@1", "../x@1"]
)
def test_unknown_prompts_say_what_there_is(tmp_path, reference):
    with pytest.raises(NotFoundError, match="rank@1"):
        load_prompt(reference, tmp_path)
