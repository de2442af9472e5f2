"""An exported folder as trainers and measures read it, a conversation at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ValidationError

from rar_agent.errors import DamagedDataError, InputError, NotFoundError
from rar_agent.finetune.draw import Side
from rar_agent.finetune.export import MANIFEST, Manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an exported folder, of TRL's format.

    Raises:
        NotFoundError: There is none.
        InputError: It is not one, or the folder is of another format.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise NotFoundError(
            f"'{folder}' holds no exported conversations: {MANIFEST} cannot be read.",
            f"Run: rar-agent finetune export MEMORY {folder}",
        ) from error
    except ValidationError as error:
        raise InputError(
            f"'{folder / MANIFEST}' is not what finetune export writes.", "Export it again."
        ) from error
    if manifest.plan.format != "trl":
        raise InputError(
            f"'{folder}' is in the format '{manifest.plan.format}'.", "Export it with --format trl."
        )
    return manifest


class Lines:
    """One side of an exported folder; a line is read, and its pictures, when it is asked for.

    Args:
        folder: That was exported in TRL's format.
        side: Which.
        plain: Takes a model's control tokens out of a text, as inference does.
    """

    def __init__(
        self, folder: Path, side: Side, plain: Callable[[str], str] = lambda text: text
    ) -> None:
        self._folder, self._side, self._plain = folder, side, plain
        self._path = folder / f"{side}.jsonl"
        self._starts = [0]
        with self._path.open("rb") as file:
            for line in file:
                self._starts.append(self._starts[-1] + len(line))

    def __reduce__(self) -> tuple[type[Lines], tuple[Path, Side]]:
        return Lines, (self._folder, self._side)  # data sets hash what they read with

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> dict[str, Any]:
        """A conversation as TRL takes it: `prompt`, `completion`, `images`.

        The answer is apart, so that the loss is on it alone.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        with self._path.open("rb") as file:
            file.seek(self._starts[number])
            line = json.loads(file.readline())
        for message in line["messages"]:
            for part in message["content"]:
                if part["type"] == "text":
                    part["text"] = self._plain(part["text"])
        return {
            "prompt": line["messages"][:-1],
            "completion": line["messages"][-1:],
            "images": [self._picture(path) for path in line["images"]],
        }

    def as_dataset(self) -> Any:  # noqa: ANN401 - datasets is not typed
        """The same as a data set of Hugging Face's, which reads lines when they are asked for."""
        from datasets import Dataset

        def read(rows: dict[str, list[int]]) -> dict[str, list[Any]]:
            lines = [self[number] for number in rows["number"]]
            return {name: [line[name] for line in lines] for name in lines[0]}

        return Dataset.from_dict({"number": range(len(self))}).with_transform(read)

    def _picture(self, path: str) -> Image.Image:
        try:
            with Image.open(self._folder / path) as file:
                return file.convert("RGB")
        except OSError as error:
            raise DamagedDataError(
                f"Picture '{self._folder / path}' cannot be read: {error}.", "Export it again."
            ) from error
