"""torchvision: official splits, and downloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source
from rar_agent.settings import Settings
from rar_agent.types import Category


class Download(BaseModel):
    """What torchvision can fetch, with its own checks of what it fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    torchvision: str
    """Class of `torchvision.datasets`."""
    options: dict[str, Any] = {}
    """Its arguments."""
    url: str = ""
    """From where it fetches."""
    size: str = ""
    """How large that is."""

    def fetch(self, place: Path) -> None:
        """Fetch it to a folder.

        Raises:
            ConfigurationError: It cannot be fetched, or not be written.
        """
        place.mkdir(parents=True, exist_ok=True)
        try:
            _class(self.torchvision)(str(place), **self.options, download=True)
        except Exception as error:  # of the network, of archives, of checksums
            raise ConfigurationError(
                f"torchvision could not fetch {self.torchvision}: {error}.",
                f"Fetch it by hand to '{place}'.",
            ) from error


class TorchvisionSource(Source):
    """A data set of torchvision that lists its files: with `split=…`, or of folders."""

    loader: Literal["torchvision"] = "torchvision"
    dataset: str
    """Class of `torchvision.datasets`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its arguments, for all parts."""
    train: dict[str, Any] = Field(default_factory=lambda: {"split": "train"})
    """Its arguments for what is learnt from."""
    test: dict[str, Any] = Field(default_factory=lambda: {"split": "test"})
    """Its arguments for what is tested on."""
    validation: dict[str, Any] | None = None
    """Its arguments for what is neither; None: there is nothing else."""

    def missing(self, place: Path) -> list[str]:
        """What torchvision says; its data sets check what they need when they are made."""
        try:
            self._opened(place, self.test)
        except RuntimeError:
            return [f"what torchvision's {self.dataset} reads"]
        return []

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images; see `Source`."""
        train, test = (self._opened(place, options) for options in (self.train, self.test))
        validation = 0 if self.validation is None else len(self._opened(place, self.validation))
        return Listing(
            [Category(name=str(name)) for name in train.classes],
            _images(train, place),
            _images(test, place),
            validation,
        )

    def _opened(self, place: Path, options: Mapping[str, Any]) -> Any:  # noqa: ANN401
        try:  # no data set of torchvision downloads anything unless it is told to
            return _class(self.dataset)(str(place), **self.options, **options)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"torchvision's {self.dataset} cannot be read with {dict(options)}: {error}.",
                "Set options, train and test to arguments that it takes.",
            ) from error


def _class(name: str) -> Any:  # noqa: ANN401 - the library has no common type for these
    from torchvision import datasets

    found = getattr(datasets, name, None)
    if found is None:
        raise ConfigurationError(
            f"torchvision has no data set '{name}'.", "Look up its name in torchvision.datasets."
        )
    return found


def _images(opened: Any, place: Path) -> list[LabelledImage]:  # noqa: ANN401
    root = place.absolute()
    return [
        LabelledImage(_key(Path(file).absolute(), root), Path(file).absolute(), int(label))
        for file, label in _files(opened)
    ]


def _key(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()


def _files(opened: Any) -> Sequence[tuple[str, int]]:  # noqa: ANN401
    """Paths and labels. torchvision's data sets give decoded images only, in public."""
    for name in ("samples", "_samples"):
        if (samples := getattr(opened, name, None)) is not None:
            return list(samples)
    files = getattr(opened, "_image_files", None) or getattr(opened, "_images", None)
    if files is None or not hasattr(opened, "_labels"):
        raise ConfigurationError(
            f"torchvision's {type(opened).__name__} does not tell its files.",
            "Read its files as a folder or a table.",
        )
    return list(zip(files, opened._labels, strict=True))
