"""A cell's images, asked in every way side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from rar_agent.batch import Entry
from rar_agent.encoders import Encoder
from rar_agent.errors import BudgetError, ImageError, ProviderError
from rar_agent.evaluation.cells import Cell
from rar_agent.evaluation.dataset import DataSet, LabelledImage
from rar_agent.evaluation.naming import Named, Namer, that_fit
from rar_agent.evaluation.pictures import read_image
from rar_agent.evaluation.record import Answer, Ranked, Record, Seen
from rar_agent.evaluation.simulated import PREFIX, SimulatedRanker
from rar_agent.evaluation.suite import Suite
from rar_agent.graph import Services
from rar_agent.images import AdmittedImage, ImageStore, Policy
from rar_agent.memory import Memory, open_memory
from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import Ranker, RetrievalRanker
from rar_agent.recognizer import Recognizer
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Candidate, Failure, Ranking, Recognition

Result = Recognition | Failure
Alone = Named | ProviderError | None

RECORD = "record"
"""Key of what is known of an image that a model alone could not be asked about."""


class Asked:
    """A cell that is asked.

    Args:
        cell: Its name, and what is asked.
        suite: How.
        data: Whose categories these are.
        encoder: Of images; what it made is kept.
        home: Where the cell's memory is.
        settings: Limits, caches, how models are asked.

    Raises:
        ConfigurationError: A model cannot be loaded.
    """

    def __init__(
        self,
        cell: Cell,
        suite: Suite,
        data: DataSet,
        encoder: Encoder,
        home: Path,
        settings: Settings,
    ) -> None:
        self._cell, self._suite, self._data = cell, suite, data
        recipe = suite.ranker
        simulated = bool(recipe.model and recipe.model.startswith(PREFIX))
        asks = bool(recipe.model and not simulated)
        named = {"model": recipe.model, "base_url": recipe.base_url} if asks else {}
        own = settings.model_copy(
            update={
                "memory": cell.memory,
                "model": None,
                "base_url": None,
                "k": cell.k or suite.k,
                "coverage": None,
                "ranker": recipe.way,
                "prompt": recipe.prompt,
                "orders": recipe.orders,
                **named,
            }
        )
        own = load_settings(own)
        self._simulated = SimulatedRanker(str(recipe.model)) if simulated else None
        store = ImageStore()

        def recognizer(ranker: Ranker | None) -> Recognizer:
            found = Recognizer(settings=own)
            found.services = _Services(own, open_memory(home, cell.memory), encoder, store, ranker)
            return found

        self._plain = recognizer(RetrievalRanker())
        ranks = recipe.model and "ranked" in suite.ways
        self._ranked = recognizer(self._simulated) if ranks else None
        self._namer = self._alone(own) if asks and "alone" in suite.ways else None
        self._policy = Policy.of(own)
        self._style = cell.crop or suite.crop.style

    def entries(self, prefix: str, samples: Sequence[str]) -> Iterator[Entry]:
        """Ask about images, and tell what became of each, as soon as it is known.

        Args:
            prefix: Of the entries' keys.
            samples: The images' keys.

        Raises:
            BudgetError: The limit on what may be spent is reached: images that were not asked, or
                not in full, for want of money are left. Those answered in all ways are told.
        """
        wanted = {one.key: one for one in self._cell.test}
        images: dict[str, AdmittedImage] = {}
        for sample in samples:
            try:
                images[sample] = read_image(wanted[sample], self._policy, self._style)
            except ImageError as error:
                yield _failed(prefix + sample, str(error), type(error).__name__)
        if not images:
            return
        if self._ranked:
            self._listened.heard.clear()
            self._listened.unpaid.clear()
        given = list(images.values())
        truths = [self._data.truth(wanted[sample]) for sample in images]
        near = self._plain.recognize_batch(given, method="knn") if self._has_exemplars else []
        plain = self._plain.recognize_batch(given)
        keys = list(images)
        ways: dict[str, Iterator[tuple[int, Any]]] = {}
        if self._ranked:
            ways["ranked"] = self._asked(given, truths)
        if self._namer:
            ways["alone"] = self._namer.ask(given)

        def entry(position: int, ranked: Result | None = None, alone: Alone = None) -> Entry:
            known = (near[position] if near else None), plain[position], ranked
            labelled, truth = wanted[keys[position]], truths[position]
            return self._entry(prefix, labelled, truth, known, alone)

        if not ways:
            yield from map(entry, range(len(given)))
        said: list[dict[str, Any]] = [{} for _ in given]
        spent: BudgetError | None = None
        for told in zip(*ways.values(), strict=True):  # each image once, in any order
            for way, (position, one) in zip(ways, told, strict=True):
                said[position][way] = one
                if len(said[position]) < len(ways):
                    continue
                try:
                    told_of = entry(position, **said[position])
                except BudgetError as error:
                    spent = error
                else:
                    yield told_of
        if spent:
            raise spent

    def _entry(
        self,
        prefix: str,
        labelled: LabelledImage,
        truth: str,
        found: tuple[Result | None, Result, Result | None],
        alone: Alone,
    ) -> Entry:
        """What became of an image that was asked about in every way: nearest, retrieved, ranked."""
        key = prefix + labelled.key
        failure = next((one for one in found if isinstance(one, Failure)), None)
        if failure:
            return _failed(key, failure.error, failure.kind)
        knn, retrieval, fused = (one for one in found if not isinstance(one, Failure))
        assert retrieval  # noqa: S101 - always there
        if fused and (unpaid := self._listened.unpaid.get(self._seed(fused.image))):
            raise unpaid
        if isinstance(alone, BudgetError):
            raise alone
        record = self._record(labelled, truth, knn, retrieval, fused, alone)
        result = record.model_dump(mode="json")
        if isinstance(alone, ProviderError):  # the other ways' answers count; it is tried again
            why = {"error": str(alone), "kind": type(alone).__name__}
            return Entry(key, {**why, RECORD: result}, failed=True)
        return Entry(key, result)

    def _alone(self, settings: Settings) -> Namer:
        """The model by itself, with the names that fit, or with none where none are known."""
        recipe, cell = self._suite.ranker, self._cell
        known = [self._data.categories[position] for position in cell.known]
        return Namer(
            load_chat_model(settings),
            load_prompt(recipe.alone_prompt if known else recipe.guess_prompt, settings.home),
            self._data.domain,
            that_fit(known, recipe.alone_tokens, cell.seed),
            settings.image_side,
        )

    @property
    def _has_exemplars(self) -> bool:
        return "knn" in self._suite.ways and bool(self._cell.learnt)

    def _asked(
        self, images: Sequence[AdmittedImage], truths: Sequence[str]
    ) -> Iterator[tuple[int, Result]]:
        """Ranked, each with its position as soon as it is."""
        assert self._ranked  # noqa: S101 - the caller looked
        if self._simulated:
            for image, truth in zip(images, truths, strict=True):
                self._simulated.truths[self._seed(image.sha256)] = truth
        return self._ranked.as_completed(images)

    def _seed(self, sha256: str) -> int:
        """That an image's options are shuffled with."""
        return self._plain.services.order_seed(sha256)

    def _record(
        self,
        one: LabelledImage,
        truth: str,
        near: Recognition | None,
        plain: Recognition,
        ranked: Recognition | None,
        alone: Alone,
    ) -> Record:
        trace = (ranked or plain).trace
        return Record(
            cell=self._cell.name,
            sample=one.key,
            truth=truth,
            sha256=plain.image,
            box=one.box,
            area=one.area,
            score=one.score,
            knn=_answer(near) if near else None,
            retrieval=_answer(plain),
            ranked=_answer(ranked) if ranked else None,
            ranking=self._ranking(ranked) if ranked else None,
            alone=alone.answer if isinstance(alone, Named) else None,
            asked_alone=_asked_alone(alone),
            seen=tuple(
                Seen(name=c.category.name, source=e.source, similarity=e.similarity)
                for c in plain.categories
                for e in c.exemplars[:1]
            ),
            familiarity=plain.familiarity,
            timings_ms={**trace.timings_ms, "total": sum(trace.timings_ms.values())},
        )

    def _ranking(self, found: Recognition) -> Ranked:
        """What the model said, with what the trace says of it; none where it was not asked."""
        assert self._ranked  # noqa: S101 - the caller looked
        trace, heard = found.trace, self._heard(found.image)
        return Ranked(
            model=trace.model,
            ranker=trace.ranker,
            prompt=trace.prompt,
            prompt_hash=trace.prompt_hash,
            parse_status=trace.parse_status,
            degraded=trace.degraded,
            reason=trace.reason,
            order=heard[0] if heard else (),
            repairs=heard[1].repairs if heard else 0,
            calls=heard[1].calls if heard else 0,
            usage=trace.usage,
            letters=heard[1].letters if heard else (),
            raw=heard[1].raw if heard else "",
        )

    def _heard(self, sha256: str) -> tuple[tuple[str, ...], Ranking] | None:
        return self._listened.heard.get(self._seed(sha256))  # of two samples of one picture, too

    @property
    def _listened(self) -> _Services:
        assert self._ranked and isinstance(self._ranked.services, _Services)  # noqa: S101, PT018
        return self._ranked.services


