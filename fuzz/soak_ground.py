"""What a soak works on: drawings, memories, recognisers, a model's server; and what is right."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from fuzz.soak_faults import Provider
from fuzz.soak_totals import Ledger
from rar_agent import Failure, Recognition, Recognizer
from rar_agent.encoders import Encoder, load_encoder
from rar_agent.graph import embeddings
from rar_agent.images import ImageStore
from rar_agent.memory import create_memory, delete_memory
from rar_agent.settings import load_settings
from tests.conftest import COLOURS, draw

STEADY = "steady"
"""The memory that nothing is taught."""
GROWING = "growing"
"""The memory that is taught and forgets all the time."""
TAUGHT = ("pink", "yellow", "gray", "lime", "navy", "magenta", "teal", "olive", "red", "blue")
"""Colours of what it is taught."""
MOST = len(TAUGHT) + 2
"""Candidates that are asked for: all categories there are."""
SHOTS = 4
"""Exemplars of a category, when it is made."""
SEEDS = 50
"""Drawings of a colour that are asked about: few enough that caches are full after the warm-up."""

_NEAR = 2e-3  # rows of a pass of several differ by 1e-5 from those of a pass of one
_ASKED = 7_000  # seeds from here on are asked about, those below are learnt

Key = tuple[str, int]
"""Of a drawing: its colour and its seed."""


def name_of(colour: str) -> str:
    """The category of a colour."""
    return f"{colour} discs"


def learnt(key: Key) -> Image.Image:
    """A drawing that is taught."""
    return draw(*key)


def asked(key: Key) -> Image.Image:
    """A drawing that is asked about, and never taught."""
    return draw(key[0], _ASKED + key[1])


def png(image: Image.Image) -> bytes:
    """As a file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def drawings(random: Random, count: int, colours: Sequence[str] = COLOURS) -> list[Key]:
    """Different ones, to be asked about."""
    keys = [(colour, seed) for colour in colours for seed in range(SEEDS)]
    return random.sample(keys, count)


