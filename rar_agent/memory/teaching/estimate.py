"""What a build will need, said before it starts."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rar_agent.images.read import BATCH_PIXELS
from rar_agent.memory.format.manifest import ENTRY
from rar_agent.memory.scoring.fit import MOST_LEFT_OUT, MOST_SCORES
from rar_agent.memory.teaching.learn import SEGMENT

SOURCE_BYTES = 100
"""Of an exemplar's path, about."""
THUMBNAIL_BYTES = 0.35
"""Of a thumbnail, for each pixel of its square: at 96 pixels the middle of 51 photos took 0.33, at
256 pixels 0.16."""
_ARRAYS = 8  # float64 arrays of left-out exemplars alive at once while fitting


@dataclass(frozen=True)
class Estimate:
    """What a build needs beyond the encoder itself.

    Attributes:
        images: To be learnt; None where that is not known without reading them all.
        disk_bytes: On disk in the end; twice as much for a moment, while segments are merged.
        ram_bytes: At the peak, however many images there are: a batch, a segment, the fit.
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

    Args:
        place: Where it will be written, or a folder above that is there.
        images: Number of images; None where it is not known.
        dimension: Length of a vector.
        thumbnails: Longer side of the pictures kept, in pixels.
    """
    while not place.exists():
        place = place.parent
    each = 4 * dimension + ENTRY.itemsize + SOURCE_BYTES + int(THUMBNAIL_BYTES * thumbnails**2)
    left_out = min(images or MOST_LEFT_OUT, MOST_LEFT_OUT)
    fit = 8 * (_ARRAYS * left_out * dimension + 3 * dimension**2 + _ARRAYS * MOST_SCORES)
    batch = 2 * 4 * BATCH_PIXELS
    segment = 2 * SEGMENT * each
    return Estimate(
        images=images,
        disk_bytes=None
        if images is None
        else images * each + 4 * dimension * min(images, dimension),
        ram_bytes=max(batch + segment, fit),
        free_disk=shutil.disk_usage(place).free,
        free_ram=_free_ram(),
    )


def _free_ram() -> int | None:
    with suppress(OSError, ValueError, StopIteration):  # Linux: the page cache counts as free
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on macOS
        return None
