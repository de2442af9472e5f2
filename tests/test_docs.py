"""What the documents say is what there is."""

import re
from pathlib import Path

import pytest

from rar_agent.cli.main import COMMANDS
from rar_agent.settings import NOT_SETTINGS, Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_variables_that_are_named_are_settings(document):
    known = {f"RAR_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS
    assert set(re.findall(r"\bRAR_[A-Z_]+\b", document.read_text())) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_commands_that_are_shown_exist(document):
    loaded = {name: command.load(name) for name, command in COMMANDS.items()}
    groups = {
        name: set(group.commands) for name, group in loaded.items() if hasattr(group, "commands")
    }
    shown = re.findall(rf"rar-agent ({'|'.join(groups)}) ([a-z]+)", document.read_text())
    for group, command in shown:
        assert command in groups[group]


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
