"""From a suite and a data set to cells: what each one's memory learns, and what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from rar_agent.detection import CropStyle
from rar_agent.errors import InputError
from rar_agent.evaluation.annotations import proposed
from rar_agent.evaluation.dataset import DataSet, LabelledImage
from rar_agent.evaluation.sampling import apart, evenly, few_shot, spread
from rar_agent.evaluation.suite import (
    Candidates,
    Categories,
    Crops,
    FewShot,
    Suite,
    VocabularyFree,
    ZeroShot,
)


@dataclass(frozen=True)
class Cell:
    """A setting that shares a memory.

    Attributes:
        name: Such as `4-shot, seed 1`; unique in a run.
        group: Cells that differ by their seed alone share it: `4-shot`.
        seed: Of its draws.
        learnt: Exemplars that its memory learns.
        texts: Whether names are learnt as texts.
        known: Positions of the categories that its memory knows; empty where names are guessed.
        test: What it is asked.
        k: Candidates; None: the suite's number.
        guessed: Whether a model guesses the names of what is learnt, whose labels nobody sees.
        shares: Name of the cell whose memory it asks; empty: its own.
        shots: Exemplars that each category was to give; 0: none.
        crop: How boxes are shown, to learn and to ask about; None: as the suite says.
    """

    name: str
    group: str
    seed: int
    learnt: Sequence[LabelledImage]
    texts: bool
    known: Sequence[int]
    test: Sequence[LabelledImage]
    k: int | None = None
    guessed: bool = False
    shares: str = ""
    shots: int = 0
    crop: CropStyle | None = None

    @property
    def short(self) -> int:
        """Categories that have fewer exemplars than they were to give."""
        given = Counter(one.category for one in self.learnt)
        return sum(given[category] < self.shots for category in self.known)

    @property
    def slug(self) -> str:
        """Its name in keys of a journal."""
        return _slug(self.name)

    @property
    def memory(self) -> str:
        """Name of its memory."""
        return _slug(self.shares or self.name)


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "").lower()


def cells_of(suite: Suite, data: DataSet) -> list[Cell]:
    """The cells of a suite, in order.

    Raises:
        InputError: The data set has too little for the protocol, or boxes were proposed, of which
            the protocol would leave out those around nothing.
    """
    if isinstance(suite.protocol, Categories | Crops) and proposed(data.annotations):
        raise InputError(
            f"Protocol '{suite.protocol.kind}' asks about boxes of some categories, and proposals "
            f"of data set '{data.name}' that are around nothing have none: without them, average "
            "precision would count no wrong box.",
            "Take the given boxes (no proposals in the card's source), or protocol.kind=zero-shot, "
            "few-shot or candidates.",
        )
    if not data.test:
        raise InputError(f"Data set '{data.name}' has no test images.", "Name their folder.")
    if not data.train and _learns(suite):
        raise InputError(
            f"Data set '{data.name}' has nothing to learn from.",
            "Take protocol.kind=zero-shot, or name what to learn from in its card: train.",
        )
    return list(_cells(suite, data))


def _learns(suite: Suite) -> bool:
    match suite.protocol:
        case ZeroShot() | Categories(shots=0) | Crops():  # which learns of what is not asked
            return False
    return True


def _cells(suite: Suite, data: DataSet) -> Iterator[Cell]:
    protocol, everything = suite.protocol, range(len(data.categories))
    match protocol:
        case FewShot():
            for shots in protocol.shots:
                for seed in protocol.seeds:
                    yield Cell(
                        f"{shots}-shot, seed {seed}",
                        f"{shots}-shot",
                        seed,
                        few_shot(data.train, shots, seed),
                        bool(suite.memory.texts),
                        everything,
                        _asked(data, suite.limit, seed),
                        shots=shots,
                    )
        case ZeroShot():
            test = _asked(data, suite.limit, 1)
            yield Cell("zero-shot", "zero-shot", 1, (), True, everything, test)
        case Categories():
            yield from _growing(suite, protocol, data)
        case Candidates():
            for seed in protocol.seeds:
                learnt = few_shot(data.train, protocol.shots, seed)
                texts, test = bool(suite.memory.texts), _asked(data, suite.limit, seed)
                for k in protocol.ks:
                    name = f"k = {k}"
                    of = f"{protocol.shots}-shot, seed {seed}"
                    yield Cell(
                        f"{name}, seed {seed}",
                        name,
                        seed,
                        learnt,
                        texts,
                        everything,
                        test,
                        k,
                        shares=of,
                        shots=protocol.shots,
                    )
        case Crops():
            yield from _shown(suite, protocol, data)
        case VocabularyFree():
            for seed in protocol.seeds:
                yield Cell(
                    f"vocabulary-free, seed {seed}",
                    "vocabulary-free",
                    seed,
                    few_shot(data.train, protocol.images, seed),
                    suite.memory.texts is not False,
                    (),
                    _asked(data, suite.limit, seed),
                    guessed=True,
                )


def _growing(suite: Suite, protocol: Categories, data: DataSet) -> Iterator[Cell]:
    """The same test images, of the fewest categories, among ever more of them."""
    counts = sorted({count for count in protocol.counts if count <= len(data.categories)})
    if not counts:
        raise InputError(
            f"Data set '{data.name}' has {len(data.categories)} categories, fewer than each of "
            f"{', '.join(map(str, protocol.counts))}.",
            "Give smaller protocol.counts.",
        )
    for seed in protocol.seeds:
        order = Random(seed).sample(range(len(data.categories)), len(data.categories))
        first = set(order[: counts[0]])
        of_first = [one for one in data.test if one.category in first]
        test = _some(of_first, suite.limit, seed)
        for count in counts:
            known = sorted(order[:count])
            train = [one for one in data.train if one.category in set(known)]
            yield Cell(
                f"{count} categories, seed {seed}",
                f"{count} categories",
                seed,
                few_shot(train, protocol.shots, seed) if protocol.shots else (),
                bool(suite.memory.texts) or not protocol.shots,
                known,
                test,
                shots=protocol.shots,
            )


def _shown(suite: Suite, protocol: Crops, data: DataSet) -> Iterator[Cell]:
    """The same boxes in each style, as they are learnt and as they are asked about."""
    if not any(one.box for one in data.test):
        raise InputError(
            f"Data set '{data.name}' has no boxes, so nothing is cropped.", "Take one that has."
        )
    shots, images = protocol.shots, spread([*data.train, *data.test])
    known = [at for at in range(len(data.categories)) if images[at] >= protocol.images]
    train, asked = (
        [one for one in part if one.category in set(known)] for part in (data.train, data.test)
    )
    for seed in protocol.seeds if shots else (1,):
        learnt, test = (train, asked) if train or not shots else apart(asked, shots, seed)
        if not test:
            raise InputError(
                f"Of data set '{data.name}' no image is left to ask about, of {len(known)} "
                f"categories in {protocol.images} images or more.",
                "Give smaller protocol.shots or protocol.images.",
            )
        for name, recipe in protocol.styles.items():
            yield Cell(
                f"{name}, seed {seed}" if shots else name,
                name,
                seed,
                few_shot(learnt, shots, seed) if shots else (),
                bool(suite.memory.texts) or not shots,
                known,
                _some(test, suite.limit, seed),
                shots=shots,
                crop=recipe.style,
            )


def _asked(data: DataSet, limit: int | None, seed: int) -> Sequence[LabelledImage]:
    return _some(data.test, limit, seed, by_image=proposed(data.annotations))


def _some(
    test: Sequence[LabelledImage], limit: int | None, seed: int, by_image: bool = False
) -> Sequence[LabelledImage]:
    return test if limit is None else evenly(test, limit, seed, by_image)
