"""Writing the next version of a prompt into the user's folder."""

from __future__ import annotations

from pathlib import Path

import yaml

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.prompts.library import (
    Found,
    find_prompt,
    find_prompts,
    is_name,
    load_prompt,
    own_folder,
    read_prompt,
)
from rar_agent.prompts.lines import Document


def write_next(name: str, base: str, home: Path) -> Found:
    """Copy a prompt to the next version of a name, in the user's folder.

    Args:
        name: Of the new prompt.
        base: `name@version` of the one to copy.
        home: RAR_HOME.

    Raises:
        InputError: No prompt can be named so.
        NotFoundError: There is no such prompt to copy.
        ConfigurationError: The folder cannot be written, or the prompt to copy is not valid.
    """
    if not is_name(name):
        raise InputError(
            f"No prompt can be named '{name}'.", "Take letters, digits and '-', a letter first."
        )
    version = 1 + max((f.version for f in find_prompts(home) if f.name == name), default=0)
    load_prompt(base, home)  # what is not valid is not copied
    document = Document(read_prompt(find_prompt(base, home)))
    text = _renamed(document, {"name": name, "version": version, "changelog": f"From {base}."})
    path = own_folder(home) / name / f"{version}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8")
        try:
            with file:
                file.write(text)
        except OSError:  # half a prompt would be there for all who look
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"'{path}' cannot be written: {error.strerror}.", "Set RAR_HOME to a folder of yours."
        ) from error
    return Found(name, version, path, own=True)


def _renamed(document: Document, values: dict[str, str | int]) -> str:
    """The file with other values of some keys; everything else, comments too, stays as it is."""
    text, after = document.text, document.node(("version",))
    edits = []
    for key, value in values.items():
        node, written = document.node((key,)), yaml.safe_dump(value).split("\n")[0]
        if node is not None:
            begin, end = node.start_mark.index, node.end_mark.index
            edits.append((begin, end, written + ("\n" if text[begin:end].endswith("\n") else "")))
        elif after is not None:
            edits.append((after.end_mark.index, after.end_mark.index, f"\n{key}: {written}"))
    for begin, end, written in sorted(edits, reverse=True):
        text = text[:begin] + written + text[end:]
    return text
