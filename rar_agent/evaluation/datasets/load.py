"""From a card's name to the data set, or to what has to be done first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.dataset import DataSet
from rar_agent.evaluation.datasets.card import Card, Piece, find_cards, load_card, read_card
from rar_agent.evaluation.datasets.check import assemble
from rar_agent.evaluation.datasets.folder import FolderSource
from rar_agent.evaluation.datasets.icons import PACKAGE, IconSource
from rar_agent.evaluation.datasets.listing import below
from rar_agent.evaluation.datasets.rows import HuggingFaceSource
from rar_agent.evaluation.datasets.vision import Download
from rar_agent.settings import Settings


@dataclass(frozen=True)
class State:
    """Whether a data set can be used.

    Attributes:
        card: Its card.
        state: `ready`; `downloadable`, which RAR_DOWNLOAD allows; `needs you`.
        place: Its folder, or where that is to be.
        message: What to do; empty where it is ready.
    """

    card: Card
    state: Literal["ready", "downloadable", "needs you"]
    place: Path
    message: str = ""


def load_dataset(spec: str | dict[str, Any] | Card, settings: Settings) -> DataSet:
    """A data set that was checked against its card.

    Images are not opened: one that is damaged is one failure when it is used.

    Args:
        spec: Name of a card, path of one, a card, or one as plain data: `{images: FOLDER}` is
            enough.
        settings: Where data sets lie, and whether one may be downloaded.

    Raises:
        NotFoundError: There is no such card.
        ConfigurationError: The data set is not there: the message says what to fetch, from where,
            how large it is, its licence, and where to put it; or the card is not valid.
        DamagedDataError: What is there is not what the card says.
        InputError: The plain data is no card, or what it names is no data set.
    """
    card = spec if isinstance(spec, Card) else load_card(spec, settings.home)
    found = state_of(card, settings)
    if found.state == "downloadable" and settings.download and card.download:
        card.download.fetch(found.place)
        found = state_of(card, settings)
    if found.state != "ready" and not (found.state == "downloadable" and settings.download):
        message, _, rest = found.message.partition("\n")
        raise ConfigurationError(message, rest)
    return assemble(card, card.source.read(found.place, settings))


def list_datasets(settings: Settings) -> list[State]:
    """Every data set that has a card, with its state, by name; a bad card says what is wrong."""
    states = []
    for name, path in sorted(find_cards(settings.home).items()):
        try:
            states.append(state_of(read_card(path), settings))
        except ConfigurationError as error:
            states.append(
                State(Card(name=name, source=FolderSource()), "needs you", path, str(error))
            )
    return states


def state_of(card: Card, settings: Settings) -> State:
    """Whether a data set can be used; nothing is fetched, and no image is read."""
    places = [root / (card.folder or card.name) for root in _roots(settings)]
    for place in places:
        if not _lacking(card, place):
            if _on_hub(card, place):
                return State(card, "downloadable", place, _hub(card))
            return State(card, "ready", place)
    place = next((place for place in places if place.is_dir()), places[0])
    if card.download and not _absent(card, place):
        return State(card, "downloadable", place, _downloadable(card, place, card.download))
    return State(card, "needs you", place, _needed(card, place))


def _roots(settings: Settings) -> Iterator[Path]:
    """Folders of data sets."""
    yield (settings.evals_data or settings.home / "evals" / "data").expanduser()
    if images := os.environ.get("RAR_DATA"):
        yield Path(images).expanduser()


def _on_hub(card: Card, place: Path) -> bool:
    return isinstance(card.source, HuggingFaceSource) and card.source.found(place) is None


def _lacking(card: Card, place: Path) -> list[str]:
    """What is not there; what torchvision fetches lies where its source finds it."""
    missing = card.source.missing(place)
    pieces = [] if card.download else [piece.put for piece in _absent(card, place)]
    return list(dict.fromkeys([*pieces, *missing]))


def _absent(card: Card, place: Path) -> list[Piece]:
    return [piece for piece in card.fetch if not (place / piece.put).exists()]


def _hub(card: Card) -> str:
    return (
        f"Data set '{card.name}' is on the Hugging Face hub, and downloading is off.\n"
        "Allow it with RAR_DOWNLOAD=1."
    )


def _downloadable(card: Card, place: Path, download: Download) -> str:
    terms = f" Its licence: {card.licence}." if card.licence else ""
    return (
        f"Data set '{card.name}' is not at '{place}'; torchvision can fetch it, and downloading "
        f"is off.\nAllow it with RAR_DOWNLOAD=1: {download.size} from {download.url}.{terms}"
    )


def _needed(card: Card, place: Path) -> str:
    missing = ", ".join(_lacking(card, place))
    if isinstance(card.source, IconSource):
        return (
            f"Data set '{card.name}' is drawn from {PACKAGE}, which is not installed.\n"
            "Run: pip install 'rar-agent[eval]'"
        )
    if Path(card.folder).is_absolute() and not card.fetch:  # a suite's own, not a shipped card
        gone = ", ".join(f"'{below(place, path)}'" for path in _lacking(card, place))
        return (
            f"Data set '{card.name}': there is no {gone}.\n"
            "Correct it in dataset; a path that is not absolute begins at the working directory."
        )
    lines = [f"Data set '{card.name}' is not at '{place}'. Missing: {missing}."]
    for piece in _absent(card, place):
        size = f" ({piece.size})" if piece.size else ""
        lines.append(f"Get {piece.what}{size} from {piece.url}, so that '{place / piece.put}' is.")
    if card.download:
        source = f"{card.download.size} from {card.download.url}"
        lines.append(f"RAR_DOWNLOAD=1 has torchvision fetch the images, {source}.")
    if card.licence:
        lines.append(f"Its licence: {card.licence}.")
    lines.append("RAR_EVALS_DATA names another folder of data sets.")
    return "\n".join(lines)
