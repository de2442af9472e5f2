"""What `recognize` and `detect` are asked with: images, and how they are answered."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.cli.options import pairs
from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.recognizer import Asked, Recognizer
    from rar_agent.settings import Settings

Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGE...", help="Image files, folders, globs or https URLs."),
]
MemoryName = Annotated[str | None, typer.Option(help="Memory to ask.")]
K = Annotated[int | None, typer.Option(help="Candidates, 1 to 26.")]
Coverage = Annotated[
    float | None,
    typer.Option(help="In place of --k: as many candidates as hold the right one so often: 0.95."),
]
ErrorRate = Annotated[
    float | None,
    typer.Option(help="Abstain so that accepted answers are wrong at most so often: 0.05."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="BRANCH", help="Answer only categories below it; may be repeated."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Answer only categories with this metadata, KEY= without; may be repeated.",
    ),
]
MethodName = Annotated[str, typer.Option(help="fitted, or the paper's knn.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON line an image.")]


def sources(images: Sequence[str], command: str) -> Iterator[str]:
    """The images that are named, those of folders and globs one by one.

    Args:
        images: As they were typed.
        command: Whose example to advise, if there is none.

    Raises:
        InputError: None is named, or a folder or a glob has none.
    """
    if not images:
        raise InputError("No image is named.", f"Name one, or try: rar-agent {command} --example")
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


def asked_of(
    method: str,
    k: int | None,
    coverage: float | None,
    error_rate: float | None,
    only: Sequence[str] | None,
    where: Sequence[str] | None,
) -> Asked:
    """What is asked of each image; the numbers are checked here, and set as settings.

    Raises:
        InputError: An option is not valid, or two exclude each other.
    """
    if method not in ("fitted", "knn"):
        raise InputError(f"--method {method} is unknown.", "Choose fitted or knn.")
    if k is not None and coverage is not None:
        raise InputError("--coverage takes the place of --k.", "Give one of them.")
    _refuse_percent("--coverage", coverage)
    _refuse_percent("--error-rate", error_rate)
    asked: Asked = {"method": "knn" if method == "knn" else "fitted", "only": only or ()}
    if where:
        asked["where"] = pairs(where, "--where")
    return asked


def _refuse_percent(option: str, share: float | None) -> None:
    if share is not None and 1 < share < 100:
        raise InputError(
            f"{option} {share:g} is no share: those are under 1.", f"Did you mean {share / 100:g}?"
        )


def require_model(settings: Settings, given: Mapping[str, object]) -> None:
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


def say_filtered(recognizer: Recognizer, asked: Asked) -> None:
    """What a filter costs, on standard error, as it is of the whole run, JSON too."""
    from rar_agent.cli.show import err
    from rar_agent.words import FILTERED

    if (asked.get("only") or asked.get("where")) and recognizer.memory.calibrated:
        err.print(f"note: {FILTERED}", style="yellow", soft_wrap=True)
