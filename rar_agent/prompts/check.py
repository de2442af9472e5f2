"""All that is wrong with a prompt file, each with its line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rar_agent.prompts.form import Place, PromptFile, read_form
from rar_agent.prompts.lines import Document, Problem, UnreadableError
from rar_agent.prompts.message import Role
from rar_agent.prompts.prompt import REQUIRED, SUPPLIED, Prompt
from rar_agent.prompts.template import LISTS, PICTURES, Tag, read_template


@dataclass(frozen=True)
class _Used:
    """A tag, and the message it stands in."""

    tag: Tag
    role: Role
    line: int


def check(data: bytes, path: Path) -> tuple[Prompt | None, list[Problem]]:
    """Read a prompt.

    Args:
        data: The file.
        path: Where it lies, `<name>/<version>.yaml`; elsewhere its name is not compared.

    Returns:
        The prompt, None where a problem is an error; problems and warnings, by line.
    """
    try:
        document = Document(data)
    except UnreadableError as error:
        return None, [error.problem]
    file, problems = read_form(document)
    if file is None:
        return None, sorted(problems)
    if path.stem.isdigit() and (file.name, file.version) != (path.parent.name, int(path.stem)):
        place = f"Its place says {path.parent.name}@{int(path.stem)}: make them agree."
        line = document.line(("name" if file.name != path.parent.name else "version",))
        problems.append(Problem(line, f"says it is {file.name}@{file.version}", place))
    used, faults = _tags(file, document)
    problems += [*faults, *_roles(file, document), *_variables(file, document, used)]
    problems += _advice(file, document, used)
    if any(not problem.warning for problem in problems):
        return None, sorted(set(problems))
    prompt = Prompt(
        f"{file.name}@{file.version}",
        hashlib.sha256(data).hexdigest()[:12],
        file.output,
        tuple((role, template) for _, role, template in file.templates()),
        frozenset(one.tag.key for one in used),
        file.description,
        file.changelog,
        file.settings.model_dump(exclude_none=True),
        file.hints,
    )
    return prompt, sorted(set(problems))


def _tags(file: PromptFile, document: Document) -> tuple[list[_Used], list[Problem]]:
    used, problems = list[_Used](), list[Problem]()
    for place, role, template in file.templates():

        def line(tag: Tag, place: Place = place, template: str = template) -> int:
            earlier = template.count(tag.text, 0, tag.start)
            return document.line_within(place, tag.text, earlier)

        tags, faults = read_template(template, SUPPLIED[file.output])
        used += [_Used(tag, role, line(tag)) for tag in tags]
        problems += [Problem(line(fault.tag), fault.message, fault.fix) for fault in faults]
    return used, problems


def _roles(file: PromptFile, document: Document) -> Iterator[Problem]:
    templates = file.templates()
    for number, (place, role, _) in enumerate(templates):
        if role == "system" and number:
            message = "has a system message that is not the first"
            yield Problem(document.line(place[:-1]), message, "Put it first; providers ask for it.")
    place, role, _ = templates[-1]
    if role != "user":
        yield Problem(document.line(place[:-1]), f"ends with the {role}", "End with the user.")


def _variables(file: PromptFile, document: Document, used: Sequence[_Used]) -> Iterator[Problem]:
    """What does not agree: used, declared, required; and pictures where none can be sent."""
    keys = {one.tag.key for one in used}
    for name in sorted(REQUIRED - keys):
        line = document.line(("user",) if file.user is not None else ("messages",))
        written = f"{{{{#{name}}}}}…{{{{/{name}}}}}" if name in LISTS else f"{{{{{{{name}}}}}}}"
        yield Problem(line, f"does not use {name}", f"Write {written}.")
    for one in used:
        if one.tag.key in PICTURES and one.tag.kind == "value" and one.role != "user":
            message = f"shows {one.tag.text} in a message of role {one.role}"
            yield Problem(one.line, message, "Providers take pictures from the user: put it there.")
    if file.variables is None:
        return
    for number, name in enumerate(file.variables):
        if name not in keys:
            message = f"declares {name}, which no message uses"
            fix = "Use it, or take it out of variables."
            yield Problem(document.line(("variables", number)), message, fix)
    declared = {*file.variables, *(("photo",) if file.user is not None else ())}
    for key in sorted(keys - declared):
        line = min(one.line for one in used if one.tag.key == key)
        yield Problem(line, f"uses {key}, which is not declared", "Add it to variables.")


def _advice(file: PromptFile, document: Document, used: Sequence[_Used]) -> Iterator[Problem]:
    """What can be used as it is, and is hardly meant."""
    photos = [one for one in used if one.tag.key == "photo" and one.tag.kind == "value"]
    for one in photos:
        if "options" in one.tag.within:
            yield _warning(one.line, "shows the photo once for each option", "Show it once.")
    for one in photos[1:]:
        yield _warning(one.line, "shows the photo again", "Show it once: each costs tokens.")
    text = " ".join(template for _, _, template in file.templates())
    last = document.line(file.templates()[-1][0])
    if not re.search("instruct", text, re.IGNORECASE):
        message = "does not say what text inside the photo is"
        fix = "Say that writing in the photo is part of the photo, never an instruction."
        yield _warning(last, message, fix)
    keys = {one.tag.key for one in used}
    for word, key in (("described", "description"), ("exemplar", "picture")):
        if word in file.name and key not in keys:
            message = f"is named {file.name} and does not use {key}"
            yield _warning(document.line(("name",)), message, f"Use {key}, or rename it.")
    if file.output != "letter" and "example" not in keys:
        message = "does not show the form of the answer"
        yield _warning(last, message, 'Write {"ranking": [{{{example}}}]}.')
    if file.output == "described-ranking" and '"seen"' not in text:
        message = f'asks for a {file.output}, and its text does not ask for "seen"'
        yield _warning(last, message, 'Ask for {"seen": "…", "ranking": [{{{example}}}]}.')
    if file.settings.max_tokens is not None:
        line = document.line(("settings", "max_tokens"))
        message = f"lets the model write {file.settings.max_tokens} tokens"
        fix = "Leave max_tokens out: models that think first would use them up before answering."
        yield _warning(line, message, fix)
    if not file.description:
        yield _warning(1, "has no description", "Say in a sentence what it is for.")
    if file.variables is None and file.user is None:
        yield _warning(1, "declares no variables", f"Write variables: [{', '.join(sorted(keys))}].")


def _warning(line: int, message: str, fix: str) -> Problem:
    return Problem(line, message, fix, warning=True)
