"""`rar-agent recognize`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.asked import (
    Coverage,
    ErrorRate,
    Images,
    JsonLines,
    K,
    MemoryName,
    MethodName,
    Only,
    Where,
    asked_of,
    require_model,
    say_filtered,
    sources,
)
from rar_agent.cli.options import (
    BaseUrl,
    EngineName,
    Model,
    Orders,
    PromptName,
    RankerName,
    RayAddress,
    engine_of,
)
from rar_agent.errors import InputError
from rar_agent.garbage import uncollected

if TYPE_CHECKING:
    from rar_agent.graph.preview import Watched
    from rar_agent.recognizer import Asked, Engine, Recognizer
    from rar_agent.types import Failure, Recognition


def recognize(
    images: Images = None,
    example: Annotated[
        bool, typer.Option("--example", help="Use the bundled sample photo.")
    ] = False,
    memory: MemoryName = None,
    k: K = None,
    coverage: Coverage = None,
    error_rate: ErrorRate = None,
    only: Only = None,
    where: Where = None,
    model: Model = None,
    base_url: BaseUrl = None,
    ranker: RankerName = None,
    prompt: PromptName = None,
    orders: Orders = None,
    method: MethodName = "fitted",
    json: JsonLines = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet to this PNG.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what the model was sent, and what it answered.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --explain: write it to a page, with pictures."),
    ] = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
) -> None:
    """Recognise images: the best categories of a memory, with probabilities and evidence."""
    named = [*_example(example), *(images or [])]
    found = list(sources(named, "recognize"))
    if sheet and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise InputError(f"'{sheet}' cannot be written.", "Name a .png file in a folder there is.")
    _refuse_unexplained(explain, html, json, len(found))
    where_done = engine_of(engine, ray_address)
    if explain and engine != "local":
        raise InputError(
            f"--explain shows what this process asks, and engine '{engine}' would ask.",
            "Give one of them.",
        )
    asked = asked_of(method, k, coverage, error_rate, only, where)
    with uncollected():
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
    require_model(recognizer.settings, {"ranker": ranker, "prompt": prompt, "orders": orders})
    alone = len(found) == 1  # most of its time goes into imports
    with _watched(recognizer, explain) as seen, uncollected() if alone else nullcontext():
        results = _run(recognizer, found, asked, json, where_done)
    say_filtered(recognizer, asked)
    if not json:
        first = "--example" if example else found[0]
        again = shlex.join([first, *(["--memory", memory] if memory else [])])
        _show(results, again, recognizer.settings.model)
    if seen:
        _explain(results[0], seen, html)
    if sheet:
        _write_sheet(recognizer, found, results, sheet)
    if any(not _recognised(result) for result in results):
        raise typer.Exit(1)


def _example(wanted: bool) -> list[str]:
    from rar_agent.example import example_photo

    return [str(example_photo())] if wanted else []


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


def _recognised(result: Recognition | Failure) -> bool:
    from rar_agent.types import Recognition

    return isinstance(result, Recognition)


def _run(
    recognizer: Recognizer, sources: list[str], asked: Asked, json: bool, engine: str | Engine
) -> list[Recognition | Failure]:
    from rar_agent.cli.progress import progress_bar
    from rar_agent.telemetry import log_no_degraded

    if not json:
        log_no_degraded()  # the table says it
    here = engine == "local"
    if len(sources) == 1 and here and not json:  # its error is the user's, not a row of a table
        return [recognizer.recognize(sources[0], **asked)]
    results: list[Recognition | Failure] = []
    with progress_bar() as bar:
        task = bar.add_task("recognising", total=len(sources))
        for result in recognizer.stream(sources, engine=engine, **asked):
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
