"""`rar-agent prompts list | show | lint | render | diff | new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rich.text import Text

    from rar_agent.prompts import Found, Problem
    from rar_agent.settings import Settings

Reference = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="The prompt.", show_default=False)
]

app = typer.Typer(
    help="See, check, compare and write the prompts that a model is asked with.",
    no_args_is_help=True,
)


@app.command("list")
def list_() -> None:
    """List the prompts: what each is for, what it asks for, whose it is."""
    from rich.text import Text

    from rar_agent.cli.show import grid, out
    from rar_agent.prompts import check, find_prompts, own_folder, read_prompt
    from rar_agent.settings import load_settings

    settings = load_settings()
    uses = _uses(settings)
    table = grid("prompt", "asks for", "for", "from", "used by")
    for found in find_prompts(settings.home):
        prompt, _ = check(read_prompt(found.path), found.path)
        by = ", ".join(uses.get(found.reference, ()))
        if prompt is None:
            why = Text(f"not valid: rar-agent prompts lint {found.reference}", style="red")
            table.add_row(found.reference, "", why, _place(found), by)
        else:
            about = (prompt.output, prompt.description, _place(found), by)
            table.add_row(found.reference, *about, style="bold" if "you" in by else "")
    out.print(table)
    out.print(f"yours: {own_folder(settings.home)}", style="dim", soft_wrap=True)


@app.command()
def show(
    reference: Reference,
    path: Annotated[bool, typer.Option("--path", help="Print the file's path alone.")] = False,
) -> None:
    """Show a prompt's file, under what it is."""
    from rar_agent.cli.show import out
    from rar_agent.prompts import find_prompt, load_prompt
    from rar_agent.settings import load_settings

    home = load_settings().home
    file = find_prompt(reference, home)
    if path:
        typer.echo(file)
        return
    prompt = load_prompt(reference, home)
    out.print(f"{reference} {prompt.sha256}: {file}", style="bold", soft_wrap=True)
    variables = ", ".join(sorted(prompt.variables))
    what = "an agent's" if prompt.output == "instructions" else "asks for a"
    out.print(f"{what} {prompt.output}, of {variables}\n", style="dim", soft_wrap=True)
    typer.echo(file.read_text(encoding="utf-8-sig"), nl=False)


@app.command()
def lint(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME@VERSION|FILE...", help="Default: all there are."),
    ] = None,
) -> None:
    """Check prompts: every problem with its file and line. Exit status 3: there is an error."""
    from rar_agent.cli.show import out
    from rar_agent.prompts import check, find_prompts, read_prompt
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    home = load_settings().home
    files = [found.path for found in find_prompts(home)]
    if prompts:
        files = [_file(given, home) for given in prompts]
    errors = warnings = 0
    for file in files:
        for problem in check(read_prompt(file), file)[1]:
            errors, warnings = errors + (not problem.warning), warnings + problem.warning
            out.print(_told(file, problem), soft_wrap=True)
    strays = [] if prompts else _strays(home)
    for stray in strays:
        found = f"{stray}: warning: is not found: a prompt is prompts/<name>/<version>.yaml"
        out.print(found, style="yellow", soft_wrap=True)
    warnings += len(strays)
    checked, amiss = counted(len(files), "prompt"), counted(errors, "error")
    out.print(f"{checked}: {amiss}, {counted(warnings, 'warning')}", style="dim")
    if errors:
        raise typer.Exit(3)


@app.command()
def render(
    reference: Reference,
    image: Annotated[
        str | None, typer.Option(metavar="PHOTO", help="Image file or https URL.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Use the bundled sample photo.")
    ] = False,
    memory: Annotated[str | None, typer.Option(help="Memory to ask.")] = None,
    k: Annotated[int | None, typer.Option(help="Candidates, 2 to 26.")] = None,
    ranker: Annotated[
        str | None,
        typer.Option(help="listwise, choice, pairwise; default: the one the prompt is for."),
    ] = None,
    orders: Annotated[
        int | None, typer.Option(help="In how many orders the candidates are shown; 0: all.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The messages as they are sent, pictures in base64.")
    ] = False,
) -> None:
    """Show what a model would get about a photo: its very messages. No model is asked.

    Of a prompt that instructs an agent, the instructions; no photo is needed.
    """
    from rar_agent.agents.instructions import instructions
    from rar_agent.cli import rendered
    from rar_agent.cli.show import out
    from rar_agent.example import example_photo
    from rar_agent.explained import preview_page
    from rar_agent.graph.preview import preview
    from rar_agent.images import Policy, admit
    from rar_agent.memory import open_memory
    from rar_agent.prompts import load_prompt
    from rar_agent.settings import load_settings

    settings = load_settings(memory=memory, ranker=ranker, orders=orders)
    prompt = load_prompt(reference, settings.home)
    if prompt.output == "instructions":
        typer.echo(instructions(prompt, open_memory(settings.home, settings.memory)))
        return
    if (image is None) != example:
        raise InputError("Which photo is not clear.", "Give --image PHOTO, or --example.")
    photo = admit(image or str(example_photo()), Policy.of(settings))
    shown = preview(settings, photo, prompt, ranker, k)
    if html is not None:
        rendered.write_page(html, rendered.page(prompt.reference, preview_page(shown)))
    if json:
        typer.echo(rendered.as_json(shown))
    elif html is None:
        out.print(rendered.text(shown), soft_wrap=True)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="A", help="NAME@VERSION or a file.")],
    new: Annotated[str, typer.Argument(metavar="B", help="NAME@VERSION or a file.")],
) -> None:
    """Show how one prompt differs from another."""
    from difflib import unified_diff

    from rar_agent.cli.show import out
    from rar_agent.prompts import read_prompt
    from rar_agent.settings import load_settings

    home = load_settings().home
    before, after = (
        read_prompt(_file(given, home)).decode("utf-8-sig", "replace").splitlines()
        for given in (old, new)
    )
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in unified_diff(before, after, old, new, lineterm=""):
        out.print(line, style=styles.get(line[:1]), soft_wrap=True)


