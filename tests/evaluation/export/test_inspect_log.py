"""Runs as Inspect's logs; read back by Inspect itself where it is installed."""

import sys

import pytest

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.evaluation.export import write_inspect_log


def test_without_the_library_it_is_said_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(ConfigurationError, match="pip install inspect-ai"):
        write_inspect_log(run)


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_inspect_reads_it(run, tmp_path, kind):
    inspect = pytest.importorskip("inspect_ai.log")
    file = write_inspect_log(run, tmp_path / "to" / f"birds.{kind}")
    log = inspect.read_eval_log(str(file))
    assert (log.status, log.eval.task, log.eval.model) == ("cancelled", "birds", "openai:m")
    assert "Partial: 4 of 5" in log.eval.task_description
    assert (log.results.total_samples, log.results.completed_samples) == (5, 3)
    scores = {score.name: score.metrics["1-shot"] for score in log.results.scores}
    assert scores["ranked"].value == pytest.approx(2 / 3)
    assert 0 < scores["ranked"].metadata["low"] < 2 / 3
    samples = {sample.id: sample for sample in log.samples}
    assert len(samples) == 4
    one = samples["1-shot, seed 1/test/robin/0.jpg"]
    assert (one.target, one.choices) == ("robin", ["wren", "robin"])
    assert one.output.completion == '{"ranking": ["B", "A"]}'
    assert [one.scores[way].value for way in ("retrieval", "ranked")] == ["I", "C"]
    assert samples["1-shot, seed 1/test/wren/9.jpg"].error.message == "ImageError: it is cut off"
    usage = log.stats.model_usage["openai:m"]
    assert (usage.input_tokens, usage.total_cost) == (900, pytest.approx(0.03))


def test_inspect_finds_it_among_its_logs(run):
    inspect = pytest.importorskip("inspect_ai.log")
    file = write_inspect_log(run)
    [found] = inspect.list_eval_logs(str(run / "inspect"))
    assert found.name.endswith(file.name)
    assert found.task == "birds"
    with pytest.raises(InputError, match=r"\.eval or \.json"):
        write_inspect_log(run, run / "log.txt")
