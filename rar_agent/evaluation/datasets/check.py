"""Whether a data set is the one that its card means, and from its files to what evaluations see."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rar_agent.errors import DamagedDataError, InputError
from rar_agent.evaluation.annotations import federated, proposed
from rar_agent.evaluation.dataset import DataSet, LabelledImage
from rar_agent.evaluation.datasets.card import Card
from rar_agent.evaluation.datasets.listing import Listing
from rar_agent.types import Category

_MOST = 5
"""Names that a message gives."""


def assemble(card: Card, listing: Listing) -> DataSet:
    """The data set, with clean names, after every check that needs no image to be read.

    Raises:
        DamagedDataError: Counts or names are not those of the card, or an image is in both parts.
        InputError: Two categories have one name, or there is nothing to learn from or to test on.
    """
    categories, renamed = _named(card, listing)
    _check_counts(card, listing)
    _check_names(card, [category.name for category in categories])
    _check_parts(card, listing)
    learnt = Counter(image.category for image in listing.train)
    rare = {label for label in range(len(categories)) if learnt[label] <= card.rare}
    return DataSet(
        name=card.name,
        title=card.title or card.name,
        domain=card.domain,
        categories=categories,
        train=listing.train,
        test=listing.test,
        templates=card.templates,
        checksum=_checksum(categories, listing),
        renamed=renamed,
        caution=card.caution,
        rare=frozenset(rare) if card.rare else listing.rare,
        annotations=_under_names(listing.annotations, categories),
    )


def _under_names(
    annotations: Mapping[str, Any], categories: Sequence[Category]
) -> Mapping[str, Any]:
    if not annotations:
        return {}
    named = zip(annotations["categories"], categories, strict=True)
    return {**annotations, "categories": [{**one, "name": of.name} for one, of in named]}


def digest(names: Iterable[str]) -> str:
    """Checksum of names in their order: 16 hex digits of the sha256 of them, a line each."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def mark(name: str) -> str:
    """Two hex digits that tell most names from most others."""
    return hashlib.sha256(name.encode()).hexdigest()[:2]


@dataclass(frozen=True)
class Copies:
    """Images with the same bytes.

    Attributes:
        keys: Of the images, those of train first.
        leaks: Whether some are in train and some in test.
        labels: How many categories they are given.
    """

    keys: tuple[str, ...]
    leaks: bool
    labels: int


def find_copies(data: DataSet) -> list[Copies]:
    """Images that are there twice or more, byte for byte; every file is read.

    A file that cannot be read is passed over: it is one failure when it is used.
    """
    found: dict[tuple[bytes, object], list[tuple[bool, LabelledImage]]] = {}
    digests: dict[Path, bytes] = {}  # a file may hold many boxes
    for learnt, images in ((True, data.train), (False, data.test)):
        for image in images:
            try:
                if image.file not in digests:
                    with image.file.open("rb") as file:
                        digests[image.file] = hashlib.file_digest(file, "sha256").digest()
            except OSError:
                continue
            found.setdefault((digests[image.file], image.box), []).append((learnt, image))
    return [
        Copies(
            tuple(image.key for _, image in images),
            len({learnt for learnt, _ in images}) > 1,
            len({image.category for _, image in images}),
        )
        for images in found.values()
        if len(images) > 1
    ]


def _named(card: Card, listing: Listing) -> tuple[list[Category], dict[str, str]]:
    categories, renamed = [], {}
    folders = listing.folders or [category.name for category in listing.categories]
    for category, folder in zip(listing.categories, folders, strict=True):
        clean = " ".join(category.name.replace("_", " ").split())
        name = card.renames.get(folder) or card.renames.get(category.name) or clean
        if name != category.name:
            renamed[category.name] = name
        categories.append(category.model_copy(update={"name": name}))
    repeated = [n for n, count in Counter(c.name for c in categories).items() if count > 1]
    if repeated:
        raise InputError(
            f"Data set '{card.name}' has more than one category '{repeated[0]}'.",
            "Tell them apart in the card: renames: {FOLDER: NAME}.",
        )
    return categories, renamed


