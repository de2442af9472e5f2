"""Converted models kept on disk, and parsed again only if this user wrote them on this machine.

OpenVINO's parser is C++ that forged files can harm. So the hashes of what was written are kept
outside of the home folder, in the user's state folder; the bytes that are hashed are those that are
parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.errors import ConfigurationError

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
        xml, weights, record = self._paths(key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="draft-") as draft:
                made = Path(draft) / "model.xml"
                openvino.save_model(model, made, compress_to_fp16=False)
                found = KeptModel(made.read_bytes(), made.with_suffix(".bin").read_bytes())
                with suppress(FileNotFoundError):
                    record.unlink()
                made.with_suffix(".bin").replace(weights)
                made.replace(xml)
            written = _Written(xml=_sha256(found.xml).hex(), weights=_sha256(found.weights).hex())
            replace(record, written.model_dump_json().encode())
        except OSError as error:
            raise ConfigurationError(
                f"'{self._folder}' cannot be written: {error.strerror}.",
                "Make room, or set RAR_HOME to a folder that can be written.",
            ) from error
        return found

    def forget(self, key: str) -> None:
        """Have a model made anew."""
        with suppress(FileNotFoundError):
            self._paths(key)[2].unlink()

    def _paths(self, key: str) -> tuple[Path, Path, Path]:
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        model = self._folder / f"{name}.xml"
        return model, model.with_suffix(".bin"), self._records / f"{name}.json"


def replace(path: Path, data: bytes) -> None:
    """Write a small file: who reads it has the old one or the new one.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def key_of(*parts: str) -> str:
    """One text of several, so that no two lists of parts have the same."""
    return json.dumps(parts)


def is_digest(text: str) -> bool:
    """Whether a text is a `KeptModel.digest`."""
    return re.fullmatch(r"[0-9a-f]{8}", text) is not None
