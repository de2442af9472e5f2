"""Training a vision-language model on exported conversations, by TRL and PEFT."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.finetune.draw import Side
from rar_agent.finetune.export import Manifest, appearing
from rar_agent.finetune.lines import Lines, read_manifest
from rar_agent.finetune.measure import first_place_accuracy
from rar_agent.settings import Settings

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from rar_agent.models.local.backend import Backend

REPORT = "finetune.json"

_SIDES: tuple[Side, ...] = ("train", "eval")

_LIBRARIES = ("rar-agent", "trl", "peft", "transformers", "accelerate", "torch")

Progress = Callable[[int, int], None]
"""Told how many steps are done, and how many there are."""


class Recipe(BaseModel):
    """How a model is trained. Defaults are LoRA's usual ones for a few thousand conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rank: int = Field(default=16, ge=0)
    """Of the adapters; 0 trains all weights instead."""
    alpha: int = Field(default=32, ge=1)
    """Adapters are scaled by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: str = "all-linear"
    """Modules that get an adapter: a name, a regular expression, or `all-linear`."""
    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    weight_decay: float = Field(default=0.0, ge=0)
    batch: int = Field(default=4, ge=1)
    """Conversations that go through the model at once."""
    accumulate: int = Field(default=4, ge=1)
    """Batches that make a step."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps after which an interrupted training can go on."""
    seed: int = 0


class Score(BaseModel):
    """How a model does on the conversations kept for evaluation.

    Attributes:
        loss: Mean negative log-likelihood of a token of the answers, in nats.
        first_place: Share with the right option first.
    """

    loss: float
    first_place: float


class Report(BaseModel):
    """What a training was, and what came of it.

    Attributes:
        model: That was trained.
        recipe: How.
        data: What on.
        steps: That were made.
        seconds: They took, evaluation apart; since the last interruption.
        loss: Mean over the training.
        before: How the model did; None where nothing was kept for evaluation.
        after: How it does.
        versions: Of the libraries.
    """

    model: str
    recipe: Recipe
    data: Manifest
    steps: int
    seconds: float
    loss: float
    before: Score | None
    after: Score | None
    versions: dict[str, str]