def _check_counts(card: Card, listing: Listing) -> None:
    there = {
        "categories": len(listing.categories),
        "train": len(listing.train),
        "validation": listing.validation,
        "test": len(listing.test),
    }
    wanted = card.counts.model_dump()
    differing = [
        f"{there[what]:,} {what} instead of {wanted[what]:,}"
        for what in there
        if wanted[what] is not None and there[what] != wanted[what]
    ]
    if differing:
        raise DamagedDataError(
            f"Data set '{card.name}' has {', '.join(differing)}.",
            "Get it again, or correct counts in its card if it is another edition.",
        )


def _check_names(card: Card, names: Sequence[str]) -> None:
    if not card.classes or digest(names) == card.classes:
        return
    raise DamagedDataError(
        f"The categories of data set '{card.name}' are not those of its card: "
        f"{_difference(card, names)} (checksum {digest(names)} instead of {card.classes}).",
        "Get it again, or correct classes in its card if it is another edition.",
    )


def _difference(card: Card, names: Sequence[str]) -> str:
    joined = "".join(card.marks.split())
    wanted = [joined[i : i + 2] for i in range(0, len(joined), 2)]
    if not wanted:
        return f"there are {len(names)}, from '{names[0]}' to '{names[-1]}'"
    matcher = difflib.SequenceMatcher(None, wanted, [mark(name) for name in names], autojunk=False)
    said = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind in ("replace", "insert"):
            said.append(", ".join(f"'{name}'" for name in names[c:d][:_MOST]) + " not expected")
        elif kind == "delete":
            lacking = f"number {a + 1}" if b == a + 1 else f"numbers {a + 1} to {b}"
            said.append(f"{lacking} missing")
    return "; ".join(said[:_MOST]) or "some names differ"


def _check_parts(card: Card, listing: Listing) -> None:
    for part, images in (("train", listing.train), ("test", listing.test)):
        if not images and not (part == "train" and listing.test and listing.test[0].box):
            raise InputError(
                f"Data set '{card.name}' has no images in {part}.",
                "Give it folders train/ and test/; or, to be parted, two images of a category or "
                "more (test_share says how many are tested on).",
            )
        keys = Counter(image.key for image in images)
        if len(keys) < len(images):
            twice = next(key for key, count in keys.items() if count > 1)
            raise DamagedDataError(
                f"Data set '{card.name}' has '{twice}' more than once in {part}.",
                "Take it out once.",
            )
        lost = [image for image in images if not image.file.is_file()]
        if lost:
            raise DamagedDataError(
                f"Data set '{card.name}' lacks {len(lost):,} of the {len(images):,} images in "
                f"{part}: '{lost[0].file}' for one.",
                "Get it again, or correct where its images lie.",
            )
    both = {image.key for image in listing.train} & {image.key for image in listing.test}
    if both:
        raise DamagedDataError(
            f"Data set '{card.name}' has {len(both):,} images in train and in test: "
            f"'{min(both)}' for one.",
            "Take them out of one of the two.",
        )


def _checksum(categories: Sequence[Category], listing: Listing) -> str:
    found = hashlib.sha256(json.dumps([category.name for category in categories]).encode())
    for part, images in (("train", listing.train), ("test", listing.test)):
        found.update(part.encode())
        for image in images:
            box = [image.box, image.area] if image.box else []
            box += [] if image.score is None else [image.score]
            found.update(json.dumps([image.key, image.category, *box]).encode())
    around = listing.annotations
    if around and (
        proposed(around)
        or federated(around)
        or any(one["iscrowd"] for one in around["annotations"])
    ):  # else the boxes asked about, which are in it already, are all that is measured against
        info = {key: value for key, value in around["info"].items() if key != "nms"}
        found.update(json.dumps({**around, "info": info}, sort_keys=True).encode())
    return found.hexdigest()[:16]
