"""What the documents say is what there is."""

import re
from pathlib import Path

import pytest

from rar_agent.cli.main import app
from rar_agent.settings import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_variables_that_are_named_are_settings(document):
    known = {f"RAR_{name.upper()}" for name in Settings.model_fields} | {"RAR_DATA", "RAR_DEBUG"}
    assert set(re.findall(r"\bRAR_[A-Z_]+\b", document.read_text())) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_commands_that_are_shown_exist(document):
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    [memory] = app.registered_groups
    memory_commands = {
        (c.name or c.callback.__name__).rstrip("_")
        for c in memory.typer_instance.registered_commands
    }
    for command, sub in re.findall(
        r"rar-agent (recognize|doctor|memory)(?: ([a-z]+))?", document.read_text()
    ):
        assert command in commands | {"memory"}
        if command == "memory" and sub:
            assert sub in memory_commands


def test_modules_and_files_that_are_named_exist():
    for document in DOCUMENTS:
        for name in re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|yaml))`", document.read_text()):
            assert (ROOT / name).exists() or (ROOT / "rar_agent" / name).exists(), (document, name)


def settings_table():
    rows = ["| setting | environment | default | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "user data folder" if name == "home" else str(field.default)
        what = " ".join((field.description or "").split()).replace("|", "/")
        rows.append(f"| `{name}` | `RAR_{name.upper()}` | {default} | {what} |")
    return "\n".join(rows)


def test_the_table_of_settings_is_complete():
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text(), settings_table()
