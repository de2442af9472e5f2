"""What a build will need, said before it starts."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rar_agent.images.read import BATCH_PIXELS
from rar_agent.memory.format.manifest import ENTRY
from rar_agent.memory.scoring.affinity import MOST_COSINES
from rar_agent.memory.scoring.fit import MOST_COMPARED, MOST_LEFT_OUT, MOST_SCORES
from rar_agent.memory.scoring.record import MOST_CATEGORIES
from rar_agent.memory.search import ALL_SCORED
from rar_agent.memory.teaching.learn import SEGMENT
from rar_agent.settings import MOST_CANDIDATES

SOURCE_BYTES = 100
"""Of an exemplar's path, about."""
THUMBNAIL_BYTES = 0.35
"""Of a thumbnail, for each pixel of its square: at 96 pixels the middle of 51 photos took 0.33, at
256 pixels 0.16."""
IMAGE_BYTES = 70
"""Of memory, for each image, at the peak: 20 to know it again, 50 for its place while segments are
merged."""


@dataclass(frozen=True)
class Estimate:
    """What a build needs beyond the encoder itself.

    Attributes:
        images: To be learnt; None where that is not known without reading them all.
        disk_bytes: On disk in the end; twice as much for a moment, while segments are merged.
        ram_bytes: At the peak: a batch and a segment, or the fit, and `IMAGE_BYTES` for each image;
            without these where their number is not known.
        free_disk: Bytes free where the memory will be.
        free_ram: Bytes of memory available now; None where the system does not say.
    """

    images: int | None
    disk_bytes: int | None
    ram_bytes: int
    free_disk: int
    free_ram: int | None

    @property
    def fits(self) -> bool:
        """Whether disk and memory are enough, as far as that is known."""
        disk = self.disk_bytes is None or 2 * self.disk_bytes < self.free_disk
        return disk and (self.free_ram is None or self.ram_bytes < self.free_ram)


def estimate_build(
    place: Path, images: int | None, dimension: int, thumbnails: int = 0
) -> Estimate:
    """Estimate a build.

    How many categories there are is not known before all is read: of what grows with them, as much
    is reckoned as there can be, as if each image had one of its own.

    Args:
        place: Where it will be written, or a folder above that is there.
        images: Number of images; None where it is not known.
        dimension: Length of a vector.
        thumbnails: Longer side of the pictures kept, in pixels.
    """
    while not place.exists():
        place = place.parent
    each = 4 * dimension + ENTRY.itemsize + SOURCE_BYTES + int(THUMBNAIL_BYTES * thumbnails**2)
    batch = 2 * 4 * BATCH_PIXELS
    segment = 2 * SEGMENT * each
    fit_ram = _fit_bytes(MOST_CATEGORIES if images is None else images, dimension)
    disk = None
    if images is not None:  # the fit keeps axes, sums of categories, answers to the left-out
        disk = images * each
        disk += 4 * dimension * (min(images, dimension) + min(images, ALL_SCORED))
        disk += 8 * (MOST_CANDIDATES + 4) * min(images, MOST_LEFT_OUT)
    return Estimate(
        images=images,
        disk_bytes=disk,
        ram_bytes=max(batch + segment, fit_ram) + IMAGE_BYTES * (images or 0),
        free_disk=shutil.disk_usage(place).free,
        free_ram=_free_ram(),
    )


def _fit_bytes(images: int, dimension: int) -> int:
    """Of memory while the scoring is chosen; the numbers of arrays are those seen alive at once."""
    rows = min(images, MOST_LEFT_OUT) * dimension
    means = min(images, MOST_CATEGORIES) * dimension
    scores = min(images // 2 * min(images, MOST_LEFT_OUT), MOST_SCORES)  # of two images each
    gaussians = 8 * (7 * rows + 3 * dimension**2 + 7 * means + 10 * scores)
    if images > MOST_COMPARED:
        return gaussians
    cosines = min(images * min(images, MOST_LEFT_OUT), MOST_COSINES)
    exemplars = 4 * (images * dimension + 4 * cosines)
    return max(gaussians, exemplars + 8 * (2 * rows + dimension**2 + 4 * means + 10 * scores))


def _free_ram() -> int | None:
    with suppress(OSError, ValueError, StopIteration):  # Linux: the page cache counts as free
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on macOS
        return None