@dataclass(frozen=True)
class Said:
    """Of a recognition, what must be the same whoever asks and however.

    Attributes:
        probabilities: By category.
        status: Whether a model's answer could be read.
        degraded: Whether retrieval stood in for it.
    """

    probabilities: dict[str, float]
    status: str
    degraded: bool

    @classmethod
    def of(cls, recognition: Recognition) -> Said:
        """What one says."""
        trace = recognition.trace
        shares = {one.category.name: one.probability for one in recognition.categories}
        return cls(shares, trace.parse_status, trace.degraded)

    def agrees(self, other: Said) -> bool:
        """Whether both say the same, but for rounding."""
        return (
            self.probabilities.keys() == other.probabilities.keys()
            and (self.status, self.degraded) == (other.status, other.degraded)
            and all(abs(p - other.probabilities[n]) < _NEAR for n, p in self.probabilities.items())
        )

    @property
    def best(self) -> str:
        """The likeliest category."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass
class Ground:
    """All that steps use.

    Attributes:
        place: Folder of everything.
        home: RAR_HOME.
        encoder: The builtin one.
        provider: The model's server.
        ledger: Keeps count.
        steady: Asks `STEADY`.
        isolated: The same, images decoded in processes of their own.
        asking: The same, and a model.
        hasty: The same, with little patience.
        growing: Asks `GROWING`.
        knows: What `GROWING` must know: drawings by category.
    """

    place: Path
    home: Path
    encoder: Encoder
    provider: Provider
    ledger: Ledger
    steady: Recognizer
    isolated: Recognizer
    asking: Recognizer
    hasty: Recognizer
    growing: Recognizer
    knows: dict[str, list[Key]] = field(default_factory=dict)
    _right: dict[tuple[str, Key], Said] = field(default_factory=dict)

    @property
    def all(self) -> Sequence[Recognizer]:
        """Its recognisers."""
        return self.steady, self.isolated, self.asking, self.hasty, self.growing

    def right(self, key: Key) -> Said:
        """What `STEADY` says to a drawing: what it said when it was first asked, one at a time."""
        return self._first("steady", self.steady, key)

    def ranked(self, key: Key) -> Said:
        """What it says with a model that answers at once."""
        return self._first("asking", self.asking, key)

    def _first(self, whose: str, recognizer: Recognizer, key: Key) -> Said:
        if (whose, key) not in self._right:
            image = asked(key)
            self.provider.plan(image, [])
            said = Said.of(recognizer.recognize(image))
            self.provider.forget()
            if whose == "steady":
                self.ledger.expect(said.best == name_of(key[0]), f"{key} is {said.best}")
            else:
                self.ledger.expect(said.status in ("exact", "not_asked"), f"{key}: {said.status}")
            self._right[whose, key] = said
        return self._right[whose, key]

    def check(self, key: Key, result: Recognition | Failure | BaseException) -> None:
        """Check an answer about a drawing by `STEADY`."""
        if not isinstance(result, Recognition):
            self.ledger.expect(False, f"{key}: {type(result).__name__}: {result}")
            return
        said, right = Said.of(result), self.right(key)
        self.ledger.expect(said.agrees(right), f"{key}: {said}, not {right}")

    def begin_growing(self) -> None:
        """Make `GROWING` anew."""
        keys = [(colour, seed) for colour in TAUGHT[:4] for seed in range(SHOTS)]
        self.knows = {name_of(colour): [] for colour in TAUGHT[:4]}
        for key in keys:
            self.knows[name_of(key[0])].append(key)
        self.growing.refresh()
        create_memory(self.home, GROWING, self.encoder, pictures(self.knows))
        self.growing.refresh()

    def begin_growing_again(self) -> None:
        """Make it anew, where it may hold something else than it must."""
        delete_memory(self.home, GROWING)
        self.begin_growing()

    def rest(self) -> None:
        """Ask each of them something small, so that what is measured next is comparable."""
        for recognizer in (self.steady, self.isolated, self.growing):
            recognizer.recognize(asked(("red", 0)))
        self.ranked(("red", 0))
        self.provider.settle()


def pictures(known: dict[str, list[Key]]) -> dict[str, list[Image.Image]]:
    """Drawings to be taught, by category."""
    return {name: [learnt(key) for key in keys] for name, keys in known.items()}


@contextmanager
def made(place: Path, ledger: Ledger) -> Iterator[Ground]:
    """Make it all in a folder."""
    home = place / "home"
    home.mkdir()
    plain = load_settings(home=home, device="cpu", k=MOST, cache_mb=0)
    encoder = load_encoder("builtin", plain)
    known = [(name_of(c), [(c, 100 * n + i) for i in range(6)]) for n, c in enumerate(COLOURS)]
    create_memory(home, STEADY, encoder, pictures(dict(known)))
    with Provider() as provider:
        asks = plain.model_copy(
            update={
                "memory": STEADY,
                "model": "m",
                "base_url": provider.url,
                "skip_ranking_at": 1.01,
                "model_retries": Provider.RETRIES,
                "model_timeout_s": 60.0,
            }
        )
        ground = Ground(
            place,
            home,
            encoder,
            provider,
            ledger,
            Recognizer(STEADY, settings=plain),
            Recognizer(STEADY, settings=plain, isolate=True),
            Recognizer(settings=asks),
            Recognizer(settings=asks, model_timeout_s=Provider.HASTY_S),
            Recognizer(GROWING, settings=plain),
        )
        with _small_caches(ground.all):
            ground.begin_growing()
            yield ground


@contextmanager
def _small_caches(recognizers: Sequence[Recognizer]) -> Iterator[None]:
    """Let caches be full within minutes: what grows after that is not them."""
    for recognizer in recognizers:
        recognizer.services.store = ImageStore(max_pixels=500_000)
    usual, embeddings._REMEMBERED = embeddings._REMEMBERED, 128
    try:
        yield
    finally:
        embeddings._REMEMBERED = usual


def names_in(results: Iterable[Recognition]) -> set[str]:
    """Categories that are named in any of these."""
    return {one.category.name for result in results for one in result.categories}
