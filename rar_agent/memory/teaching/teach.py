"""Teaching: create a memory, add to it, delete it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from rar_agent.encoders import Encoder
from rar_agent.engine import LOCAL, load_engine
from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.images import Policy
from rar_agent.memory.format.generation import exists, read_manifest
from rar_agent.memory.format.location import CURRENT, memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import PriorRecord, encoder_record
from rar_agent.memory.format.origin import called, origin_of, whereabouts
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_generation
from rar_agent.memory.readers import Given, Reader, Sample, SampleReader, chain
from rar_agent.memory.scoring.prior import count_of
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.exemplars import Views
from rar_agent.memory.teaching.learn import Learner, Progress, Report
from rar_agent.memory.teaching.seeing import Engine, Here, Seeing, Work
from rar_agent.memory.teaching.texts import default_templates
from rar_agent.types import Category

Taught = Reader | Given
"""A reader, or what Python code has at hand; see `SampleReader`."""


def create_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    domain: str = "",
    policy: Policy | None = None,
    progress: Progress | None = None,
    *,
    templates: Sequence[str] = (),
    views: Views = "one",
    thumbnails: int = 0,
    engine: str | Engine = LOCAL,
) -> Report:
    """Create a memory from images, from names, or from both.

    An interrupted creation goes on where it stopped when it is run again.

    Args:
        home: Where memories live.
        name: Up to 64 letters, digits, dots, dashes and underscores.
        encoder: Makes all its vectors, now and later.
        images: A reader; or a mapping from categories (or their names) to images; or categories
            with their image files.
        names: Categories known by name.
        domain: What kind of categories these are, for texts and the ranking prompt:
            `bird species`.
        policy: Limits on the images.
        progress: Told after each batch.
        templates: Texts that names are put into, with `{}` for the name; default: by encoder.
        views: What an exemplar's vector is the mean of.
        thumbnails: Longer side of pictures to keep of the images, in pixels; 0 keeps none.
        engine: Where images are read and encoded: `local`, `ray`, or an engine with settings of
            its own, such as `RayEngine(…)`. The memory is the same.

    Raises:
        InputError: It exists already, or there is nothing to learn.
        FingerprintMismatchError: The build to go on with was begun with another encoder.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    reader, elsewhere = as_reader(images, names), _engine(engine)
    record = encoder_record(encoder, templates or default_templates(encoder, domain), views)
    _require_slots(record.templates)
    with writer_lock(folder):
        begun = _begun(folder, encoder)
        build = _hash(reader.identity, domain, record.templates, views, thumbnails)
        if begun is not None and len(begun.entries):
            if begun.manifest.build != build:
                raise InputError(
                    f"A build of memory '{called(folder)}' from other images, names or options was "
                    "interrupted.",
                    f"Run that one again, or give it up: rar-agent memory delete {called(folder)}",
                )
            draft = Draft.after(begun)
        else:
            draft = Draft(folder, record, encoder.dimension, domain, thumbnails=thumbnails)
            draft.generation = begun.manifest.generation if begun else 0
            begun = None
        draft.build = build
        with _seeing(elsewhere, draft, reader, encoder, policy) as seeing:
            return Learner(draft, begun, encoder, seeing, progress, building=True).teach(reader)


def add_to_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    policy: Policy | None = None,
    progress: Progress | None = None,
    fitting: Fitting = "auto",
    engine: str | Engine = LOCAL,
) -> Report:
    """Teach a memory more categories, or more exemplars of those it has.

    Args:
        home: Where memories live.
        name: The memory.
        encoder: The one that it was made with.
        images: As for `create_memory`.
        names: Categories known by name.
        policy: Limits on the images.
        progress: Told after each batch.
        fitting: Whether the scoring is chosen anew; `auto`: where the memory is small, or has
            changed by more than a tenth since it was chosen.
        engine: As for `create_memory`.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory, which may not be taught.
        FingerprintMismatchError: It was made by another encoder.
        BusyError: Somebody else is writing to it.
    """
    elsewhere = _engine(engine)
    with changing(memory_folder(home, name)) as memory:
        require_encoder(memory, encoder)
        draft, reader = Draft.after(memory), as_reader(images, names)
        with _seeing(elsewhere, draft, reader, encoder, policy) as seeing:
            return Learner(draft, memory, encoder, seeing, progress).teach(reader, fitting)