@app.command("new")
def new_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the prompt.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME@VERSION",
            help="Copy this one; default: the newest of that name, or rank@1.",
        ),
    ] = None,
) -> None:
    """Write the next version of a prompt into your folder, to edit."""
    from rar_agent.cli.show import out
    from rar_agent.graph.preview import way_of
    from rar_agent.prompts import find_prompts, load_prompt, write_next
    from rar_agent.settings import load_settings

    settings = load_settings()
    versions = [found.reference for found in find_prompts(settings.home) if found.name == name]
    base = start or (versions[-1] if versions else "rank@1")
    written = write_next(name, base, settings.home)
    reference = written.reference
    way = way_of(load_prompt(reference, settings.home), settings)
    asked, kept = f"--prompt {reference}", f"RAR_PROMPT={reference}"
    if way != settings.ranker:
        asked, kept = f"--ranker {way} {asked}", f"RAR_RANKER={way} {kept}"
    out.print(f"{reference}, a copy of {base}: {written.path}", soft_wrap=True)
    for what, command in (
        ("edit it, then check it:", f"rar-agent prompts lint {reference}"),
        ("see what a model gets:", f"rar-agent prompts render {reference} --image PHOTO"),
        ("use it:", f"rar-agent recognize PHOTO --model MODEL {asked}"),
        ("or for good:", f"export {kept}"),
    ):
        out.print(f"  {what:24}{command}", style="dim", soft_wrap=True)


def _uses(settings: Settings) -> dict[str, list[str]]:
    """By whom each prompt is used where none is asked for, and which one is now."""
    from rar_agent.evaluation.suite import RankerRecipe
    from rar_agent.graph.services import WAYS

    uses: dict[str, list[str]] = {}
    for way in WAYS:
        usual = settings.model_copy(update={"ranker": way, "prompt": None}).ranking_prompt
        uses.setdefault(usual, []).append(way)
    uses.setdefault(settings.agent_prompt, []).append("agent")
    uses.setdefault(settings.guide_prompt, []).append("its field guide")
    evaluated = RankerRecipe()
    for named in (evaluated.alone_prompt, evaluated.guess_prompt):
        uses.setdefault(named, []).append("eval")
    if settings.prompt:
        uses.setdefault(settings.prompt, []).append("you (RAR_PROMPT)")
    return uses


def _place(found: Found) -> str:
    if not found.own:
        return "shipped"
    return "yours, hides the shipped one" if found.hides else "yours"


def _file(given: str, home: Path) -> Path:
    """The file of a reference, or the file that is named.

    Raises:
        NotFoundError: There is neither.
    """
    from rar_agent.prompts import find_prompt

    return Path(given) if Path(given).is_file() else find_prompt(given, home)


def _strays(home: Path) -> list[Path]:
    """Files in the user's folder that look like prompts and lie where none is looked for."""
    from rar_agent.prompts import find_prompts, own_folder

    found = {prompt.path for prompt in find_prompts(home)}
    files = (path for kind in ("*.yaml", "*.yml") for path in own_folder(home).rglob(kind))
    return sorted(path for path in files if path not in found)


def _told(file: Path, problem: Problem) -> Text:
    from rich.text import Text

    kind, style = ("warning", "yellow") if problem.warning else ("error", "red")
    line = Text(f"{file}:{problem.line}: ").append(kind, style=style).append(f": {problem.message}")
    return line.append(f"\n    {problem.fix}", style="dim") if problem.fix else line
