"""Icons that ship in a PyPI package, drawn with distortions: a data set with nothing to fetch."""

from __future__ import annotations

import hashlib
import math
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydantic import Field
from typing_extensions import override

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.dataset import LabelledImage
from rar_agent.evaluation.datasets.listing import Listing, Source, kept
from rar_agent.settings import Settings
from rar_agent.types import Category

PACKAGE = "fonticon-materialdesignicons7"
SIDE = 112  # pixels
_DRAWN = 1  # raise it when drawing changes: what was drawn before is then drawn anew


class IconSource(Source):
    """Material Design Icons, turned, scaled, coloured, blurred and made noisy by a seed."""

    loader: Literal["icons"] = "icons"
    names: tuple[str, ...] = Field(min_length=2)
    """Icons, by their names in the package."""
    train: int = Field(default=4, ge=1)
    """Drawings of each to learn from."""
    test: int = Field(default=2, ge=1)
    """Drawings of each to test on."""
    seed: int = 0
    """Of the distortions."""

    @override
    def missing(self, place: Path) -> list[str]:
        """The package."""
        return [] if find_spec("fonticon_mdi7") else ["rar-agent[eval]"]

    @override
    def read(self, place: Path, settings: Settings) -> Listing:
        """List the images, drawn where they are not there yet; see `Source`."""
        from fonticon_mdi7 import MDI7

        missing = [name for name in self.names if not hasattr(MDI7, name)]
        if missing:
            raise ConfigurationError(
                f"{PACKAGE} has no icon {', '.join(missing[:5])}.", "Take it out of `names`."
            )
        folder = kept(settings) / f"icons-{version(PACKAGE)}-{_DRAWN}-{self.seed}"
        parts: dict[str, list[LabelledImage]] = {"train": [], "test": []}
        for label, name in enumerate(self.names):
            glyph = str(getattr(MDI7, name)).rpartition(".")[2]
            for part, count in (("train", self.train), ("test", self.test)):
                for number in range(count):
                    key = f"{part}/{name}/{number}.png"
                    if not (folder / key).exists():
                        _write(draw(glyph, MDI7.__font_file__, f"{self.seed}:{key}"), folder / key)
                    parts[part].append(LabelledImage(key, folder / key, label))
        categories = [Category(name=name) for name in self.names]
        return Listing(categories, parts["train"], parts["test"])


def draw(glyph: str, font_file: str, seed: str) -> Image.Image:
    """One icon, distorted.

    Args:
        glyph: Its character.
        font_file: Of the font that has it.
        seed: All that is drawn at random follows from it.

    Returns:
        RGB, `SIDE` pixels square.
    """
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))
    ground = _ground(random)
    font = ImageFont.truetype(font_file, int(SIDE * random.uniform(0.5, 0.85)))
    mask = Image.new("L", (SIDE, SIDE))
    shift = random.uniform(-0.08, 0.08, 2) * SIDE + SIDE / 2
    ImageDraw.Draw(mask).text(tuple(shift), glyph, fill=255, font=font, anchor="mm")
    mask = mask.rotate(random.uniform(-30, 30), Image.Resampling.BICUBIC)
    mask = mask.transform(
        mask.size, Image.Transform.AFFINE, _sheared(random), Image.Resampling.BICUBIC
    )
    light = ground.convert("L").resize((1, 1)).getpixel((0, 0))
    dark = isinstance(light, int | float) and light > 127
    ink = random.integers(0, 90, 3) if dark else random.integers(165, 256, 3)
    ground.paste(tuple(map(int, ink)), mask=mask)
    blurred = ground.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))
    noise = random.standard_normal((SIDE, SIDE, 3), np.float32) * random.uniform(0, 18)
    return Image.fromarray(np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8))


def _ground(random: np.random.Generator) -> Image.Image:
    """A gradient between two colours that are alike in lightness."""
    base = random.integers(0, 256)
    ends = np.clip(base + random.integers(-50, 51, (2, 3)), 0, 255)
    angle = random.uniform(0, 2 * math.pi)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    along = np.clip(math.cos(angle) * x + math.sin(angle) * y + 0.5, 0, 1)[..., None]
    return Image.fromarray((ends[0] * (1 - along) + ends[1] * along).astype(np.uint8))


def _sheared(random: np.random.Generator) -> tuple[float, ...]:
    shear = float(random.uniform(-0.2, 0.2))
    return (1, shear, -shear * SIDE / 2, 0, 1, 0)


def _write(image: Image.Image, file: Path) -> None:
    half = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(half, "PNG", compress_level=1)
        half.replace(file)
    except OSError as error:
        raise ConfigurationError(
            f"'{file.parent}' cannot be written: {error.strerror}.",
            "Make room, or set RAR_HOME to a folder that can be written.",
        ) from error
