"""A cell's memory: what it learns, and, where nobody knows the names, who guesses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rar_agent.batch import Entry, Journal
from rar_agent.batch import run as run_batch
from rar_agent.encoders import Encoder
from rar_agent.errors import BudgetError, ImageError, InputError, ProviderError
from rar_agent.evaluation.cells import Cell
from rar_agent.evaluation.dataset import DataSet, LabelledImage
from rar_agent.evaluation.naming import Namer, one_spelling
from rar_agent.evaluation.pictures import LabelledReader, read_image
from rar_agent.evaluation.simulated import PREFIX
from rar_agent.evaluation.suite import Suite, configuration_hash
from rar_agent.images import Policy
from rar_agent.memory import create_memory, list_memories
from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.settings import Settings
from rar_agent.types import Category


def learn(
    cell: Cell, suite: Suite, data: DataSet, encoder: Encoder, home: Path, settings: Settings
) -> None:
    """Build a cell's memory, unless it was built before; an interrupted build goes on.

    Args:
        cell: What it learns.
        suite: How.
        data: Whose images these are.
        encoder: Of the memory.
        home: Where the memory is made.
        settings: How a model is asked that guesses names.

    Raises:
        InputError: Names are to be guessed, and nobody guesses, or none could be read.
        ProviderError: The model could not be asked about all images; what it guessed is kept.
    """
    if cell.memory in list_memories(home):
        return
    if cell.guessed:
        learnt = _guessed(cell, suite, data, home, settings)
        images, categories = [one for one, _ in learnt], [category for _, category in learnt]
        known = list({category.name: category for category in categories}.values())
    else:
        images = list(cell.learnt)
        categories = [data.categories[one.category] for one in images]
        known = [data.categories[position] for position in cell.known]
    style = cell.crop or suite.crop.style
    create_memory(
        home,
        cell.memory,
        encoder,
        LabelledReader(images, categories, Policy.of(settings), style) if images else (),
        names=known if cell.texts else (),
        domain=data.domain,
        templates=suite.memory.templates or tuple(data.templates),
    )


def _guessed(
    cell: Cell, suite: Suite, data: DataSet, home: Path, settings: Settings
) -> list[tuple[LabelledImage, Category]]:
    """What a cell learns, under the names that a model gives each of its images."""
    recipe = suite.ranker
    if recipe.model is None or recipe.model.startswith(PREFIX):
        raise InputError(
            f"The model is {recipe.model or 'none'}, which guesses no names.",
            "Name one: --set ranker.model=openai:gpt-5-mini.",
        )
    named = {"model": recipe.model, "base_url": recipe.base_url}
    prompt = load_prompt(recipe.guess_prompt, settings.home)
    namer = Namer(
        load_chat_model(settings.model_copy(update=named)),
        prompt,
        data.domain,
        (),
        settings.image_side,
    )
    files = {one.key: one for one in cell.learnt}
    policy, style = Policy.of(settings), suite.crop.style

    def guess(keys: Sequence[str]) -> Iterator[Entry]:
        images = {}
        for key in keys:
            try:
                images[key] = read_image(files[key], policy, style)
            except ImageError as error:  # nothing is learnt of it
                yield Entry(key, {"name": "", "error": str(error)})
        asked = list(images)
        spent: BudgetError | None = None
        for position, found in namer.ask(list(images.values())):
            key = asked[position]
            if isinstance(found, BudgetError):  # raised when what was answered is kept
                spent = found
            elif isinstance(found, ProviderError):
                yield Entry(key, {"error": str(found)}, failed=True)
            else:
                name = next(iter(found.answer.names), "")
                yield Entry(key, {"name": name, "asked": found.asked.model_dump(mode="json")})
        if spent:
            raise spent

    by = configuration_hash([named, prompt.sha256, data.checksum, sorted(files)])
    with Journal(home / f"{cell.memory}.guesses.jsonl", by) as journal:
        failed = run_batch(journal, list(files), guess).failed
        entries = dict(journal.entries)
    if failed:
        error = next(entry.result["error"] for entry in entries.values() if entry.failed)
        raise ProviderError(
            f"{failed} of {len(files)} images have no guessed name: {error}",
            "Run it again: what was guessed is kept.",
        )
    guesses = {key: str(entries[key].result["name"]) for key in files}
    spelt = one_spelling([name for name in guesses.values() if name])
    if not spelt:
        raise InputError(
            f"No name could be read in {len(files)} answers of {recipe.model}.",
            f"Look at them in '{journal.path}'; take another model or prompt.",
        )
    return [(files[key], Category(name=spelt[name])) for key, name in guesses.items() if name]
