"""`rar-agent memory create | add`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from rar_agent.cli import inputs
from rar_agent.cli.options import Domain, EngineName, Name, NoFit, RayAddress, engine_of
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.cli.progress import Bar
    from rar_agent.encoders import Encoder
    from rar_agent.memory.readers import Reader
    from rar_agent.memory.teaching.exemplars import Views
    from rar_agent.settings import Settings

Report = Annotated[
    Path | None,
    typer.Option(help="Write all that was left out, and conflicts, to this file: JSON lines."),
]


def create(
    name: Name,
    images: inputs.Images = None,
    table: inputs.Table = None,
    dataset: inputs.Dataset = None,
    split: inputs.Split = None,
    image_column: inputs.ImageColumn = None,
    label_column: inputs.LabelColumn = None,
    shards: inputs.Shards = None,
    names: inputs.Names = None,
    tree: inputs.Tree = None,
    shots: inputs.Shots = None,
    seed: inputs.Seed = 0,
    domain: Domain = "",
    encoder: Annotated[
        str | None, typer.Option(help="auto, builtin, open_clip:MODEL/PRETRAINED or :FOLDER.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Text that names are put into, {} for the name; may be repeated."),
    ] = None,
    views: Annotated[
        str, typer.Option(help="What an exemplar is the mean of: one, flip or crops.")
    ] = "one",
    thumbnails: Annotated[
        int, typer.Option(min=0, max=1024, help="Keep pictures of so many pixels; 0: none.")
    ] = 0,
    report: Report = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
) -> None:
    """Create a memory from images, names or both; interrupted, run it again."""
    from rar_agent.cli.report import print_report
    from rar_agent.cli.show import err
    from rar_agent.encoders import choose_encoder, load_encoder
    from rar_agent.images import Policy
    from rar_agent.memory import create_memory, require_new
    from rar_agent.settings import load_settings

    settings = load_settings(encoder=encoder)
    given = inputs.Inputs(
        images, table, dataset, split, image_column, label_column, shards, names, shots, seed, tree
    )
    reader, seen, where = given.reader(settings), _views(views), engine_of(engine, ray_address)
    _require_writable(report)
    require_new(settings.home, name)
    choice = choose_encoder(settings.encoder)
    err.print(f"encoder: {choice.name} ({choice.reason})", style="dim", soft_wrap=True)
    if choice.stronger:
        err.print(choice.stronger, style="dim", soft_wrap=True)
    loaded = load_encoder(choice.name, settings)
    err.print(f"device: {loaded.device}, {loaded.fingerprint.precision}", style="dim")
    _estimate(settings, name, reader, loaded, thumbnails)
    with _learning() as bar:
        done = create_memory(
            settings.home,
            name,
            loaded,
            reader,
            domain=domain,
            policy=Policy.of(settings),
            progress=bar.update,
            templates=template or (),
            views=seen,
            thumbnails=thumbnails,
            engine=where,
        )
    print_report(done, report)


def add(
    name: Name,
    images: inputs.Images = None,
    table: inputs.Table = None,
    dataset: inputs.Dataset = None,
    split: inputs.Split = None,
    image_column: inputs.ImageColumn = None,
    label_column: inputs.LabelColumn = None,
    shards: inputs.Shards = None,
    names: inputs.Names = None,
    tree: inputs.Tree = None,
    shots: inputs.Shots = None,
    seed: inputs.Seed = 0,
    no_fit: NoFit = False,
    report: Report = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
) -> None:
    """Teach a memory more categories, or more images of those it has."""
    from rar_agent.cli.report import print_report
    from rar_agent.encoders import load_encoder
    from rar_agent.images import Policy
    from rar_agent.memory import add_to_memory, open_memory
    from rar_agent.settings import load_settings

    settings = load_settings()
    given = inputs.Inputs(
        images, table, dataset, split, image_column, label_column, shards, names, shots, seed, tree
    )
    reader, where = given.reader(settings), engine_of(engine, ray_address)
    _require_writable(report)
    manifest = open_memory(settings.home, name).manifest
    loaded = load_encoder(manifest.encoder.name, settings)
    _estimate(settings, name, reader, loaded, manifest.thumbnails)
    with _learning() as bar:
        done = add_to_memory(
            settings.home,
            name,
            loaded,
            reader,
            policy=Policy.of(settings),
            progress=bar.update,
            fitting="never" if no_fit else "auto",
            engine=where,
        )
    print_report(done, report)


def _views(asked: str) -> Views:
    from rar_agent.memory.teaching.exemplars import Views

    for view in get_args(Views):
        if view == asked:
            found: Views = view
            return found
    raise InputError(f"--views {asked} is unknown.", f"Choose {', '.join(get_args(Views))}.")


def _require_writable(report: Path | None) -> None:
    if report and (report.is_dir() or not report.absolute().parent.is_dir()):
        raise InputError(f"'{report}' cannot be written.", "Name a file in a folder there is.")


def _estimate(
    settings: Settings, name: str, reader: Reader, encoder: Encoder, thumbnails: int
) -> None:
    """Say what a build will need, and warn where there is not enough."""
    from rar_agent.cli.progress import busy
    from rar_agent.cli.report import estimate
    from rar_agent.cli.show import err
    from rar_agent.memory import estimate_build, memory_folder

    place = memory_folder(settings.home, name)
    with busy("looking through the inputs"):
        count = reader.count
    if count != 0:  # names alone need nothing to speak of
        needed = estimate_build(place, count, encoder.dimension, thumbnails)
        err.print(estimate(needed), soft_wrap=True)


def _learning() -> Bar:
    from rar_agent.cli.progress import Bar

    return Bar(
        "encoding",
        "writing and scoring",
        "What was encoded is kept: run the same command again, and it goes on.",
    )