def fit_memory_again(
    home: Path, name: str, prior: PriorRecord | Literal["keep"] | None = "keep"
) -> Memory:
    """Choose anew how a memory's categories are scored, whatever changed.

    Args:
        home: Where memories live.
        name: The memory.
        prior: How often categories are met, by a count in their metadata; with one, nothing is
            called calibrated. None: equally often.

    Raises:
        NotFoundError: There is no such memory, or no category has such a count.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        if prior != "keep":
            _require_counts(memory, prior)
            draft.prior = prior
        return draft.commit("ready", "always")


def _require_counts(memory: Memory, prior: PriorRecord | None) -> None:
    if prior is None:
        return
    keys = {
        key
        for category in memory.categories
        for key, value in category.metadata.items()
        if count_of(value) is not None
    }
    if prior.key not in keys:
        raise NotFoundError(
            f"No category of memory '{memory.name}' has a count under '{prior.key}'.",
            f"Keys with numbers: {', '.join(sorted(keys)[:5]) or 'none'}. To set one: rar-agent "
            f"memory update {memory.name} CATEGORY --set {prior.key}=10",
        )


def require_there(home: Path, name: str) -> None:
    """Check that there is a memory of that name, be it damaged or incomplete.

    Raises:
        NotFoundError: There is none.
    """
    folder = memory_folder(home, name)
    if not (exists(folder) if origin_of(folder) else folder.is_dir()):
        raise NotFoundError(
            f"There is no memory '{folder.name}' in {whereabouts(folder)}.", "See memory list."
        )


def delete_memory(home: Path, name: str) -> None:
    """Delete a memory and all it knows, damaged or incomplete ones too.

    Raises:
        NotFoundError: There is none of that name.
        BusyError: Somebody is writing to it.
    """
    require_there(home, name)
    folder = memory_folder(home, name)
    origin = origin_of(folder)
    with writer_lock(folder):
        if origin:
            origin.delete()
        (folder / CURRENT).unlink(missing_ok=True)  # from here on it is no memory
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def changing(folder: Path) -> Iterator[Memory]:
    """Hold the lock of a memory that may be changed, opened.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is ready-made, or its build was interrupted.
        BusyError: Somebody else is writing to it.
    """
    if not exists(folder) and (folder / "writer.json").exists():
        with writer_lock(folder):  # says who is building it
            pass
    read_manifest(folder)  # before the lock, which would make the folder
    with writer_lock(folder):
        memory = open_generation(folder, read_manifest(folder))
        if memory.manifest.fixed:
            raise InputError(
                f"Memory '{memory.name}' is ready-made and may not be changed.",
                "Create your own: rar-agent memory create NAME --images FOLDER",
            )
        if memory.manifest.state == "building":
            raise InputError(
                f"The build of memory '{memory.name}' was interrupted.",
                "Run the same rar-agent memory create again first.",
            )
        yield memory


def require_encoder(memory: Memory, encoder: Encoder) -> None:
    """Check that an encoder is the memory's.

    Raises:
        FingerprintMismatchError: It is another one; the message says in what.
        ConfigurationError: It runs in int8, and what that costs is not on record.
    """
    from rar_agent.memory.drift import require_recorded  # which writes memories as this does

    memory.fingerprint.require(
        encoder.fingerprint,
        f"Memory '{memory.name}'",
        f"Use --encoder {memory.manifest.encoder.name}, or create another memory.",
    )
    require_recorded(memory, encoder.fingerprint)


def as_reader(images: Taught, names: Sequence[Category] = ()) -> Reader:
    """One reader of images, in whatever form they are given, and of names."""
    readers: list[Reader] = []
    if not isinstance(images, Sequence | Mapping):
        readers.append(images)
    elif len(images):
        readers.append(SampleReader(images))
    if names:
        readers.append(SampleReader([Sample(name, None, name.name) for name in names]))
    return chain(*readers)


def require_new(home: Path, name: str) -> None:
    """Check that a memory may be created: there is none, or an interrupted build.

    Raises:
        InputError: It exists already, or the name cannot name a memory.
    """
    _require_new(memory_folder(home, name))


def _require_new(folder: Path) -> None:
    if exists(folder) and read_manifest(folder).state == "ready":
        raise InputError(
            f"Memory '{called(folder)}' exists already.",
            f"Teach it with rar-agent memory add {called(folder)}, or choose another name.",
        )


def _engine(engine: str | Engine) -> Engine | None:
    """The engine that is asked for; None: this process."""
    found: Engine | None = load_engine(engine) if isinstance(engine, str) else engine
    return found


def _seeing(
    engine: Engine | None, draft: Draft, reader: Reader, encoder: Encoder, policy: Policy | None
) -> AbstractContextManager[Seeing]:
    """Who sees the images."""
    work = Work(encoder, policy or Policy(), draft.encoder.views, draft.thumbnails)
    return engine.seeing(work, draft.folder, reader) if engine else nullcontext(Here(work))


def _begun(folder: Path, encoder: Encoder) -> Memory | None:
    """The interrupted build to go on with, if there is one."""
    if not exists(folder):
        return None
    _require_new(folder)
    begun = open_generation(folder, read_manifest(folder))
    if len(begun.entries):
        require_encoder(begun, encoder)
    return begun


def _require_slots(templates: Sequence[str]) -> None:
    for template in templates:
        if "{}" not in template:
            raise ConfigurationError(
                f"The template '{template}' has no place for the name.",
                "Write {} where it goes: 'a photo of a {}.'",
            )


def _hash(*parts: object) -> str:
    text = json.dumps([str(part) for part in parts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
