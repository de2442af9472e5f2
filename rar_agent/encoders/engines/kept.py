"""Converted models kept on disk, and parsed again only if this user wrote them on this machine.

OpenVINO's parser is C++ that forged files can harm. So the hashes of what was written are kept
outside of the home folder, in the user's state folder; the bytes that are hashed are those that are
parsed.

Of models that are made anew, the quantised ones, each stays under its digest: tunings and memories
say by it which one they are about.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.durable import replace_file
from rar_agent.errors import ConfigurationError

_LONG_S = 2 * 24 * 3600  # no draft is used as long
_PATTERN = r"^[0-9a-f]{64}$"


@dataclass(frozen=True)
class KeptModel:
    """OpenVINO's intermediate representation.

    Attributes:
        xml: The graph.
        weights: Its numbers.
    """

    xml: bytes
    weights: bytes

    @property
    def digest(self) -> str:
        """First 8 hex digits of the sha256 of both."""
        return hashlib.sha256(_sha256(self.xml) + _sha256(self.weights)).hexdigest()[:8]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    xml: str = Field(pattern=_PATTERN)
    weights: str = Field(pattern=_PATTERN)


class KeptModels:
    """Models of one home folder. Any number of processes may use it.

    Args:
        home: The home folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home.expanduser() / "engines"
        self._records = user_state_path("rar-agent") / "engines"

    def read(self, key: str) -> KeptModel | None:
        """A model, if it is there and as this machine wrote it.

        Args:
            key: All that decides the model; any text.
        """
        xml, weights, record = self._paths(key)
        try:
            written = _Written.model_validate_json(record.read_bytes())
            model = KeptModel(xml.read_bytes(), weights.read_bytes())
        except (OSError, ValidationError):
            return None
        found = _Written(xml=_sha256(model.xml).hex(), weights=_sha256(model.weights).hex())
        return model if found == written else None

    def write(self, key: str, openvino: Any, model: Any) -> KeptModel:  # noqa: ANN401
        """Keep a model; what is read then is the old one, the new one or none.

        Args:
            key: See `read`.
            openvino: The module.
            model: OpenVINO's.

        Raises:
            ConfigurationError: The disk is full or may not be written.
        """
        return self._write(lambda _: key, openvino, model)

    def add(self, key: str, openvino: Any, model: Any) -> KeptModel:  # noqa: ANN401
        """Keep a model beside others of its key; it is the one to use if it is the first.

        Args:
            key: All that decides the model but chance; any text.
            openvino: The module.
            model: OpenVINO's.

        Raises:
            ConfigurationError: The disk is full or may not be written.
        """
        found = self._write(lambda made: key_of(key, made.digest), openvino, model)
        if self.read_of(key) is None:
            self.use(key, found.digest)
        return found

    def read_of(self, key: str, digest: str | None = None) -> KeptModel | None:
        """One of the models of a key, if it is there and as this machine wrote it.

        Args:
            key: See `add`.
            digest: Which one; None: the one to use.
        """
        digest = digest or self.used(key)
        return self.read(key_of(key, digest)) if digest else None

    def used(self, key: str) -> str | None:
        """Digest of the model to use; None where none was made."""
        try:
            digest = self._used(key).read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return digest if is_digest(digest) else None

    def use(self, key: str, digest: str) -> None:
        """Say which model is the one to use.

        Raises:
            ConfigurationError: The disk is full or may not be written.
        """
        try:
            replace_file(self._used(key), digest.encode("ascii"))
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(
        self,
        key_of_made: Callable[[KeptModel], str],
        openvino: Any,  # noqa: ANN401
        model: Any,  # noqa: ANN401
    ) -> KeptModel:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            clear_drafts(self._folder, "draft-")
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="draft-") as draft:
                made = Path(draft) / "model.xml"
                openvino.save_model(model, made, compress_to_fp16=False)
                found = KeptModel(made.read_bytes(), made.with_suffix(".bin").read_bytes())
                xml, weights, record = self._paths(key_of_made(found))
                with suppress(FileNotFoundError):
                    record.unlink()
                made.with_suffix(".bin").replace(weights)
                made.replace(xml)
            written = _Written(xml=_sha256(found.xml).hex(), weights=_sha256(found.weights).hex())
            replace_file(record, written.model_dump_json().encode())
        except OSError as error:
            raise self._unwritable(error) from error
        return found

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"'{error.filename or self._folder}' cannot be written: {error.strerror}.",
            "Make room, or set RAR_HOME to a folder that can be written.",
        )

    def _paths(self, key: str) -> tuple[Path, Path, Path]:
        name = _name(key)
        model = self._folder / f"{name}.xml"
        return model, model.with_suffix(".bin"), self._records / f"{name}.json"

    def _used(self, key: str) -> Path:
        return self._folder / f"{_name(key)}.txt"


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def clear_drafts(folder: Path, prefix: str) -> None:
    """Remove temporary folders that a process left when it was killed: those of days before."""
    for left in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LONG_S:
                shutil.rmtree(left, ignore_errors=True)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def key_of(*parts: str) -> str:
    """One text of several, so that no two lists of parts have the same."""
    return json.dumps(parts)


def is_digest(text: str) -> bool:
    """Whether a text is a `KeptModel.digest`."""
    return re.fullmatch(r"[0-9a-f]{8}", text) is not None
