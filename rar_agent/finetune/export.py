"""Writing a memory's own exemplars as ranking conversations, a folder that trainers read."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.finetune.conversation import check_answerable, converse
from rar_agent.finetune.draw import Side, draw_sides, is_missed, seed_of, shortlists
from rar_agent.finetune.formats import FORMATS, Format
from rar_agent.graph.conclusion import versions
from rar_agent.graph.pictures import exemplar_images
from rar_agent.graph.services import Services
from rar_agent.images import Picture
from rar_agent.memory.left_out import LeftOut, leave_out
from rar_agent.prompts import Output, load_prompt
from rar_agent.settings import Settings, load_settings

MANIFEST = "manifest.json"

Progress = Callable[[int, int], None]
"""Told how many exemplars were looked at, and how many there are."""


class Plan(BaseModel):
    """What is exported, beside what the settings say of memory, ranker, prompt and k."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Format = "trl"
    eval_share: float = 0.1
    """Share kept for evaluation: of the exemplars or, if disjoint, of the categories."""
    disjoint: bool = False
    """Whether training and evaluation share no category."""
    seed: int = 0
    repeats: int = 1
    """Conversations about each exemplar."""
    neighbours: int = 0
    """Categories from which repeats draw their candidates; 0: the first k."""
    limit: int | None = None
    """Exemplars at most."""


class Counts(BaseModel):
    """What one side of an export holds."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    conversations: int = 0
    exemplars: int = 0
    categories: int = 0
    """That are the right one somewhere."""
    added: int = 0
    """Exemplars whose right category retrieval had not found among the first k."""
    no_picture: int = 0
    """Exemplars whose picture is no longer there."""


class Manifest(BaseModel):
    """What an exported folder is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    memory: str
    generation: int
    encoder: str
    """Identity of its fingerprint."""
    domain: str
    ranker: str
    prompt: str
    prompt_hash: str
    output: Output
    k: int
    image_side: int
    plan: Plan
    train: Counts
    eval: Counts
    versions: Mapping[str, str]


def export(
    settings: Settings, plan: Plan, folder: Path, progress: Progress | None = None
) -> Manifest:
    """Write train.jsonl, eval.jsonl, manifest.json and the pictures.

    Each exemplar is left out of all that the memory knows; see `leave_out` for how many there are
    at most. The same memory, settings, plan and library versions give the same bytes. Memory use
    does not grow with what is written.

    Args:
        settings: Which memory, ranker, prompt, k, how many pictures of a candidate.
        plan: The rest.
        folder: That is not there yet; it appears when all is written.
        progress: Told after each exemplar.

    Returns:
        The manifest.

    Raises:
        InputError: The folder is there already, the memory is not calibrated, or there is nothing
            to write.
        ConfigurationError: The prompt cannot be used, or the folder cannot be written.
    """
    with appearing(folder) as draft:
        manifest = _Writing(settings, plan, draft).write(progress)
        text = manifest.model_dump_json(indent=1) + "\n"
        (draft / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


class _Writing:
    def __init__(self, settings: Settings, plan: Plan, folder: Path) -> None:
        from langchain_core.language_models import FakeListChatModel

        from rar_agent.models import ChatModel

        self._settings = load_settings(settings, orders=1)
        self._plan, self._folder = plan, folder
        services = Services(self._settings, authority="caller")
        self._memory = services.memory
        self._prompt = load_prompt(settings.ranking_prompt, settings.home)
        check_answerable(self._prompt)
        nobody = ChatModel("nobody", FakeListChatModel(responses=[]))
        self._ranker = services.asking_ranker(settings.ranker, nobody, self._prompt)
        self._picture = exemplar_images(self._memory, services.policy, files_first=True)
        self._k = 2 if settings.ranker == "pairwise" else settings.k
        if self._k < 2:
            raise InputError(f"k = {self._k} leaves nothing to rank.", "Give 2 to 26.")
        if not 0 <= plan.eval_share < 1:
            raise InputError(
                f"An evaluation share of {plan.eval_share:g} is not valid.", "Give 0 to 0.9."
            )

    def write(self, progress: Progress | None) -> Manifest:
        plan, memory = self._plan, self._memory
        left = leave_out(memory)
        sides = draw_sides(left, plan.eval_share, plan.disjoint, plan.seed, plan.limit)
        total, done = sum(map(len, sides.numbers.values())), 0
        counts: dict[Side, Counts] = {}
        for side, numbers in sides.numbers.items():
            count, categories = counts.setdefault(side, Counts()), set[int]()
            with (self._folder / f"{side}.jsonl").open("w", encoding="utf-8") as file:
                for number in numbers:
                    written = self._write_one(file, left, number, sides.allowed[side], count)
                    if written:
                        categories.add(int(left.truth[number]))
                    done += 1
                    if progress:
                        progress(done, total)
            count.categories = len(categories)
        if not counts["train"].conversations:
            raise InputError(
                f"Of {total} exemplars of memory '{memory.name}' there is no picture to train on.",
                "Put their files back, teach it with --thumbnails, or give a larger --limit.",
            )
        return Manifest(
            memory=memory.name,
            generation=memory.manifest.generation,
            encoder=memory.fingerprint.identity,
            domain=memory.manifest.domain,
            ranker=self._settings.ranker,
            prompt=self._prompt.reference,
            prompt_hash=self._prompt.sha256,
            output=self._prompt.output,
            k=self._k,
            image_side=self._settings.image_side,
            plan=plan,
            train=counts["train"],
            eval=counts["eval"],
            versions=versions(),
        )

    def _write_one(
        self,
        file: IO[str],
        left: LeftOut,
        number: int,
        allowed: NDArray[np.bool_],
        count: Counts,
    ) -> bool:
        """Write the conversations about an exemplar; whether its picture is there."""
        plan, exemplar = self._plan, left.exemplar(number)
        image = self._picture(exemplar)
        if image is None:
            count.no_picture += 1
            return False
        count.exemplars += 1
        lists = shortlists(
            left,
            number,
            self._k,
            allowed,
            self._settings.exemplars,
            plan.repeats,
            max(plan.neighbours, self._settings.k),
            seed_of(plan.seed, exemplar.entry),
        )
        for repeat, (candidates, truth) in enumerate(lists):
            seed = seed_of(plan.seed, exemplar.entry, repeat)
            said = converse(self._ranker, self._prompt, image, candidates, truth, seed)
            line = FORMATS[plan.format](said, self._keep)
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count.conversations += 1
        count.added += is_missed(left, number, self._k, allowed)
        return True

    def _keep(self, picture: Picture) -> str:
        name = f"images/{hashlib.sha256(picture.jpeg).hexdigest()}.jpg"
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture.jpeg)
        return name


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill, that gets its name when it is full, and is gone where that fails.

    Raises:
        InputError: The name is taken.
        ConfigurationError: It cannot be written.
    """
    if folder.exists():
        raise InputError(f"'{folder}' is there already.", "Give a folder that is not there yet.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            draft.chmod(0o755)  # mkdtemp's are nobody else's
            yield draft
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise ConfigurationError(
            f"'{folder}' cannot be written: {error.strerror or error}.",
            "Make room, or give a folder that can be written.",
        ) from error
