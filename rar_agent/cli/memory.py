"""`rar-agent memory`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.errors import DamagedDataError, InputError

if TYPE_CHECKING:
    from rar_agent.memory import Memory, Report
    from rar_agent.settings import Settings

app = typer.Typer(help="Teach memories, look at them, forget.", no_args_is_help=True)

Images = Annotated[Path | None, typer.Option(help="Folder with a folder of images a category.")]
Names = Annotated[Path | None, typer.Option(help="Text file with a category's name a line.")]
Shots = Annotated[int | None, typer.Option(min=1, help="At most this many images a category.")]
Seed = Annotated[int, typer.Option(help="Which images --shots draws.")]


@app.command()
def create(
    name: str,
    images: Images = None,
    names: Names = None,
    domain: Annotated[
        str, typer.Option(help="What kind of categories, for ranking: 'bird species'.")
    ] = "",
    encoder: Annotated[
        str | None, typer.Option(help="auto, builtin, open_clip:MODEL/PRETRAINED or :FOLDER.")
    ] = None,
    shots: Shots = None,
    seed: Seed = 0,
) -> None:
    """Create a memory from images, from names, or from both; interrupted, run it again."""
    from rar_agent.cli.show import err
    from rar_agent.encoders import choose_encoder, load_encoder
    from rar_agent.images import Policy
    from rar_agent.memory import create_memory

    taught, named, settings = _inputs(images, names, shots, seed, encoder)
    choice = choose_encoder(settings.encoder)
    err.print(f"encoder: {choice.name} ({choice.reason})", style="dim")
    if choice.stronger:
        err.print(choice.stronger, style="dim", soft_wrap=True)
    loaded = load_encoder(choice.name, settings)
    err.print(f"device: {loaded.device}, {loaded.fingerprint.precision}", style="dim")
    with _Bar() as bar:
        report = create_memory(
            settings.home,
            name,
            loaded,
            taught,
            named,
            domain,
            Policy.of(settings),
            bar.update,
        )
    _report(report)


@app.command()
def add(
    name: str, images: Images = None, names: Names = None, shots: Shots = None, seed: Seed = 0
) -> None:
    """Teach a memory more categories, or more images of those it has."""
    from rar_agent.encoders import load_encoder
    from rar_agent.images import Policy
    from rar_agent.memory import add_to_memory, open_memory

    taught, named, settings = _inputs(images, names, shots, seed)
    record = open_memory(settings.home, name).manifest.encoder
    with _Bar() as bar:
        report = add_to_memory(
            settings.home,
            name,
            load_encoder(record.name, settings),
            taught,
            named,
            Policy.of(settings),
            bar.update,
        )
    _report(report)


@app.command("list")
def list_() -> None:
    """List the memories."""
    from rich.table import Table

    from rar_agent.cli.show import out
    from rar_agent.errors import RarError
    from rar_agent.memory import list_memories, open_memory

    settings = _settings()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "categories", "entries", "domain", "encoder"):
        table.add_column(column, justify="right" if column in ("categories", "entries") else "left")
    unusable = []
    for name in list_memories(settings.home):
        try:
            memory = open_memory(settings.home, name)
        except RarError as error:
            table.add_row(name, "", "", "not usable, see below", "")
            unusable.append(str(error))
            continue
        table.add_row(
            name,
            str(len(memory.categories)),
            str(len(memory.entries.ids)),
            memory.manifest.domain,
            memory.manifest.encoder.name,
        )
    out.print(table)
    for reason in unusable:
        out.print(reason, style="yellow", soft_wrap=True)
    out.print(f"in {settings.home}", style="dim", soft_wrap=True)


@app.command()
def show(
    name: str,
    category: Annotated[str | None, typer.Option(help="Show this category's entries.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Categories to show.")] = 20,
) -> None:
    """Show what a memory knows, and how sure it is."""
    from rar_agent.memory import open_memory

    memory = open_memory(_settings().home, name)
    if category is None:
        _show_memory(memory, limit)
    else:
        _show_category(memory, category)


@app.command()
def remove(
    name: str,
    categories: Annotated[list[str] | None, typer.Argument(help="Categories to forget.")] = None,
    entry: Annotated[
        list[int] | None, typer.Option(help="Entry to forget; may be repeated.")
    ] = None,
) -> None:
    """Forget whole categories, or single entries."""
    from rar_agent.cli.show import out
    from rar_agent.memory import remove_from_memory

    if not categories and not entry:
        raise InputError("Nothing to forget is named.", "Name categories, or --entry ID.")
    memory = remove_from_memory(_settings().home, name, categories or [], entry or [])
    out.print(
        f"{name}: {len(memory.categories)} categories, {len(memory.entries.ids)} entries left"
    )


@app.command()
def verify(name: str) -> None:
    """Hash every file of a memory and say what has changed."""
    from rar_agent.cli.show import out
    from rar_agent.memory import memory_folder, verify_memory

    settings = _settings()
    wrong = verify_memory(settings.home, name)
    if wrong:
        folder = memory_folder(settings.home, name)
        fix = f"Restore {folder} from a copy, or begin anew: rar-agent memory delete {name}"
        raise DamagedDataError(" ".join(wrong), fix)
    out.print(f"{name}: every file is as it was written")


@app.command()
def delete(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a memory and all it knows."""
    from rar_agent.memory import delete_memory

    if not yes:
        typer.confirm(f"Delete memory '{name}' and all it knows?", abort=True)
    delete_memory(_settings().home, name)


