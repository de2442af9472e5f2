"""HTML of what the page shows. Templates escape what they are given: names are text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rar_agent.errors import RarError
from rar_agent.telemetry import events, redacted
from rar_agent.types import Exemplar, RankedCategory
from rar_agent.ui.desk import Answer
from rar_agent.words import counted, notes, percent

_log = events(__name__)


@dataclass(frozen=True)
class Shown:
    """An exemplar as it is shown.

    Attributes:
        name: The end of where it was read from.
        picture: Data URI; empty where there is no picture.
        similarity: Cosine with the photo, in words; empty where nothing was asked.
    """

    name: str
    picture: str
    similarity: str = ""


def shown(exemplars: Sequence[Exemplar], pictures: Sequence[str], asked: bool) -> list[Shown]:
    """Exemplars with their pictures.

    Args:
        exemplars: In order.
        pictures: One each.
        asked: Whether their similarities are with a photo.
    """
    return [
        Shown(
            "/".join(Path(exemplar.source).parts[-2:]),
            picture,
            f"{exemplar.similarity:.2f}" if asked else "",
        )
        for exemplar, picture in zip(exemplars, pictures, strict=True)
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rar_agent.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, counted=counted)
    return environment


def render(template: str, **values: object) -> str:
    """HTML of a template in `templates/`, by its name."""
    return _environment().get_template(f"{template}.html").render(**values)


def answer(answer: Answer, evidence: Sequence[Sequence[Shown]]) -> str:
    """A recognition in full.

    Args:
        answer: It.
        evidence: Of each of its categories, the nearest exemplars.
    """
    recognition = answer.recognition
    return render(
        "answer",
        recognition=recognition,
        said=f"{recognition.decision}: {brief(recognition.categories)}",
        rows=list(zip(recognition.categories, evidence, strict=True)),
        notes=list(notes(recognition, answer.model)),
        times=times(recognition.trace.timings_ms),
        sent=Markup(answer.sent),  # noqa: S704 - escaped where it was made
    )


def pending(text: str, busy: bool = True) -> str:
    """HTML of what is going on."""
    return render("pending", text=text, busy=busy)


def brief(ranked: Sequence[RankedCategory]) -> str:
    """The best category, in a few words."""
    return f"{ranked[0].category.name}, {percent(ranked[0].probability)}" if ranked else "nothing"


def sentence(error: Exception) -> str:
    """What went wrong and what to do, never a traceback; that is for the terminal."""
    if isinstance(error, RarError):
        return render("error", message=redacted(error.message), fix=redacted(error.fix))
    _log.error("a bug", error)
    kind = type(error).__name__
    fix = "Please report it, with what the terminal says."
    return render("error", message=f"This is a bug: {kind}.", fix=fix)


def times(timings_ms: Mapping[str, float]) -> str:
    """What each part took, in words."""
    return ", ".join(f"{part} {_milliseconds(ms)}" for part, ms in timings_ms.items())


def _milliseconds(number: float) -> str:
    return (
        f"{number / 1000:.1f} s" if number >= 1000 else f"{number:.{0 if number >= 10 else 1}f} ms"
    )