def _answer(found: Recognition) -> Answer:
    return Answer(
        names=tuple(c.category.name for c in found.categories),
        probabilities=tuple(c.probability for c in found.categories),
        accepted=found.decision == "accepted",
        calibrated=found.trace.calibrated,
    )


def _asked_alone(found: Alone) -> Ranked | None:
    if isinstance(found, ProviderError):
        return Ranked(ranker="alone", degraded=True, reason=str(found))
    return found.asked if found else None


def _failed(key: str, error: str, kind: str) -> Entry:
    return Entry(key, {"error": error, "kind": kind}, failed=True)


class _Services(Services):
    """Services of a run's own memory, whose ranker is listened to."""

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        encoder: Encoder,
        store: ImageStore,
        ranker: Ranker | None,
    ) -> None:
        super().__init__(settings, "caller", store)
        self._memory, self._encoder = memory, encoder
        self._own = ranker
        self.heard: dict[int, tuple[tuple[str, ...], Ranking]] = {}
        """Orders and rankings, by the seed that was asked with."""
        self.unpaid: dict[int, BudgetError] = {}
        """Why not all was asked, where that was for want of money, by the same seed."""

    def _ranker(self, prompt: str, divided: bool) -> Ranker:
        return _Heard(self._own or super()._ranker(prompt, divided), self)