def train(
    data: Path,
    model: str,
    out: Path,
    settings: Settings,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Report:
    """Train a model, merge the adapters into its weights, save it as `local:OUT` loads it.

    The loss is on the answers alone. Checkpoints lie in `OUT.training` until `out` is there: the
    same call goes on with them.

    Args:
        data: A folder that was exported in TRL's format.
        model: A folder, or `org/name` on the Hugging Face hub.
        out: A folder that is not there yet.
        settings: Device, precision, and whether the model may be downloaded.
        recipe: How to train.
        progress: Told after each step.

    Returns:
        The report, which is in the folder too.

    Raises:
        InputError: `out` is there, `data` is no such folder, or an interrupted training was another
            one.
        ConfigurationError: The extra `train` is not installed, or the model cannot be loaded.
    """
    missing = [name for name in ("trl", "peft", "accelerate") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"Training needs {' and '.join(missing)}.", "Run: pip install 'rar-agent[train]'"
        )
    recipe, manifest = recipe or Recipe(), read_manifest(data)
    with appearing(out) as draft:
        working = _working_folder(out, recipe, manifest, model)
        report = _train(data, manifest, model, draft, working, settings, recipe, progress)
        (draft / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(working, ignore_errors=True)
    return report


def _train(
    data: Path,
    manifest: Manifest,
    model: str,
    draft: Path,
    working: Path,
    settings: Settings,
    recipe: Recipe,
    progress: Progress | None,
) -> Report:
    from transformers import set_seed

    from rar_agent.models.local.load import load_anew
    from rar_agent.pretrained import quiet

    def load(name: str) -> Backend:
        return load_anew(name, settings.device, settings.model_precision, settings.download)

    def first_place(of: Backend) -> float:
        kept = Lines(data, "eval", of.plain)
        return first_place_accuracy(of, kept, manifest.output, manifest.k, recipe.batch)

    backend = load(model)
    lines, held = (Lines(data, side, backend.plain) for side in _SIDES)
    measured = len(held) > 0
    before = first_place(backend) if measured else 0.0
    set_seed(recipe.seed)  # the adapters begin at random
    trainer = _trainer(backend, lines, held, working, recipe, progress)
    first_loss = trainer.evaluate()["eval_loss"] if measured else 0.0
    begun = time.perf_counter()
    with quiet():  # there is a bar already
        done = trainer.train(resume_from_checkpoint=_last_checkpoint(working))
    seconds = time.perf_counter() - begun
    last_loss = trainer.evaluate()["eval_loss"] if measured else 0.0
    _save(trainer.model, backend, model, draft, settings, merge=recipe.rank > 0)
    steps = trainer.state.global_step
    del trainer, backend, lines, held  # the memory is needed for the same model again
    after = first_place(load(str(draft))) if measured else 0.0
    return Report(
        model=model,
        recipe=recipe,
        data=manifest,
        steps=steps,
        seconds=seconds,
        loss=done.training_loss,
        before=Score(loss=first_loss, first_place=before) if measured else None,
        after=Score(loss=last_loss, first_place=after) if measured else None,
        versions={library: version(library) for library in _LIBRARIES},
    )


def _trainer(
    backend: Backend,
    lines: Lines,
    held: Lines,
    working: Path,
    recipe: Recipe,
    progress: Progress | None,
) -> Any:  # noqa: ANN401 - TRL is not typed
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Told(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, _args: object, state: Any, _control: object, **_: object) -> None:  # noqa: ANN401
            if progress:
                progress(state.global_step, state.max_steps)

    device = backend.model.device.type
    half = str(backend.model.dtype).removeprefix("torch.")
    adapters = None
    if recipe.rank:
        adapters = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=recipe.targets,
        )
    else:
        backend.model.requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL's, about itself
        arguments = SFTConfig(
            output_dir=str(working),
            seed=recipe.seed,
            num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=recipe.warmup,
            weight_decay=recipe.weight_decay,
            per_device_train_batch_size=recipe.batch,
            per_device_eval_batch_size=recipe.batch,
            gradient_accumulation_steps=recipe.accumulate,
            gradient_checkpointing=device == "cuda",
            use_cpu=device == "cpu",
            bf16=half == "bfloat16",
            fp16=half == "float16",
            remove_unused_columns=False,
            max_length=None,  # what is cut off is the answer
            save_steps=recipe.checkpoint_every,
            save_total_limit=2,
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=backend.model,
            args=arguments,
            train_dataset=lines.as_dataset(),
            eval_dataset=held.as_dataset() if len(held) else None,
            processing_class=backend.processor,
            peft_config=adapters,
            callbacks=[Told()],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _save(
    trained: Any,  # noqa: ANN401
    backend: Backend,
    model: str,
    draft: Path,
    settings: Settings,
    merge: bool,
) -> None:
    from transformers import GenerationConfig

    from rar_agent.pretrained import quiet

    if merge:
        trained = trained.merge_and_unload()
    # `Backend` takes out what a checkpoint recommends for chatting, which others may want.
    with suppress(OSError):
        trained.generation_config = GenerationConfig.from_pretrained(
            model, local_files_only=not settings.download
        )
    with quiet():
        trained.save_pretrained(draft)
    backend.processor.save_pretrained(draft)


def _working_folder(out: Path, recipe: Recipe, manifest: Manifest, model: str) -> Path:
    """Where checkpoints of this training are, and of no other."""
    working = out.with_name(f"{out.name}.training")
    asked = {
        "model": model,
        "recipe": recipe.model_dump(mode="json"),
        "data": manifest.model_dump(mode="json"),
    }
    note = working / "training.json"
    begun = _last_checkpoint(working) is not None
    if begun and json.loads(note.read_text(encoding="utf-8")) != asked:
        raise InputError(
            f"'{working}' holds another training that was interrupted.",
            "Repeat its command, give another --out, or delete the folder.",
        )
    working.mkdir(exist_ok=True)
    note.write_text(json.dumps(asked), encoding="utf-8")
    return working


def _last_checkpoint(working: Path) -> str | None:
    """The last one that is whole: its state is written last."""
    whole = [path.parent for path in working.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.partition("-")[2]))) if whole else None