def _settings(encoder: str | None = None) -> Settings:
    from rar_agent.settings import load_settings

    return load_settings(encoder=encoder)


def _inputs(
    images: Path | None,
    names: Path | None,
    shots: int | None,
    seed: int,
    encoder: str | None = None,
) -> tuple[list, list, Settings]:  # type: ignore[type-arg]
    from rar_agent.memory import read_folder, read_names

    if images is None and names is None:
        raise InputError(
            "There is nothing to learn.", "Give --images FOLDER, --names FILE, or both."
        )
    taught = read_folder(images, shots, seed) if images else []
    return taught, read_names(names) if names else [], _settings(encoder)


class _Bar:
    """A progress bar that appears with the first image."""

    def __enter__(self) -> _Bar:
        from rar_agent.cli.show import progress_bar

        self._bar = progress_bar().__enter__()
        self._task = self._bar.add_task("encoding", total=None)
        return self

    def update(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, kind: object, *_: object) -> None:
        from rar_agent.cli.show import err

        self._bar.__exit__(None, None, None)
        if kind is KeyboardInterrupt:
            err.print("What was encoded is kept: run the same command again, and it goes on.")


def _report(report: Report) -> None:
    from rar_agent.cli.show import err, out

    memory = report.memory
    if memory is None:
        return
    known = f", {report.known} known already" if report.known else ""
    learnt = f"{report.added} images learnt{known}" if report.added or report.known else "by name"
    out.print(f"{memory.name}: {len(memory.categories)} categories, {learnt}")
    if memory.has_texts and not memory.manifest.encoder.names_help:
        rough = "texts of this encoder are rough (everyday things only); see docs/encoders.md"
        err.print(f"note: {rough}", style="yellow")
    _print_fit(memory)
    for failure in report.failures[:20]:
        err.print(f"left out: {failure.error}", style="yellow")
    if len(report.failures) > 20:
        err.print(f"… and {len(report.failures) - 20} more files left out", style="yellow")
    out.print(f"next: rar-agent recognize IMAGE --memory {memory.name}", style="dim")


def _print_fit(memory: Memory) -> None:
    from rar_agent.cli.show import out

    out.print(f"scored by {memory.describe_method()}", style="dim")
    fit = memory.manifest.fit
    if fit and fit.loo_top1 is not None:
        out.print(
            f"leaving one out: {100 * fit.loo_top1:.1f} % of {fit.loo_images} exemplars recognised",
            style="dim",
        )
    out.print(f"probability: {memory.probability_means()}", style="dim")


def _show_memory(memory: Memory, limit: int) -> None:
    from rich.table import Table

    from rar_agent.cli.show import out

    manifest = memory.manifest
    out.print(
        f"{memory.name}: {len(memory.categories)} categories, {len(memory.entries.ids)} entries"
    )
    out.print(
        f"generation {manifest.generation} of {manifest.created}, encoder {manifest.encoder.name} "
        f"{memory.fingerprint.identity}, domain '{manifest.domain}'",
        style="dim",
    )
    _print_fit(memory)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("category")
    table.add_column("exemplars", justify="right")
    table.add_column("evidence")
    for column, category in enumerate(memory.categories[:limit]):
        evidence = ", ".join(memory.evidence(column))
        table.add_row(category.name, str(memory.exemplar_count(column)), evidence)
    out.print(table)
    if len(memory.categories) > limit:
        out.print(f"… and {len(memory.categories) - limit} more; --limit shows them", style="dim")


def _show_category(memory: Memory, name: str) -> None:
    from rich.table import Table

    from rar_agent.cli.show import out
    from rar_agent.errors import NotFoundError

    columns = [i for i, category in enumerate(memory.categories) if category.name == name]
    if not columns:
        known = {category.name.casefold(): category.name for category in memory.categories}
        close = [known[n] for n in difflib.get_close_matches(name.casefold(), known, n=3)]
        see = f"See rar-agent memory show {memory.name}"
        hint = f"Did you mean {', '.join(close)}?" if close else see
        raise NotFoundError(f"Memory '{memory.name}' has no category '{name}'.", hint)
    category = memory.categories[columns[0]]
    out.print(category.name)
    for word, value in (("also", ", ".join(category.aliases)), ("is", category.description)):
        if value:
            out.print(f"{word}: {value}", style="dim")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("entry", justify="right")
    table.add_column("modality")
    table.add_column("source")
    for entry in memory.entries_of(columns[0]):
        table.add_row(str(entry.id), entry.modality, entry.source)
    out.print(table)
