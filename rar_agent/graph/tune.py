"""Tuning an encoder on this machine, with the answers of a memory as the measure of what is lost.

What is compared are answers to images that the memory does not hold: it would be flattered by
those that it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rar_agent.encoders.base import Pixels
from rar_agent.encoders.engines import class_of
from rar_agent.encoders.load import full_name, load_plain
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.encoders.tuning import (
    LOWER,
    Measured,
    Tuning,
    keep_lower,
    read_tuning,
    write_tuning,
)
from rar_agent.encoders.tuning.measure import ROUNDS, Measuring, Progress, Trial
from rar_agent.errors import ImageError, InputError
from rar_agent.graph.pictures import exemplar_images
from rar_agent.images import Policy, admit
from rar_agent.memory import Memory, open_memory
from rar_agent.memory.drift import agreement, keep_drifts, to_hold_out, without
from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.memory.teaching.known import KnownImages
from rar_agent.memory.teaching.teach import changing
from rar_agent.settings import Settings
from rar_agent.types import Exemplar

PHOTOS = 1_000
"""Photos that are encoded, at most."""
CALIBRATION = 300
"""Images that an int8 model is made by, at most."""
GENERATED = 64
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
_CROP = 0.8


def tune_memory(
    settings: Settings,
    name: str,
    photos: Path | None = None,
    allowed: Collection[str] = (),
    rounds: int = ROUNDS,
    anew: bool = False,
    compiling: bool = False,
    progress: Progress | None = None,
) -> Tuning:
    """Measure the encoder of a memory, and keep what was found.

    What lower precisions cost is recorded in the memory, as a new generation.

    Args:
        settings: Home, device, batch size.
        name: The memory.
        photos: Folder of photos; those that the memory holds do not count. Default: its own
            exemplars, see `held_out`.
        allowed: Precision classes that may be chosen beside fp32, of `LOWER`.
        rounds: How often each candidate runs.
        anew: Whether an int8 model that is there is made anew, by other images.
        compiling: Whether `torch.compile` is tried on the CPU too, where it takes minutes.
        progress: Told after each step.

    Raises:
        NotFoundError: There is no such memory.
        InputError: A precision is unknown, or there are no images to measure its cost on.
        BusyError: Somebody else is writing to the memory.
    """
    _check(allowed)
    memory = open_memory(settings.home, name)
    if allowed and memory.manifest.fixed:
        raise InputError(
            f"Memory '{name}' is ready-made: what a lower precision costs cannot be recorded in "
            "it.",
            "Create your own: rar-agent memory create NAME --images FOLDER",
        )
    encoder = load_plain(memory.manifest.encoder.name, settings)
    memory.fingerprint.require(
        encoder.fingerprint,
        f"Memory '{name}'",
        "Restore the weights it was made with, or create the memory again.",
    )
    if allowed:  # it may take minutes until what was found can be written
        with changing(memory.folder):
            pass
    with _trial(settings, memory, encoder, photos) as trial:
        if allowed and trial.judge is None:
            raise InputError(
                f"There are no images to measure on what {', '.join(allowed)} costs memory "
                f"'{name}': it holds none that can be read.",
                "Give some that it does not hold: --photos FOLDER",
            )
        measuring = Measuring(
            encoder, trial, settings.home, allowed, settings.batch_size, rounds, anew, compiling
        )
        tuning = measuring.run(progress)
    if found := _drifts(memory, tuning):
        keep_drifts(settings.home, name, found)
    return _keep(settings, encoder, tuning, allowed)


def tune_encoder(
    settings: Settings,
    name: str,
    photos: Path | None = None,
    rounds: int = ROUNDS,
    compiling: bool = False,
    progress: Progress | None = None,
) -> Tuning:
    """Measure an encoder in fp32, beside no memory, and keep what was found.

    Raises:
        InputError: It is unknown, or there are no photos in the folder.
        ConfigurationError: It is not on disk.
    """
    encoder = load_plain(full_name(name), settings)
    pixels, words = _generated(encoder), "generated images"
    if photos is not None:
        pixels, words = _read(encoder, settings, photos, None), f"photos of {photos.name}"
    trial = Trial(pixels, words)
    most = settings.batch_size
    measuring = Measuring(encoder, trial, settings.home, (), most, rounds, compiling=compiling)
    tuning = measuring.run(progress)
    return _keep(settings, encoder, tuning, ())


def _keep(
    settings: Settings, encoder: TorchEncoder, tuning: Tuning, allowed: Collection[str]
) -> Tuning:
    """Write what was found, and use the int8 model that it is about."""
    before = read_tuning(settings.home, tuning.encoder, tuning.device, tuning.identity)
    tuning = keep_lower(tuning, before, allowed)
    write_tuning(settings.home, tuning)
    for one in tuning.measured:
        if one.agreement and class_of(one.precision) == "int8":
            encoder.source(settings.home).use(one.precision)
            break
    return tuning


def _check(allowed: Collection[str]) -> None:
    for precision in allowed:
        if precision not in LOWER:
            raise InputError(
                f"'{precision}' is no precision that can be allowed.", f"Give {', '.join(LOWER)}."
            )


@contextmanager
def _trial(
    settings: Settings, memory: Memory, encoder: TorchEncoder, photos: Path | None
) -> Iterator[Trial]:
    """Images to compare answers on, and who answers."""
    rows = memory.entries.rows("image") if "image" in memory.entries.modalities else _NONE
    held = _NONE if photos else to_hold_out(memory) if len(rows) else _NONE
    learnt = partial(_exemplars, settings, memory, encoder)
    with without(memory, held) if len(held) else nullcontext(memory) as asked:
        rest = _some(np.setdiff1d(rows, held), CALIBRATION)
        if photos is not None:
            pixels = _read(encoder, settings, photos, KnownImages(memory))
            words = f"photos of {photos.name} that the memory does not hold"
        elif len(held):
            pixels, words = learnt(held), "held-out exemplars"
        else:
            pixels, words = learnt(_some(rows, PHOTOS), True), "mirrored crops of exemplars"
        if pixels:
            judge = partial(agreement, asked)
            yield Trial(pixels, words, learnt(rest) or pixels, judge, memory.name)
        else:
            yield Trial(_generated(encoder), "generated images")


_NONE = np.empty(0, np.int64)


def _some(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Rows, evenly drawn."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))
    found: NDArray[np.int64] = rows[places]
    return found


def _exemplars(
    settings: Settings,
    memory: Memory,
    encoder: TorchEncoder,
    rows: NDArray[np.int64],
    changed: bool = False,
) -> list[Pixels]:
    """Exemplars' images as far as they can be read, prepared.

    Args:
        settings: Limits on what is read.
        memory: Whose they are.
        encoder: Prepares them.
        rows: Of the entries.
        changed: Whether images are cropped and mirrored, so that none is the one that was learnt.
    """
    picture = exemplar_images(memory, Policy.of(settings), files_first=True)
    found = []
    for row in rows.tolist():
        entries = memory.entries
        image = picture(
            Exemplar(entry=entries.id_of(row), source=entries.source(row), similarity=1.0)
        )
        if image is not None:
            found.append(encoder.prepare(_changed(image) if changed else image))
    return found


def _changed(image: Image.Image) -> Image.Image:
    width, height = (max(1, round(_CROP * side)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return ImageOps.mirror(image.crop((left, top, left + width, top + height)))


def _read(
    encoder: TorchEncoder, settings: Settings, folder: Path, known: KnownImages | None
) -> list[Pixels]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    drawn = np.random.default_rng(0).permutation(len(files)).tolist()
    policy, found = Policy.of(settings, "caller"), []
    for place in drawn:
        try:
            image = admit(files[place], policy)
        except ImageError:
            continue
        if known is None or not known.has_anywhere(image.sha256):
            found.append(encoder.prepare(image.rgb))
        if len(found) == PHOTOS:
            break
    if not found:
        kept = "" if known is None else " that the memory does not hold"
        raise InputError(f"'{folder}' has no images{kept}.", "Name another folder: --photos FOLDER")
    return found


def _generated(encoder: TorchEncoder) -> list[Pixels]:
    """Coloured clouds: as smooth as photos, and nothing in them."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(GENERATED):
        small = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        large = Image.fromarray(small).resize((384, 384), Image.Resampling.BICUBIC)
        found.append(encoder.prepare(large))
    return found


def _drifts(memory: Memory, tuning: Tuning) -> Sequence[DriftRecord]:
    """What lower precisions cost: of each class, of what would be run."""
    found = []
    for precision in LOWER:
        measured = [one for one in tuning.measured if one.precision.startswith(precision)]
        compared = [one for one in measured if one.agreement is not None]
        if best := tuning.fastest(precision) or max(compared, key=_speed, default=None):
            found.append(_record(memory, tuning, best))
    return found


def _speed(one: Measured) -> float:
    return one.images_s


def _record(memory: Memory, tuning: Tuning, one: Measured) -> DriftRecord:
    compared = one.agreement
    assert compared is not None  # noqa: S101 - without, nothing lower is measured
    return DriftRecord(
        precision=one.precision,
        engine=one.engine,
        device=tuning.device,
        images=compared.images,
        of=tuning.images.partition(" ")[2][:1_000],
        top1=compared.share,
        low=compared.low,
        high=compared.high,
        difference=compared.difference,
        created=tuning.created,
        entries=memory.image_count,
        next_entry=memory.manifest.next_entry,
    )
