"""Spending a stated number of calls on a memory's own exemplars, to learn what a model is worth.

Each exemplar is left out of all that the memory knows, its picture shown to the model with the
candidates that retrieval then finds. What comes of it is in `RankerRecord`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.graph.answers import Asked, Asking, Progress
from rar_agent.graph.cascade import FEWEST
from rar_agent.graph.pictures import exemplar_images
from rar_agent.graph.services import Services
from rar_agent.images import Policy
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.left_out import LeftOut, leave_out
from rar_agent.memory.rankers import scoring_of, texts_of
from rar_agent.ranking import AskingRanker
from rar_agent.ranking.cascade import Allowed, Retrieved, could_matter
from rar_agent.ranking.fitted import fit_cascade
from rar_agent.ranking.options import ExemplarImage
from rar_agent.settings import Settings
from rar_agent.types import sum_usage

FEWEST_IMAGES = 30
"""Answers under which nothing is fitted."""


class Calibration:
    """Asking a model about a memory's own exemplars, to fit weight and gate.

    All that can be known before a call is made is checked when it is made.

    Args:
        left: The exemplars.
        ranker: Asks the model, with no liking for letters divided out.
        settings: That recognition will have.
        picture: Finds an exemplar's picture.
        calls: Made at most; answers that are kept from before count too.
        allowed: What not asking may cost, or how many may be asked about.
        seed: Of the exemplars that are drawn.
        server: Hash of where the model is asked.

    Raises:
        InputError: There are too few calls, or too few exemplars about which a model's answer
            could matter, or k leaves nothing to rank.
    """

    def __init__(
        self,
        left: LeftOut,
        ranker: AskingRanker,
        settings: Settings,
        picture: ExemplarImage,
        calls: int = 200,
        allowed: Allowed | None = None,
        seed: int = 0,
        server: str = "",
    ) -> None:
        if settings.k < FEWEST:
            raise InputError(f"k = {settings.k} leaves nothing to rank.", "Give 2 to 26.")
        self._ranker, self._settings, self._server = ranker, settings, server
        self._calls, self._allowed = calls, allowed or Allowed()
        self._asking = Asking(left, ranker, settings, picture, seed)
        self._left = left
        self._numbers = np.random.default_rng(seed).permutation(self._matter()).tolist()
        if len(self._numbers) < FEWEST_IMAGES:
            raise InputError(
                f"Of {len(left)} exemplars that were left out, {len(self._numbers)} are such that "
                f"a model's answer could matter, and {FEWEST_IMAGES} are needed: retrieval is sure "
                "of the others.",
                "Teach the memory more exemplars, or allow less to be lost (--points).",
            )
        if calls < self.calls_needed:
            each = self._asking.calls_each
            raise InputError(
                f"{calls} calls are too few: at least {FEWEST_IMAGES} answers are needed to tell "
                f"what a model is worth, {each} call{'s' * (each > 1)} each, and "
                f"{self._asking.spare_calls} more, to see whether it likes some letters and to ask "
                "again.",
                f"Give --calls {self.calls_needed} or more; nothing was asked yet.",
            )

    @property
    def calls_needed(self) -> int:
        """Calls that are enough for `FEWEST_IMAGES`, if all are answered."""
        return FEWEST_IMAGES * self._asking.calls_each + self._asking.spare_calls

    @cached_property
    def retrieved(self) -> Retrieved:
        """What retrieval alone said of the exemplars."""
        left = self._left
        truth = np.exp(left.log_posterior[np.arange(len(left)), left.truth])
        sizes = np.array(self._asking.sizes)
        return Retrieved(left.confidence, np.where(left.places < sizes, truth, 0.0))

    def _matter(self) -> np.ndarray:
        """The exemplars that may be asked about."""
        found = could_matter(self.retrieved, self._allowed)
        if self._allowed.asked is None or len(found) >= 2 * FEWEST_IMAGES:
            return found
        # A model is learnt on more than a small budget would ask about.
        return np.argsort(self.retrieved.confidence, kind="stable")[: 2 * FEWEST_IMAGES]

    def run(self, progress: Progress | None = None) -> RankerRecord:
        """Ask, and fit.

        Args:
            progress: Told after some images.

        Raises:
            InputError: The model answered about too few images.
            ProviderError: The model does not answer.
        """
        tasks = self._asking.tasks(self._numbers, self._calls)
        asked = list(self._asking.answers(tasks, self._calls, progress))
        usual = sum(one.answered.shares is not None for one in asked)
        if usual < FEWEST_IMAGES:
            raise InputError(
                f"The model answered about {usual} left-out exemplars, and at least "
                f"{FEWEST_IMAGES} are needed (of {len(tasks)} whose answer could matter, "
                f"{self._asking.gone} have no picture any more and {self._asking.failed} calls "
                "failed).",
                "What was answered is kept. See rar-agent doctor, allow more calls or money, or "
                "bring the pictures back.",
            )
        return self._record(asked)

    def _record(self, asked: Sequence[Asked]) -> RankerRecord:
        settings, memory, allowed = self._settings, self._left.memory, self._allowed
        answered = [one.answered for one in asked]
        fitted = fit_cascade(answered, self.retrieved, allowed)
        usual = [one for one in asked if one.answered.shares is not None]
        usage = sum_usage(one.usage for one in asked)
        return RankerRecord(
            model=settings.model or "",
            server=self._server,
            ranker=settings.ranker,
            prompt=self._ranker.prompt,
            prompt_hash=self._ranker.prompt_hash,
            orders=settings.orders,
            k=settings.k,
            image_side=settings.image_side,
            exemplars=settings.exemplars if self._ranker.shows_exemplars else None,
            worded=float(np.mean([one.worded for one in usual])),
            scoring=scoring_of(memory),
            texts=texts_of(memory),
            weight=fitted.weight,
            gate=fitted.gate,
            loss=fitted.loss,
            budget=allowed.asked,
            images=len(usual),
            calls=sum(one.calls for one in asked),
            cached=usage.cached,
            retrieval_top1=float(np.mean([one.answered.truth == 0 for one in usual])),
            ranked_top1=float(np.mean(fitted.right)),
            asked_share=float((self.retrieved.confidence < fitted.gate).mean()),
            bias=fitted.bias.bias if fitted.bias else None,
            prior=fitted.prior,
            answers=fitted.answers,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=usage.cost,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            entries=memory.image_count,
            next_entry=memory.manifest.next_entry,
        )


def plan_calibration(
    services: Services, calls: int, allowed: Allowed, seed: int = 0
) -> Calibration:
    """A calibration of the settings' model on their memory, of which nothing was asked yet.

    Args:
        services: For the memory and the ranker.
        calls: Made at most; answers that are kept from before count too.
        allowed: What not asking may cost, or how many may be asked about.
        seed: Of the exemplars that are drawn.

    Raises:
        ConfigurationError: No model is set.
        InputError: The memory is not calibrated itself, or as for `Calibration`.
    """
    ranker = services.ranker
    if not isinstance(ranker, AskingRanker):
        raise ConfigurationError(
            "No model is set, so there is nothing to calibrate.",
            "Give --model, or set RAR_MODEL.",
        )
    memory, settings = services.memory, services.settings
    picture = exemplar_images(memory, Policy.of(settings, "caller"), files_first=True)
    left = leave_out(memory)
    return Calibration(left, ranker, settings, picture, calls, allowed, seed, services.server)
