"""Prompts judged: the same images, memories and candidates, asked about with each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from rar_agent.batch.runner import Progress
from rar_agent.errors import InputError
from rar_agent.evaluation.publish import pictures_of
from rar_agent.evaluation.recommend import Recommendation, recommend
from rar_agent.evaluation.report import Paths
from rar_agent.evaluation.report.compared import Compared, Side, write_comparison
from rar_agent.evaluation.report.write import cautions
from rar_agent.evaluation.run import Run, prepare_run, read_run
from rar_agent.evaluation.simulated import PREFIX
from rar_agent.evaluation.suite import RankerRecipe, Suite, configuration_hash
from rar_agent.graph.preview import way_of
from rar_agent.graph.services import WAYS
from rar_agent.prompts import find_prompt, load_prompt, read_prompt
from rar_agent.settings import Settings
from rar_agent.words import counted


@dataclass(frozen=True)
class Trial:
    """Runs that differ by their prompt alone.

    Attributes:
        folder: With a run's folder for each, and the comparison.
        runs: By prompt, the one to stay with first.
        settings: Where everything is.
        misfits: What has to be said of prompts that the suite's way of ranking cannot read.
        command: What was typed.
    """

    folder: Path
    runs: Mapping[str, Run]
    settings: Settings
    misfits: Sequence[str] = ()
    command: str = ""

    def go_on(self, progress: Callable[[str], Progress] | None = None) -> int:
        """Ask about what was not asked about, a prompt after the other.

        Args:
            progress: What is told of a prompt's run.

        Returns:
            Answers that failed.
        """
        return sum(
            run.go_on(progress(prompt) if progress else None).failed
            for prompt, run in self.runs.items()
        )

    def judge(self) -> tuple[Paths, Recommendation]:
        """Compare what there is, and write `prompts.html`, `prompts.md` and `prompts.json`.

        Raises:
            InputError: No image was answered with all prompts.
        """
        read = {prompt: read_run(run.folder) for prompt, run in self.runs.items()}
        records = {prompt: found[1] for prompt, found in read.items()}
        recommendation = recommend(records)
        described, first, failed = next(iter(read.values()))
        said = [*cautions(described, len(first) + len(failed)), *self.misfits]
        for prompt, (_, answered, missing) in read.items():
            degraded = sum(one.ranking is not None and one.ranking.degraded for one in answered)
            if missing:
                said.append(
                    f"{prompt}: {counted(len(missing), 'answer')} failed, and count nowhere."
                )
            if degraded:
                said.append(
                    f"{prompt}: {counted(degraded, 'ranking')} failed: retrieval's order counts."
                )
        suite = described["suite"]
        compared = Compared(
            title=f"{suite['title'] or suite['name']}: {', '.join(records)}",
            sides={prompt: Side("ranked", found) for prompt, found in records.items()},
            comparisons=recommendation.comparisons,
            recommendation=recommendation,
            cautions=said,
            changes=_changes(list(records), self.settings.home),
            command=self.command,
        )
        pictures = pictures_of(suite, self.settings)
        return write_comparison(self.folder / "prompts", compared, pictures), recommendation


def prepare_trial(
    suite: Suite,
    prompts: Sequence[str],
    settings: Settings,
    out: Path | None = None,
    command: str = "",
) -> Trial:
    """Check the prompts, and load what the suite needs; nothing is asked yet.

    The suite's way of ranking is taken for each prompt that it can read, else one that can.

    Args:
        suite: What is measured; its ranker's model is asked.
        prompts: `name@version` each; the first is the one to stay with.
        settings: Where data, memories, models and kept answers are.
        out: The trial's folder; default: in `rar-evals/` in the working directory, named after the
            suite and what decides its results.
        command: What was typed, for the report.

    Raises:
        InputError: There are fewer than two, one is named twice or asks nothing about a photo, or
            nobody would read them.
        NotFoundError: There is no such prompt.
        ConfigurationError: A prompt is not valid, or what the suite needs cannot be loaded.
    """
    if len(set(prompts)) < max(2, len(prompts)):
        raise InputError(
            f"Prompts '{','.join(prompts)}' are not two or more, each once.",
            "Write --prompts rank@1,rank@2.",
        )
    model = suite.ranker.model
    if model is None or model.startswith(PREFIX):
        raise InputError(
            f"The ranking model is {model or 'none'}, which reads no prompt.",
            "Name one: --set ranker.model=openai:gpt-5-mini.",
        )
    suites = {prompt: _asking(suite, prompt, settings) for prompt in prompts}
    texts = [load_prompt(prompt, settings.home).sha256 for prompt in prompts]
    name = configuration_hash([*(one.configuration for one in suites.values()), *texts])
    folder = out or Path("rar-evals") / f"{suite.name}-prompts-{name[:8]}"
    runs = {
        prompt: prepare_run(one, settings, folder / prompt, command, folder / "memories")
        for prompt, one in suites.items()
    }
    return Trial(folder, runs, settings, [*_misfits(suites, suite.ranker.way)], command)


def _asking(suite: Suite, prompt: str, settings: Settings) -> Suite:
    """The suite with a prompt, and a way of ranking that can read what it asks for."""
    read = load_prompt(prompt, settings.home)
    fits = read.output in WAYS[suite.ranker.way].outputs
    by = suite.ranker.way if fits else way_of(read, settings)
    given = {**suite.ranker.model_dump(), "prompt": prompt, "way": by}
    ways = tuple(way for way in suite.ways if way != "alone")  # which no ranking prompt changes
    return suite.model_copy(update={"ranker": RankerRecipe.model_validate(given), "ways": ways})


def _misfits(suites: Mapping[str, Suite], way: str) -> Iterator[str]:
    """Which prompts are asked in another way than the suite's."""
    for prompt, suite in suites.items():
        if suite.ranker.way != way:
            yield (
                f"{prompt} does not fit {way} ranking, and is asked by {suite.ranker.way}: "
                "the difference is the prompt's and the way's."
            )


def _changes(prompts: Sequence[str], home: Path) -> dict[str, str]:
    """Diffs of each prompt to the first."""
    texts = {
        prompt: read_prompt(find_prompt(prompt, home)).decode().splitlines() for prompt in prompts
    }
    first = prompts[0]
    return {
        f"{first} → {other}": "\n".join(
            unified_diff(texts[first], texts[other], first, other, lineterm="")
        )
        for other in prompts[1:]
    }
