"""Running a suite: every image of every cell once, whoever takes part and however often it ends."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rar_agent.batch import Entry, Journal, Outcome, read_journal
from rar_agent.batch import run as run_batch
from rar_agent.batch.runner import Progress
from rar_agent.durable import replace_file
from rar_agent.encoders import Encoder, load_encoder
from rar_agent.encoders.load import choose_encoder
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.evaluation.annotations import write_annotations
from rar_agent.evaluation.asked import RECORD, Asked
from rar_agent.evaluation.cells import Cell, cells_of
from rar_agent.evaluation.dataset import DataSet
from rar_agent.evaluation.datasets import load_dataset
from rar_agent.evaluation.embeddings import KeptEncoder
from rar_agent.evaluation.learning import learn
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.paper import check_row
from rar_agent.evaluation.simulated import PREFIX
from rar_agent.evaluation.suite import Suite, configuration_hash
from rar_agent.graph.conclusion import versions
from rar_agent.locks import locked
from rar_agent.prompts import load_prompt
from rar_agent.settings import Settings, load_settings

_DECIDING = {
    "seed",
    "exemplars",
    "skip_ranking_at",
    "abstain_below",
    "error_rate",
    "image_side",
} | {
    "model_precision",
    "quantize",
}
DESCRIPTION = "run.json"
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Run:
    """A run that can be begun, or gone on with.

    Attributes:
        folder: With `run.json`, the journal, and the report.
        described: What `run.json` says, unless it is there already.
        work: Does its items.
        annotations: Of its data set.
        whole: Whether each of its cells asks about all there is to test on.
    """

    folder: Path
    described: dict[str, Any]
    work: _Work
    annotations: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = True

    def go_on(self, progress: Progress | None = None) -> Outcome:
        """Do what is not done; whatever ends it, what was done is kept.

        Args:
            progress: Told after each image.

        Raises:
            InputError: The folder is another run's.
            ConfigurationError: The model cannot be loaded.
            BudgetError: The limit on what may be spent is reached; what was answered is kept.
        """
        with Journal(self.folder / JOURNAL, self.described["configuration_hash"]) as journal:
            self._describe()
            return run_batch(journal, self.work.keys, self.work, progress)

    def _describe(self) -> None:
        """Write what the run is of; of one that goes on, only what is told anew."""
        place, described = self.folder / DESCRIPTION, self.described
        with locked(place.with_suffix(".lock")):
            with suppress(OSError, ValueError):  # there is none, or one that was never finished
                begun = json.loads(place.read_bytes())
                described = {**begun, "suite": described["suite"], "dataset": described["dataset"]}
            text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
            try:
                replace_file(place, text.encode())
                write_annotations(self.folder, self.annotations, self.work.samples, self.whole)
            except OSError as error:
                raise ConfigurationError(
                    f"'{self.folder}' cannot be written: {error.strerror}.",
                    "Make room, or choose another folder.",
                ) from error


def prepare_run(
    suite: Suite,
    settings: Settings,
    out: Path | None = None,
    command: str = "",
    memories: Path | None = None,
) -> Run:
    """Load what a suite needs; nothing is asked yet.

    Args:
        suite: What is measured.
        settings: Where data, memories, models and kept answers are.
        out: The run's folder; default: `rar-evals/` in the working directory, and in it one named
            after the suite and what decides its results, so that the same goes on.
        command: What was typed, for the report.
        memories: Folder of memories that runs share, where they learn the same; default: the run
            has its own, in its folder.

    Raises:
        NotFoundError: The data set is not there; the message says how to get it. Or the paper has
            no such row as the suite is to stand beside.
        InputError: The data set has too little for the protocol.
        ConfigurationError: The encoder cannot be loaded.
    """
    if suite.beside:
        check_row(suite.beside, settings.home)
    settings = load_settings(settings, decode_whole=True)  # what is learnt as what is asked about
    data = load_dataset(suite.dataset, settings)
    loaded = load_encoder(choose_encoder(suite.memory.encoder).name, settings)
    encoder = KeptEncoder(loaded, settings.home.expanduser() / "cache" / "embeddings")
    cells = cells_of(suite, data)
    described = {**describe(suite, data, cells, encoder, settings), "command": command}
    name = described["configuration_hash"]
    folder = out or Path("rar-evals") / f"{suite.name}-{name[:8]}"
    home = folder / "memories"
    if memories:  # shared by runs that learn the same
        home = memories / configuration_hash(_learnt(suite, described["configuration"]))
    work = _Work(cells, suite, data, encoder, home, settings)
    whole = all(len(cell.test) == len(data.test) for cell in cells)
    return Run(folder, described, work, data.annotations, whole)


def describe(
    suite: Suite, data: DataSet, cells: Sequence[Cell], encoder: Encoder, settings: Settings
) -> dict[str, Any]:
    """What a run is of, as plain data: with its configuration, all that decides results."""
    boxes = any(one.box for part in (data.test, data.train) for one in part)
    cropped = boxes and suite.protocol.kind != "crops"  # which has styles of its own
    configuration = {
        "suite": suite.configuration,
        **({"crop": suite.crop.model_dump(mode="json")} if cropped else {}),
        "dataset": data.checksum,
        "encoder": encoder.fingerprint.identity,
        "precision": encoder.fingerprint.precision,
        "prompts": _prompts(suite, settings),
        "settings": _settings(settings),
        "rar-agent": versions()["rar-agent"],
    }
    return {
        "suite": suite.model_dump(mode="json"),
        "configuration": configuration,
        "configuration_hash": configuration_hash(configuration),
        "dataset": {
            "name": data.name,
            "title": data.title,
            "checksum": data.checksum,
            "categories": len(data.categories),
            "train": len(data.train),
            "test": len(data.test),
            "caution": data.caution,
            "renamed": dict(data.renamed),
            "annotated": bool(data.annotations),
            "rare": [data.categories[position].name for position in sorted(data.rare)],
        },
        "cells": {
            cell.slug: {
                "name": cell.name,
                "known": len(cell.known),
                "short": cell.short,
                "test": len(cell.test),
            }
            for cell in cells
        },
        "encoder": {"name": encoder.name, "fingerprint": dict(encoder.fingerprint.details)},
        "versions": versions(),
        "machine": f"{platform.platform()}, Python {platform.python_version()}",
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _learnt(suite: Suite, configuration: dict[str, Any]) -> list[Any]:
    """All that decides what memories know, as plain data."""
    asked, recipe = configuration["suite"], suite.ranker
    shown = [configuration["crop"]] if "crop" in configuration else []
    guesses = [recipe.model, recipe.base_url, recipe.guess_prompt]
    decides = [asked["protocol"], asked["memory"], configuration["dataset"]]
    whose = [configuration["encoder"], configuration["precision"], configuration["rar-agent"]]
    return [*decides, *shown, *whose, guesses if suite.protocol.kind == "vocabulary-free" else []]


def _settings(settings: Settings) -> dict[str, Any]:
    """What of the settings decides results; a model's options as a hash, for they may hold keys."""
    found = settings.model_dump(mode="json", include=_DECIDING)
    options = settings.model_options
    return {**found, "model_options": configuration_hash(options) if options else ""}


