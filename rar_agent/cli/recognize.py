"""`rar-agent recognize`."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import BaseUrl, Model, Orders, PromptName, RankerName, pairs
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.graph.preview import Watched
    from rar_agent.recognizer import Asked, Recognizer
    from rar_agent.settings import Settings
    from rar_agent.types import Failure, Recognition


def recognize(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE...", help="Image files, folders, globs or https URLs."),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Use the bundled sample photo.")
    ] = False,
    memory: Annotated[str | None, typer.Option(help="Memory to ask.")] = None,
    k: Annotated[int | None, typer.Option(help="Candidates, 1 to 26.")] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="In place of --k: as many candidates as hold the right one so often: 0.95."
        ),
    ] = None,
    error_rate: Annotated[
        float | None,
        typer.Option(help="Abstain so that accepted answers are wrong at most so often: 0.05."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="BRANCH", help="Answer only categories below it; may be repeated."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Answer only categories with this metadata, KEY= without; may be repeated.",
        ),
    ] = None,
    model: Model = None,
    base_url: BaseUrl = None,
    ranker: RankerName = None,
    prompt: PromptName = None,
    orders: Orders = None,
    method: Annotated[str, typer.Option(help="fitted, or the paper's knn.")] = "fitted",
    json: Annotated[bool, typer.Option("--json", help="One JSON line an image.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet to this PNG.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what the model was sent, and what it answered.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --explain: write it to a page, with pictures."),
    ] = None,
) -> None:
    """Recognise images: the best categories of a memory, with probabilities and evidence."""
    sources = list(_sources(images or [], example))
    if sheet and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise InputError(f"'{sheet}' cannot be written.", "Name a .png file in a folder there is.")
    if method not in ("fitted", "knn"):
        raise InputError(f"--method {method} is unknown.", "Choose fitted or knn.")
    if k is not None and coverage is not None:
        raise InputError("--coverage takes the place of --k.", "Give one of them.")
    _refuse_unexplained(explain, html, json, len(sources))
    _refuse_percent("--coverage", coverage)
    _refuse_percent("--error-rate", error_rate)
    asked: Asked = {"method": "knn" if method == "knn" else "fitted", "only": only or ()}
    if where:
        asked["where"] = pairs(where, "--where")
    from rar_agent.recognizer import Recognizer

    recognizer = Recognizer(
        memory,
        model,
        k=k,
        coverage=coverage,
        error_rate=error_rate,
        base_url=base_url,
        ranker=ranker,
        prompt=prompt,
        orders=orders,
    )
    _require_model(recognizer.settings, {"ranker": ranker, "prompt": prompt, "orders": orders})
    with _watched(recognizer, explain) as seen:
        results = _run(recognizer, sources, asked, json)
    if (only or where) and recognizer.memory.calibrated:
        _say_filtered()
    if not json:
        named = ["--example"] if example else [sources[0]]
        again = shlex.join([*named, *(["--memory", memory] if memory else [])])
        _show(results, again, recognizer.settings.model)
    if seen:
        _explain(results[0], seen, html)
    if sheet:
        _write_sheet(recognizer, sources, results, sheet)
    if any(not _recognised(result) for result in results):
        raise typer.Exit(1)


def _refuse_unexplained(explain: bool, html: Path | None, json: bool, images: int) -> None:
    if html and not explain:
        raise InputError("--html says where to explain, and nothing is.", "Give --explain too.")
    if explain and json:
        raise InputError(
            "--explain is for reading, and --json for programs.",
            "Give one of them; rar-agent prompts render --json has the messages.",
        )
    if explain and images != 1:
        raise InputError(f"--explain shows one image, not {images}.", "Name one.")


@contextmanager
def _watched(recognizer: Recognizer, explain: bool) -> Iterator[Watched | None]:
    """What goes to the model meanwhile, if that is to be explained."""
    if not explain:
        yield None
        return
    from rar_agent.graph.preview import watched

    with watched(recognizer.services) as seen:
        yield seen


def _explain(result: Recognition | Failure, seen: Watched, html: Path | None) -> None:
    from rar_agent.cli import explained
    from rar_agent.cli.rendered import page, write_page
    from rar_agent.cli.show import out
    from rar_agent.explained import sent_page
    from rar_agent.types import Recognition

    if isinstance(result, Recognition):  # a single image's failure is raised
        out.print(explained.text(result, seen), soft_wrap=True)
        if html:
            write_page(html, page("What was sent", sent_page(result, seen)))


def _refuse_percent(option: str, share: float | None) -> None:
    if share is not None and 1 < share < 100:
        raise InputError(
            f"{option} {share:g} is no share: those are under 1.", f"Did you mean {share / 100:g}?"
        )


def _require_model(settings: Settings, given: Mapping[str, object]) -> None:
    """Refuse what says how a model ranks, where none does.

    Raises:
        InputError: One is given.
    """
    named = [f"--{option}" for option, value in given.items() if value is not None]
    if named and settings.model is None and settings.base_url is None:
        raise InputError(
            f"{named[0]} says how a model ranks, and there is none.",
            "Give --model too, such as --model openai:gpt-5-mini.",
        )


def _recognised(result: Recognition | Failure) -> bool:
    from rar_agent.types import Recognition

    return isinstance(result, Recognition)


def _sources(images: list[str], example: bool) -> Iterator[str]:
    if example:
        from rar_agent.example import example_photo

        yield str(example_photo())
    if not images and not example:
        raise InputError("No image is named.", "Name one, or try: rar-agent recognize --example")
    for image in images:
        try:
            yield from _expanded(image)
        except (OSError, ValueError):  # no path at all: the image's own error will say so
            yield image


def _expanded(image: str) -> Iterator[str]:
    from rar_agent.memory.readers import SUFFIXES

    path = Path(image)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(
                f"'{image}' has no images.", f"Read are {', '.join(sorted(SUFFIXES))}."
            )
        yield from map(str, found)
    elif "://" not in image and not path.exists() and glob.has_magic(image):
        matches = sorted(glob.glob(image, recursive=True))  # noqa: PTH207 - absolute patterns too
        if not matches:
            raise InputError(f"'{image}' matches no file.", "Check the pattern.")
        yield from matches
    else:
        yield image


def _run(
    recognizer: Recognizer, sources: list[str], asked: Asked, json: bool
) -> list[Recognition | Failure]:
    from rar_agent.cli.progress import progress_bar
    from rar_agent.telemetry import log_no_degraded

    if not json:
        log_no_degraded()  # the table says it
    if len(sources) == 1 and not json:  # its error is the user's to read, not a row of a table
        return [recognizer.recognize(sources[0], **asked)]
    results: list[Recognition | Failure] = []
    with progress_bar() as bar:
        task = bar.add_task("recognising", total=len(sources))
        for result in recognizer.stream(sources, **asked):
            if json:  # each line as soon as it is there, so that an interruption keeps them
                typer.echo(result.model_dump_json())
            results.append(result)
            bar.advance(task)
    return results


def _show(results: list[Recognition | Failure], asked: str, model: str | None) -> None:
    from rar_agent.cli.show import many, next_steps, one, out
    from rar_agent.types import Recognition

    if len(results) == 1 and isinstance(results[0], Recognition):
        out.print(one(results[0], model))
    else:
        out.print(many(results))
    first = next((result for result in results if isinstance(result, Recognition)), None)
    if first:
        out.print(next_steps(first, asked, model), soft_wrap=True)


def _say_filtered() -> None:
    """On standard error, as it is of the whole run, JSON too."""
    from rar_agent.cli.show import err
    from rar_agent.words import FILTERED

    err.print(f"note: {FILTERED}", style="yellow", soft_wrap=True)


def _write_sheet(
    recognizer: Recognizer, sources: list[str], results: list[Recognition | Failure], path: Path
) -> None:
    from rar_agent.cli.show import err
    from rar_agent.images import Policy
    from rar_agent.sheet import contact_sheet
    from rar_agent.types import Recognition

    shown = [
        (result, source)
        for result, source in zip(results, sources, strict=True)
        if isinstance(result, Recognition)
    ]
    sheet = contact_sheet(
        [result for result, _ in shown],
        [source for _, source in shown],
        Policy.of(recognizer.settings),
        recognizer.memory.thumbnail,
    )
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be written: {error}.", "Name a .png file.") from error
    err.print(f"contact sheet: {path}")
