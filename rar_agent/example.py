"""The sample photos, of scikit-image.

`chelsea.png` (CC0, by Stefan van der Walt), and for boxes `astronaut.png` (public domain, by NASA).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rar_agent.errors import ConfigurationError
from rar_agent.types import Box

EXAMPLE_BOXES: tuple[Box, ...] = ((340, 0, 150, 290), (280, 345, 232, 167))
"""Of `example_scene`: a space shuttle's model, a helmet."""


def example_photo() -> Path:
    """Path of the sample photo, found without importing scikit-image.

    Raises:
        ConfigurationError: The extra `offline` is not installed.
    """
    return _installed("chelsea.png")


def example_scene() -> Path:
    """Path of the sample photo with several things in it, likewise."""
    return _installed("astronaut.png")


def _installed(name: str) -> Path:
    spec = find_spec("skimage")
    places = spec.submodule_search_locations if spec else None
    photo = Path(next(iter(places))) / "data" / name if places else None
    if photo is None or not photo.is_file():
        raise ConfigurationError(
            "The sample photo is not installed.", "Run: pip install 'rar-agent[offline]'"
        )
    return photo
