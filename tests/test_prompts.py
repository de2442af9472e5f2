import hashlib
from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts import list_prompts, load_prompt

SHIPPED = {"rank@1": "121d23a0920f"}
"""A shipped version never changes: write a new one instead."""

VALID = """
name: rank
version: 2
system: Sort {{{domain}}}.
user: "{{#options}}{{{letter}}} {{{name}}};{{/options}}"
"""


def write(home, text, version=2):
    folder = Path(home) / "prompts" / "rank"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.yaml").write_text(text)


def test_shipped_prompts_never_change(tmp_path, request):
    folder = request.config.rootpath / "prompts"
    found = {
        f"{path.parent.name}@{path.stem}": hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in folder.glob("*/*.yaml")
    }
    assert found == SHIPPED
    assert load_prompt("rank@1", tmp_path).sha256 == SHIPPED["rank@1"]


def test_values_are_put_in_as_they_are(tmp_path):
    write(tmp_path, VALID)
    values = {
        "domain": "birds & <bees>",
        "options": [
            {"letter": "A", "name": "Bachman's {{{domain}}}"},
            {"letter": "B", "name": "b"},
        ],
    }
    system, user = load_prompt("rank@2", tmp_path).render(values)
    assert system == "Sort birds & <bees>."
    assert user == "A Bachman's {{{domain}}};B b;"


def test_the_users_folder_comes_first(tmp_path):
    write(tmp_path, VALID.replace("version: 2", "version: 1"), version=1)
    assert load_prompt("rank@1", tmp_path).system.startswith("Sort")
    write(tmp_path, VALID)
    assert list_prompts(tmp_path) == ["rank@1", "rank@2"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{{{domain}}}", "{{{colour}}}", "uses colour"),
        ("{{{domain}}}", "{{domain}}", "HTML-escapes"),
        ("{{{letter}}} ", "", "does not use letter"),
        ("{{/options}}", "", "not mustache"),
        ("Sort", "Sort {{> other}}", "includes 'other'"),
        ("version: 2", "version: 3", "says it is rank@3"),
        ("system:", "sytem:", "not valid"),
        ("name: rank", "name: [", "not valid"),
    ],
)
def test_bad_prompts_fail_when_loaded(tmp_path, old, new, says):
    write(tmp_path, VALID.replace(old, new))
    with pytest.raises(ConfigurationError) as error:
        load_prompt("rank@2", tmp_path)
    assert says in str(error.value)


@pytest.mark.parametrize("reference", ["rank", "rank@", "rank@x", "rank@99", "other@1", "../x@1"])
def test_unknown_prompts_say_what_there_is(tmp_path, reference):
    with pytest.raises(NotFoundError, match="rank@1"):
        load_prompt(reference, tmp_path)
