"""Importing the memory of RAR's reference code: a FAISS index of CLIP vectors, and its labels.

Its `<set>_database.index` is an `IndexHNSWFlat` over one vector an image, its
`<set>_database.txt` has a line an image: the image's path, a space, and the number of its class,
in the order of the index. `classnames.txt` names the classes in the order of their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.errors import DamagedDataError, InputError
from rar_agent.images.policy import printable
from rar_agent.memory.exchange.hnsw import read_vectors
from rar_agent.memory.exchange.new import creating
from rar_agent.memory.format.manifest import EncoderRecord, encoder_record
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.memory import Memory
from rar_agent.memory.readers import read_names
from rar_agent.memory.readers.categories import named, refuse_repeats
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.texts import default_templates
from rar_agent.types import Category

ENCODER = "open_clip:ViT-B-16/openai"
"""What the reference code embeds with."""
DIMENSION = 512
"""Of its embeddings."""

_CLIP_SCALE = 100.0  # CLIP's learnt logit scale
_NUMBER = re.compile(r"^\d+\.")  # of a class folder: 011.Colt'S_Foot
_SHORTEST = 1e-6  # a vector shorter than this points nowhere


def import_rar(
    home: Path,
    name: str,
    index: Path,
    labels: Path,
    encoder_name: str = ENCODER,
    classnames: Path | Sequence[str] | None = None,
    domain: str = "",
    *,
    verify: Encoder | None = None,
) -> Memory:
    """Make a memory of the reference code's index and labels; all of it, or nothing.

    Nothing but the vectors is read and kept, without FAISS. The images are not there, so teaching
    the same images again makes them exemplars twice.

    Args:
        home: Where memories live.
        name: The new memory.
        index: The `.index` file.
        labels: The `.txt` file.
        encoder_name: What made the vectors; taken at its word.
        classnames: Names of the classes, or a file with one a line; default: the names of the
            folders in the labels' paths, without their numbers and with spaces for underscores.
        domain: What kind of categories these are: `bird species`.
        verify: The loaded encoder that made the vectors. The memory then takes it for its own, so
            that it can be asked and taught; without, asking raises `FingerprintMismatchError`.
            Nothing but the dimension can be checked: the vectors do not tell who made them.

    Raises:
        InputError: There is a memory of that name, or the files are of another kind, do not belong
            together or do not fit the encoder.
        DamagedDataError: The index cannot be parsed, or its vectors are not usable.
    """
    images = _read_labels(Path(labels))
    dimension = verify.dimension if verify else DIMENSION if encoder_name == ENCODER else None
    vectors = _units(read_vectors(Path(index), dimension), Path(index))
    if len(vectors) != len(images):
        raise InputError(
            f"'{index}' has {len(vectors)} vectors, but '{labels}' has {len(images)} lines.",
            "Give the two files that belong together.",
        )
    categories = _categories(images, classnames, Path(labels))
    if verify:
        record = encoder_record(verify, default_templates(verify, domain))
    else:
        record = _unverified(encoder_name, Path(index), vectors.shape[1], domain)
    with creating(home, name) as folder:
        draft = Draft(folder, record, vectors.shape[1], domain)
        numbers = {label: draft.put(categories[label]) for label in sorted(categories)}
        # The images' bytes are not there to hash.
        entries = [
            NewEntry(numbers[label], text_content(f"{row}:{path}"), path)
            for row, (path, label) in enumerate(images)
        ]
        draft.add_segment("image", entries, vectors)
        return draft.commit("ready", "always")


def _read_labels(path: Path) -> list[tuple[str, int]]:
    """Path and class number of each image; a path may have spaces, a number has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{printable(str(path))}' cannot be read: {error}.",
            "Give the .txt file with a path and a class number a line.",
        ) from error
    found = []
    for place, line in enumerate(lines, 1):
        image, _, label = line.rstrip().rpartition(" ")
        if not image or not re.fullmatch(r"[0-9]{1,9}", label):
            raise InputError(
                f"Line {place} of '{printable(str(path))}' is '{line[:80]}': it has to be a path, "
                "a space and a class number.",
                "Give the .txt file that belongs to the index.",
            )
        found.append((image.strip(), int(label)))
    return found


def _categories(
    images: list[tuple[str, int]], classnames: Path | Sequence[str] | None, labels: Path
) -> dict[int, Category]:
    """The categories that have images, by class number."""
    if classnames is None:
        return _from_folders(images, labels)
    if isinstance(classnames, Path | str):
        place, known = str(classnames), read_names(Path(classnames))
    else:
        place, known = "the class names", [named(one, "the class names") for one in classnames]
        refuse_repeats((category.name for category in known), place)
    largest = max((label for _, label in images), default=0)
    if largest >= len(known):
        raise InputError(
            f"Class {largest} of '{printable(str(labels))}' has no name: {printable(place)} has "
            f"{len(known)}, counted from 0.",
            "Give the names that belong to the labels, one a line.",
        )
    return {label: known[label] for _, label in images}


def _from_folders(images: list[tuple[str, int]], labels: Path) -> dict[int, Category]:
    found: dict[int, Category] = {}
    for path, label in images:
        folder = _NUMBER.sub("", PurePosixPath(path).parent.name).replace("_", " ")
        category = named(folder, str(labels))
        if found.setdefault(label, category) != category:
            raise InputError(
                f"Class {label} of '{printable(str(labels))}' has images in the folders of "
                f"'{found[label].name}' and '{category.name}'.",
                "Give the names of the classes: classnames=…",
            )
    refuse_repeats((category.name for category in found.values()), str(labels))
    return found


def _units(vectors: FloatArray, index: Path) -> FloatArray:
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    units, lengths = normalize(np.where(finite[:, None], vectors, 0))
    wrong = np.flatnonzero(~finite | (lengths < _SHORTEST) | ~np.isfinite(lengths))
    if len(wrong):
        raise DamagedDataError(
            f"Vector {wrong[0]} of '{printable(str(index))}' is not finite, or has the length 0.",
            "Copy the file again, or make the index again.",
        )
    return units


def _unverified(name: str, index: Path, dimension: int, domain: str) -> EncoderRecord:
    """A record that no loaded encoder matches, in words that the mismatch is told with."""
    more = (f"a photo of a {{}}, a type of {domain}.",) if domain else ()
    return EncoderRecord(
        name=name,
        details={
            "weights": f"not verified: vectors imported from {printable(index.name)}, said to be "
            f"{name}'s; import_rar(…, verify=encoder) takes an encoder for theirs",
            "dimension": str(dimension),
        },
        precision="unknown",
        text_scale=_CLIP_SCALE,
        names_help=True,
        templates=("a photo of a {}.", *more),
    )