def _prompts(suite: Suite, settings: Settings) -> list[str]:
    """What a model is asked, with hashes; nothing where none is."""
    recipe = suite.ranker
    if not recipe.model or recipe.model.startswith(PREFIX):
        return []
    own = {"ranker": recipe.way, "prompt": recipe.prompt}
    asked = [settings.model_copy(update=own).ranking_prompt] if "ranked" in suite.ways else []
    if suite.protocol.kind == "vocabulary-free":
        asked.append(recipe.guess_prompt)
    elif "alone" in suite.ways:
        asked.append(recipe.alone_prompt)
    return [f"{one} {load_prompt(one, settings.home).sha256}" for one in asked]


def read_run(folder: Path) -> tuple[dict[str, Any], list[Record], list[Entry]]:
    """What a run's folder holds.

    Returns:
        Its description, the records, and what could not be answered at all. An image that a model
        alone could not be asked about has a record without it, and is tried again.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: The journal cannot be read.
    """
    try:
        described = json.loads((folder / DESCRIPTION).read_bytes())
        name, cells = described["configuration_hash"], list(described["cells"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotFoundError(
            f"'{folder}' holds no run: {error}.", "Name the folder that eval run printed."
        ) from error
    # In the same order, whoever answered when: what is drawn by a seed is drawn by position.
    place = {slug: at for at, slug in enumerate(cells)}
    entries = sorted(
        read_journal(folder / JOURNAL, name),
        key=lambda entry: (place.get(entry.key.partition("/")[0], len(place)), entry.key),
    )
    told = (entry.result.get(RECORD) if entry.failed else entry.result for entry in entries)
    records = [Record.model_validate(one) for one in told if one]
    return described, records, [one for one in entries if one.failed and RECORD not in one.result]


class _Work:
    """Does a run's items: memories are built when they are first asked."""

    def __init__(
        self,
        cells: Sequence[Cell],
        suite: Suite,
        data: DataSet,
        encoder: Encoder,
        home: Path,
        settings: Settings,
    ) -> None:
        self._cells = {cell.slug: cell for cell in cells}
        self._suite, self._data, self._encoder = suite, data, encoder
        self._home, self._settings = home, settings
        self._open: tuple[str, Asked] | None = None
        self.samples = {one.key for cell in cells for one in cell.test}
        self.keys = [f"{cell.slug}/{one.key}" for cell in cells for one in cell.test]
        if len(set(self.keys)) < len(self.keys):
            raise ConfigurationError(
                f"Data set '{data.name}' has two images of one key.", "Correct its card."
            )

    def __call__(self, keys: Sequence[str]) -> Iterator[Entry]:
        for slug, some in groupby(keys, lambda key: key.partition("/")[0]):
            samples = [key.partition("/")[2] for key in some]
            yield from self._asked(slug).entries(f"{slug}/", samples)

    def _asked(self, slug: str) -> Asked:
        """The cell, with its memory; one is open at a time."""
        if self._open is None or self._open[0] != slug:
            cell = self._cells[slug]
            with locked(self._home / f"{cell.memory}.lock"):  # another process may build it
                learn(cell, self._suite, self._data, self._encoder, self._home, self._settings)
            asked = Asked(cell, self._suite, self._data, self._encoder, self._home, self._settings)
            self._open = slug, asked
        return self._open[1]
