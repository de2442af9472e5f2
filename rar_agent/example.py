"""The sample photo: scikit-image's `chelsea.png` (CC0, by Stefan van der Walt)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rar_agent.errors import ConfigurationError


def example_photo() -> Path:
    """Path of the sample photo, found without importing scikit-image.

    Raises:
        ConfigurationError: The extra `offline` is not installed.
    """
    spec = find_spec("skimage")
    places = spec.submodule_search_locations if spec else None
    photo = Path(next(iter(places))) / "data" / "chelsea.png" if places else None
    if photo is None or not photo.is_file():
        raise ConfigurationError(
            "The sample photo is not installed.", "Run: pip install 'rar-agent[offline]'"
        )
    return photo