class _Heard:
    """A ranker that is listened to."""

    def __init__(self, ranker: Ranker, by: _Services) -> None:
        self._ranker, self._by = ranker, by
        self.name, self.prompt_hash, self.asks = ranker.name, ranker.prompt_hash, ranker.asks

    def rank(self, image: Image.Image, candidates: Sequence[Candidate], seed: int) -> Ranking:
        """See `Ranker.rank`."""
        try:
            return self._keep(candidates, seed, self._ranker.rank(image, candidates, seed))
        except BudgetError as error:
            self._by.unpaid[seed] = error
            raise

    async def arank(
        self, image: Image.Image, candidates: Sequence[Candidate], seed: int
    ) -> Ranking:
        """See `Ranker.arank`."""
        try:
            return self._keep(candidates, seed, await self._ranker.arank(image, candidates, seed))
        except BudgetError as error:
            self._by.unpaid[seed] = error
            raise

    def _keep(self, candidates: Sequence[Candidate], seed: int, said: Ranking) -> Ranking:
        if said.unpaid:
            self._by.unpaid[seed] = BudgetError(
                f"The limit on what may be spent was reached before {said.unpaid} of the questions "
                "about an image.",
                "Raise RAR_MAX_COST, and run it again: what was answered is kept.",
            )
        if self.asks:
            order = tuple(candidates[position].category.name for position in said.order)
            self._by.heard[seed] = order, said
        return said
