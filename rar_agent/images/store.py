"""Where admitted images wait under their content hash: while a graph runs, or a thread goes on."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from rar_agent.errors import ConfigurationError, ImageError, NotFoundError
from rar_agent.forks import Lock
from rar_agent.images.admit import AdmittedImage
from rar_agent.images.decode import decode
from rar_agent.images.policy import Limits

_SUFFIX = ".image"
_DRAFT = ".image-draft"
_ADMITTED = Limits(sys.maxsize, sys.maxsize, sys.maxsize)  # it was within the limits when it came


class ImageStore:
    """Images by content hash: a bounded cache in memory, and a folder where a place is given.

    Only code that admitted an image can put it here, and only who knows the hash can get it.
    Thread-safe.

    Args:
        place: Folder that lets hashes survive a restart; None: memory only.
        max_pixels: Decoded pixels kept in memory (3 bytes each); the oldest unused go first.
        max_files_bytes: Size of the folder; the files that were not used for longest go first.
        expiry_s: Seconds without use after which a file is removed.
    """

    def __init__(
        self,
        place: Path | None = None,
        max_pixels: int = 32_000_000,
        max_files_bytes: int = 1_000_000_000,
        expiry_s: float = 7 * 86_400,
    ) -> None:
        self.place = place
        self._max_pixels = max_pixels
        self._max_files_bytes = max_files_bytes
        self._expiry_s = expiry_s
        self._kept: OrderedDict[str, AdmittedImage] = OrderedDict()
        # An image that somebody still holds, as a running batch does, is found without a copy.
        self._held: WeakValueDictionary[str, AdmittedImage] = WeakValueDictionary()
        # The same image in less detail, of which its holder may be the last.
        self._reduced: WeakValueDictionary[str, AdmittedImage] = WeakValueDictionary()
        self._lock = Lock()

    def put(self, image: AdmittedImage) -> str:
        """Keep an image; returns its hash.

        In a folder its bytes are kept as they came, where the image has them, else as PNG.

        Raises:
            ConfigurationError: The folder cannot be written.
        """
        self._keep(replace(image, encoded=None) if image.encoded else image)
        if self.place is not None:
            try:
                self._write(self.place, image)
            except OSError as error:
                raise ConfigurationError(
                    f"Images cannot be kept in '{self.place}': {error.strerror}.",
                    "Make room there, or set RAR_HOME to a folder that can be written.",
                ) from error
        return image.sha256

    def get(self, sha256: str) -> AdmittedImage:
        """The image of a hash.

        Raises:
            NotFoundError: It was never here, or has expired.
        """
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return self._kept[sha256]
            held = self._held.get(sha256) or self._reduced.get(sha256)
        if held is not None:
            return held
        image = self._read(sha256)
        if image is None:
            raise NotFoundError(
                f"Image {sha256[:12]} is not in the store, or has expired.", "Attach it again."
            )
        self._keep(image)
        return image

    def __contains__(self, sha256: object) -> bool:
        with self._lock:
            return sha256 in self._held or (
                self.place is not None and _is_hash(sha256) and self._file(str(sha256)).is_file()
            )

    def _keep(self, image: AdmittedImage) -> None:
        with self._lock:
            held = self._held.get(image.sha256)
            if held is not None and held.rgb.width != image.rgb.width:
                # who put the one with more detail may still want it
                image, self._reduced[image.sha256] = sorted(
                    (held, image), key=lambda one: -one.rgb.width
                )
            self._kept[image.sha256] = self._held[image.sha256] = image
            self._kept.move_to_end(image.sha256)
            pixels = sum(kept.rgb.width * kept.rgb.height for kept in self._kept.values())
            while pixels > self._max_pixels and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                pixels -= dropped.rgb.width * dropped.rgb.height

    def _file(self, sha256: str) -> Path:
        assert self.place is not None  # noqa: S101 - callers checked
        return self.place / f"{sha256}{_SUFFIX}"

    def _write(self, place: Path, image: AdmittedImage) -> None:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._file(image.sha256)
        if not self._use(file):
            opened, draft = tempfile.mkstemp(_DRAFT, dir=place)
            try:
                with os.fdopen(opened, "wb") as out:
                    if image.encoded is not None:
                        out.write(image.encoded)
                    else:
                        image.rgb.save(out, format="PNG", compress_level=1)
                Path(draft).replace(file)
            finally:
                Path(draft).unlink(missing_ok=True)
        self._expire(place, file)

    def _use(self, file: Path) -> bool:
        """Count a use of a file; whether it is there."""
        try:
            os.utime(file)
            return file.stat().st_size > 0  # none were written where the power failed
        except FileNotFoundError:
            return False

    def _read(self, sha256: str) -> AdmittedImage | None:
        if self.place is None or not _is_hash(sha256):
            return None
        file = self._file(sha256)
        with suppress(OSError):  # a folder that may only be read
            self._use(file)
        try:
            rgb = decode(file.read_bytes(), sha256[:12], _ADMITTED)
        except (OSError, ImageError):
            return None
        return AdmittedImage(sha256, rgb, sha256[:12])

    def _expire(self, place: Path, put: Path) -> None:
        """Remove what is old or too much; drafts of writers that died are old one day.

        What was just put stays, also where the clock was set back and all others look newer.
        The folder may have been there before, with a user's own files: those are left alone.
        """
        files = []
        with os.scandir(place) as found:
            for file in found:
                if file.name.endswith((_SUFFIX, _DRAFT)):
                    with suppress(FileNotFoundError):  # another process expires them too
                        seen = file.stat()
                        files.append((seen.st_mtime, seen.st_size, file.path))
        total, now = sum(size for _, size, _ in files), time.time()
        for used, size, path in sorted(files):
            if path == str(put):
                continue
            if now - used > self._expiry_s or total > self._max_files_bytes:
                Path(path).unlink(missing_ok=True)
                total -= size


def _is_hash(value: object) -> bool:
    text = str(value)
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
