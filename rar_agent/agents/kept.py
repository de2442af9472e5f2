"""The folder where images of conversations are kept, so that handles survive a restart."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from rar_agent.durable import replace_file
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.forks import Once
from rar_agent.images import AdmittedImage, ImageStore
from rar_agent.locks import locked
from rar_agent.settings import Settings

_BYTES = 32


class KeptImages:
    """Images of conversations, for whoever was given what `put` gave, in any process.

    A content hash is no secret: who has the same file knows it, and results show it. So each goes
    with a seal, which takes the folder's own secret to make. Thread-safe.

    Args:
        place: The folder.
        megabytes: Its size; the files that were not used for longest go first.
        days: Without use after which a file is removed.
    """

    def __init__(self, place: Path, megabytes: float, days: float) -> None:
        self.place = place
        size, seconds = int(megabytes * 1e6), days * 86_400
        self._store = ImageStore(place, max_files_bytes=size, expiry_s=seconds)

    def put(self, image: AdmittedImage) -> dict[str, str]:
        """Keep an image; returns its `sha256` and the `seal` for it, which `get` takes.

        The same image is given the same seal.

        Raises:
            ConfigurationError: The folder cannot be written.
        """
        sha256 = self._store.put(image)
        try:
            secret = self._secret() or self._made_secret()
        except OSError as error:
            raise ConfigurationError(
                f"Images cannot be kept in '{self.place}': {error.strerror}.",
                "Make room there, or set RAR_HOME to a folder that can be written.",
            ) from error
        return {"sha256": sha256, "seal": _seal(secret, sha256)}

    def get(self, sha256: str, seal: str) -> AdmittedImage:
        """The image that a seal was given for.

        Raises:
            NotFoundError: None was, or the image has expired; which of both is not told.
        """
        secret = self._secret()
        if secret is None or not hmac.compare_digest(_bytes(seal), _bytes(_seal(secret, sha256))):
            raise NotFoundError("This image was not attached, or has expired.", "Attach it again.")
        return self._store.get(sha256)

    def _secret(self) -> bytes | None:
        """The folder's secret; read anew each time, as it goes when the folder is emptied."""
        try:
            found = self._file.read_bytes()
        except OSError:
            return None
        return found if len(found) == _BYTES else None

    def _made_secret(self) -> bytes:
        with locked(self._file.with_suffix(".lock")):
            found = self._secret()  # another process may have made it meanwhile
            if found is None:
                replace_file(self._file, found := secrets.token_bytes(_BYTES), mode=0o600)
            return found

    @property
    def _file(self) -> Path:
        return self.place / "secret"


def _seal(secret: bytes, sha256: str) -> str:
    return hmac.new(secret, _bytes(sha256), "sha256").hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # of a client, so anything


def image_store(settings: Settings) -> KeptImages:
    """The images in `images/` under the settings' home."""
    return _store(settings.home, settings.images_mb, settings.images_days)


@Once
def _store(home: Path, megabytes: float, days: float) -> KeptImages:
    return KeptImages(home / "images", megabytes, days)
