"""Teaching and forgetting: create, add, remove."""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rar_agent.encoders import Encoder
from rar_agent.errors import InputError, NotFoundError
from rar_agent.images import Policy
from rar_agent.memory.generation import read_manifest
from rar_agent.memory.learn import Learner, Progress, Report, Taught
from rar_agent.memory.location import CURRENT, memory_folder
from rar_agent.memory.lock import writer_lock
from rar_agent.memory.manifest import MODALITIES, EncoderRecord
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_generation
from rar_agent.memory.write import Draft
from rar_agent.types import Category

PHOTO_TEMPLATE = "a photo of a {}."
NAME_TEMPLATE = "{}"


def create_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    domain: str = "",
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Create a memory from images, from names, or from both.

    An interrupted creation goes on where it stopped when it is run again.

    Args:
        home: Where memories live.
        name: Up to 64 letters, digits, dots, dashes and underscores.
        encoder: Makes all its vectors, now and later.
        images: Categories with their image files.
        names: Categories known by name.
        domain: What kind of categories these are, for the ranking prompt: `bird species`.
        policy: Limits on the images.
        progress: Told after each batch.

    Raises:
        InputError: It exists already, or there is nothing to learn.
        FingerprintMismatchError: The build to go on with was begun with another encoder.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    if not images and not names:
        raise InputError("There is nothing to learn.", "Give images, names, or both.")
    with writer_lock(folder):
        begun = None
        if (folder / CURRENT).exists():
            begun = open_generation(folder, read_manifest(folder))
            if begun.manifest.state == "ready":
                raise InputError(
                    f"Memory '{name}' exists already.",
                    f"Teach it with rar-agent memory add {name}, or choose another name.",
                )
        build = _build_hash(images, names, domain)
        if begun is not None and len(begun.entries.ids):
            _require_encoder(begun, encoder)
            if begun.manifest.build != build:
                raise InputError(
                    f"The interrupted build of memory '{name}' was learning other images, names "
                    "or options.",
                    f"Run the same command again, or begin anew: rar-agent memory delete {name}",
                )
            draft = Draft.after(begun)
        else:
            template = PHOTO_TEMPLATE if encoder.names_help else NAME_TEMPLATE
            record = EncoderRecord(
                name=encoder.name,
                details=dict(encoder.fingerprint.details),
                precision=encoder.fingerprint.precision,
                text_scale=encoder.text_scale,
                names_help=encoder.names_help,
                templates=(template,),
            )
            draft = Draft.new(folder, record, encoder.dimension, domain)
            draft.generation = begun.manifest.generation if begun else 0
            draft.build = build
        return Learner(draft, encoder, policy, progress, building=True).teach(images, names)


def _build_hash(images: Taught, names: Sequence[Category], domain: str) -> str:
    listed = [[c.name, [str(path) for path in paths]] for c, paths in images]
    text = json.dumps([listed, [c.name for c in names], domain])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def delete_memory(home: Path, name: str) -> None:
    """Delete a memory and all it knows, damaged or incomplete ones too.

    Raises:
        NotFoundError: There is none of that name.
        BusyError: Somebody is writing to it.
    """
    folder = memory_folder(home, name)
    if not folder.is_dir():
        raise NotFoundError(f"There is no memory '{name}' in {folder.parent}.", "See memory list.")
    with writer_lock(folder):
        (folder / CURRENT).unlink(missing_ok=True)  # from here on it is no memory
        shutil.rmtree(folder, ignore_errors=True)


def add_to_memory(
    home: Path,
    name: str,
    encoder: Encoder,
    images: Taught = (),
    names: Sequence[Category] = (),
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Teach a memory more categories, or more exemplars of those it has.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory, which may not be taught.
        FingerprintMismatchError: It was made by another encoder.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    with _writing(folder) as memory:
        _require_encoder(memory, encoder)
        return Learner(Draft.after(memory), encoder, policy, progress).teach(images, names)


def remove_from_memory(
    home: Path, name: str, categories: Sequence[str] = (), entries: Sequence[int] = ()
) -> Memory:
    """Forget whole categories, or single entries; a category without entries goes too.

    Raises:
        NotFoundError: The memory, a category or an entry is not there; nothing is changed.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    folder = memory_folder(home, name)
    with _writing(folder) as memory:
        draft = Draft.after(memory)
        id_of = {category.name: i for i, category in draft.categories.items()}
        for category in categories:
            if category not in id_of:
                close = difflib.get_close_matches(category, id_of, n=3)
                hint = f"Did you mean {', '.join(close)}?" if close else "See memory show."
                raise NotFoundError(f"Memory '{name}' has no category '{category}'.", hint)
        unknown = set(entries) - {int(i) for i in memory.entries.ids}
        if unknown:
            raise NotFoundError(f"Memory '{name}' has no entry {min(unknown)}.", "See memory show.")
        order = np.array(sorted(draft.categories))
        category_of = order[memory.entries.columns]
        gone = np.isin(memory.entries.ids, list(entries))
        gone |= np.isin(category_of, [id_of[category] for category in categories])
        texts = gone & (memory.entries.modalities == MODALITIES.index("text"))
        staying = np.isin(category_of, np.unique(category_of[~gone]))
        if (texts & staying).any():
            entry = int(memory.entries.ids[texts & staying][0])
            raise InputError(
                f"Entry {entry} is the text of a category that stays.",
                "Texts compare only where every category has one: remove the category instead.",
            )
        draft.removed |= {int(i) for i in memory.entries.ids[gone]}
        left = {int(i) for i in np.unique(category_of[~gone])}
        draft.categories = {i: c for i, c in draft.categories.items() if i in left}
        return draft.commit("ready")


@contextmanager
def _writing(folder: Path) -> Iterator[Memory]:
    """Hold the lock of a memory that may be taught, opened."""
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


def _require_encoder(memory: Memory, encoder: Encoder) -> None:
    memory.fingerprint.require(
        encoder.fingerprint,
        f"Memory '{memory.name}'",
        f"Use --encoder {memory.manifest.encoder.name}, or create another memory.",
    )
