"""The folder where images of conversations are kept, so that handles survive a restart."""

from __future__ import annotations

from pathlib import Path

from rar_agent.forks import Once
from rar_agent.images import ImageStore
from rar_agent.settings import Settings


def image_store(settings: Settings) -> ImageStore:
    """The store in `images/` under the settings' home."""
    return _store(settings.home, settings.images_mb, settings.images_days)


@Once
def _store(home: Path, megabytes: float, days: float) -> ImageStore:
    return ImageStore(home / "images", max_files_bytes=int(megabytes * 1e6), expiry_s=days * 86_400)
