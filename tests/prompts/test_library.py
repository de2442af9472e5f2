import hashlib
from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts import list_prompts, load_prompt

SHIPPED = {"rank@1": "121d23a0920f", "choice@1": "41c8eae24f5e", "pairwise@1": "33c921a0814a"}
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
    for reference, sha256 in SHIPPED.items():
        assert load_prompt(reference, tmp_path).sha256 == sha256


def test_the_users_folder_comes_first(tmp_path):
    write(tmp_path, VALID.replace("version: 2", "version: 1"), version=1)
    assert load_prompt("rank@1", tmp_path).templates[0] == ("system", "Sort {{{domain}}}.")
    write(tmp_path, VALID)
    assert {"rank@1", "rank@2"} <= set(list_prompts(tmp_path))


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
