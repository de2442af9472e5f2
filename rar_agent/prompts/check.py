"""All that is wrong with a prompt file, each with its line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rar_agent.prompts.form import Form, Place, PromptFile, read_form
from rar_agent.prompts.lines import Document, Problem, UnreadableError
from rar_agent.prompts.message import Role
from rar_agent.prompts.prompt import REQUIRED, SUPPLIED, Prompt
from rar_agent.prompts.template import LISTS, PICTURES, Tag, read_template, supplied_are


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
    form, problems = read_form(document)
    if form is None:
        return None, sorted(problems)
    file = form.file
    used, unknown, faults = _tags(file, document)
    problems += [
        *_place(form, document, path),
        *faults,
        *_variables(form, document, used, unknown),
        *(_roles(file, document) if form.whole else ()),
        *(_advice(form, document, used) if form.whole else ()),
    ]
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


def _place(form: Form, document: Document, path: Path) -> Iterator[Problem]:
    """Where a file says that it is another than where it lies."""
    if not path.stem.isdigit():
        return
    lies = {"name": path.parent.name, "version": int(path.stem)}
    says = {key: getattr(form.file, key) for key in lies if key not in form.amiss}
    for key, value in says.items():
        if value != lies[key]:
            said = {**lies, **says}
            fix = f"Its place says {path.parent.name}@{int(path.stem)}: make them agree."
            message = f"says it is {said['name']}@{said['version']}"
            yield Problem(document.line((key,)), message, fix)
            return


def _tags(
    file: PromptFile, document: Document
) -> tuple[list[_Used], dict[str, int], list[Problem]]:
    """Tags, the first line of each variable that is not supplied, and all that is wrong."""
    used, unknown, problems = list[_Used](), dict[str, int](), list[Problem]()
    for place, role, template in file.templates():

        def line(tag: Tag, place: Place = place, template: str = template) -> int:
            earlier = template.count(tag.text, 0, tag.start)
            return document.line_within(place, tag.text, earlier)

        tags, faults = read_template(template, SUPPLIED[file.output])
        used += [_Used(tag, role, line(tag)) for tag in tags]
        problems += [Problem(line(fault.tag), fault.message, fault.fix) for fault in faults]
        for fault in faults:
            if fault.tag.key.isidentifier() and fault.tag.key not in SUPPLIED[file.output]:
                unknown.setdefault(fault.tag.key, line(fault.tag))
    return used, unknown, problems


def _roles(file: PromptFile, document: Document) -> Iterator[Problem]:
    templates = file.templates()
    if file.output == "instructions":
        if [role for _, role, _ in templates] != ["system"]:
            line = document.line(templates[-1][0][:-1])
            message = "instructs an agent by other messages than one of the system"
            yield Problem(line, message, "Write one, of role system.")
        return
    for number, (place, role, _) in enumerate(templates):
        if role == "system" and number:
            message = "has a system message that is not the first"
            yield Problem(document.line(place[:-1]), message, "Put it first; providers ask for it.")
    place, role, _ = templates[-1]
    if role != "user":
        yield Problem(document.line(place[:-1]), f"ends with the {role}", "End with the user.")


def _variables(
    form: Form, document: Document, used: Sequence[_Used], unknown: Mapping[str, int]
) -> Iterator[Problem]:
    """What does not agree: used, declared, required; and pictures where none can be sent."""
    file, keys = form.file, {one.tag.key for one in used}
    for name in sorted(REQUIRED[file.output] - keys) if form.whole else ():
        line = document.line(("user",) if file.user is not None else ("messages",))
        written = f"{{{{#{name}}}}}…{{{{/{name}}}}}" if name in LISTS else f"{{{{{{{name}}}}}}}"
        yield Problem(line, f"does not use {name}", f"Write {written}.")
    for one in used:
        if one.tag.key in PICTURES and one.tag.kind == "value" and one.role != "user":
            message = f"shows {one.tag.text} in a message of role {one.role}"
            yield Problem(one.line, message, "Providers take pictures from the user: put it there.")
    if file.variables is None:
        return
    supplied = SUPPLIED[file.output]
    for number, name in enumerate(file.variables):
        line = document.line(("variables", number))
        if name not in supplied:
            message = f"declares {name}, which is not supplied"
            yield Problem(line, message, supplied_are(name, supplied))
        elif name not in keys and form.whole:
            near = get_close_matches(name, unknown, 1)
            meant = f"Is it '{near[0]}' on line {unknown[near[0]]}? " if near else ""
            message = f"declares {name}, which no message uses"
            yield Problem(line, message, f"{meant}Use it, or take it out of variables.")
    declared = {*file.variables, *(("photo",) if file.user is not None else ())}
    for key in sorted(keys - declared):
        line = min(one.line for one in used if one.tag.key == key)
        near = get_close_matches(key, [name for name in file.variables if name not in supplied], 1)
        fix = f"Write it in place of '{near[0]}' there." if near else "Add it to variables."
        yield Problem(line, f"uses {key}, which is not declared", fix)


def _advice(form: Form, document: Document, used: Sequence[_Used]) -> Iterator[Problem]:
    """What can be used as it is, and is hardly meant."""
    file, amiss = form.file, form.amiss
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
    sorts = {"rankings": "{{{example}}}"} | dict.fromkeys(
        ("ranking", "described-ranking"), '{"ranking": [{{{example}}}]}'
    )
    if file.output in sorts and "example" not in keys and "output" not in amiss:
        message = "does not show the form of the answer"
        yield _warning(last, message, f"Write {sorts[file.output]}.")
    if file.output == "described-ranking" and '"seen"' not in text:
        message = f'asks for a {file.output}, and its text does not ask for "seen"'
        yield _warning(last, message, 'Ask for {"seen": "…", "ranking": [{{{example}}}]}.')
    if file.settings.max_tokens is not None:
        line = document.line(("settings", "max_tokens"))
        message = f"lets the model write {file.settings.max_tokens} tokens"
        fix = "Leave max_tokens out: models that think first would use them up before answering."
        yield _warning(line, message, fix)
    if not file.description and "description" not in amiss:
        yield _warning(1, "has no description", "Say in a sentence what it is for.")
    if file.variables is None and file.user is None and "variables" not in amiss:
        yield _warning(1, "declares no variables", f"Write variables: [{', '.join(sorted(keys))}].")


def _warning(line: int, message: str, fix: str) -> Problem:
    return Problem(line, message, fix, warning=True)
