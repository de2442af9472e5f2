"""What teaching learns from, as options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rar_agent.errors import InputError

if TYPE_CHECKING:
    from rar_agent.memory.readers import Reader
    from rar_agent.settings import Settings

_PANEL = "Inputs (several are read one after another)"

Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder with a folder of images a category; may be repeated.", rich_help_panel=_PANEL
    ),
]
Table = Annotated[
    list[Path] | None,
    typer.Option(
        help="CSV, TSV, JSON lines or Parquet: a row an image, columns image and category, and if "
        "wanted aliases, description, parent, metadata; may be repeated.",
        rich_help_panel=_PANEL,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_PATH",
        help="Hugging Face data set: a folder or file, or with RAR_DOWNLOAD=1 a name on the hub.",
        rich_help_panel=_PANEL,
    ),
]
Split = Annotated[str | None, typer.Option(help="Of --dataset.", rich_help_panel=_PANEL)]
ImageColumn = Annotated[
    str | None,
    typer.Option(help="Of --dataset, where it is not clear.", rich_help_panel=_PANEL),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(help="Of --dataset, where it is not clear.", rich_help_panel=_PANEL),
]
Shards = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="WebDataset tar files, the pattern in quotes; may be repeated.",
        rich_help_panel=_PANEL,
    ),
]
Names = Annotated[
    Path | None,
    typer.Option(
        help="Text file with a category's name a line, or an annotation file of COCO, LVIS or "
        "V3Det. With --shards: the names of classes 0, 1, 2, … there.",
        rich_help_panel=_PANEL,
    ),
]
Tree = Annotated[
    Path | None,
    typer.Option(help="V3Det's category tree, for an annotation file.", rich_help_panel=_PANEL),
]
Shots = Annotated[
    int | None,
    typer.Option(min=1, help="At most this many images a category.", rich_help_panel=_PANEL),
]
Seed = Annotated[int, typer.Option(help="Which images --shots draws.", rich_help_panel=_PANEL)]


@dataclass(frozen=True)
class Inputs:
    """The options above, as they were given."""

    images: Sequence[Path] | None
    table: Sequence[Path] | None
    dataset: str | None
    split: str | None
    image_column: str | None
    label_column: str | None
    shards: Sequence[str] | None
    names: Path | None
    shots: int | None
    seed: int
    tree: Path | None = None

    def reader(self, settings: Settings) -> Reader:
        """All of them as one reader.

        Raises:
            InputError: There are none, or one cannot be read.
            ConfigurationError: A library is missing, or a download is not allowed.
        """
        from rar_agent.memory.readers import chain, draw

        if not self.dataset and (self.split or self.image_column or self.label_column):
            raise InputError(
                "--split, --image-column and --label-column say how to read a data set, and none "
                "is given.",
                "Give --dataset NAME_OR_PATH too.",
            )
        if self.tree and not self.names:
            raise InputError(
                f"--tree '{self.tree}' says where categories are, and no names are given.",
                "Give the annotation file too, as --names.",
            )
        readers = self._readers(settings)
        if not readers:
            raise InputError(
                "There is nothing to learn.",
                "Give --images FOLDER, --table FILE, --dataset NAME_OR_PATH, --shards GLOB or "
                "--names FILE.",
            )
        whole = chain(*readers)
        return whole if self.shots is None else draw(whole, self.shots, self.seed)

    def _readers(self, settings: Settings) -> list[Reader]:
        from rar_agent.memory.readers import (
            DatasetReader,
            FolderReader,
            ShardReader,
            TableReader,
            names_reader,
            read_names,
        )

        readers: list[Reader] = [FolderReader(folder) for folder in self.images or ()]
        readers += [TableReader(file) for file in self.table or ()]
        if self.dataset:
            readers.append(
                DatasetReader(
                    self.dataset,
                    self.split,
                    self.image_column,
                    self.label_column,
                    settings.download,
                )
            )
        if self.shards:
            classes = [c.name for c in read_names(self.names)] if self.names else None
            readers.append(ShardReader(self.shards, classes, settings.max_bytes))
        elif self.names:
            readers.append(names_reader(self.names, self.tree))
        return readers
