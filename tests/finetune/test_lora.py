"""Training end to end on tiny random models: what is trained, saved, resumed and refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from rar_agent import Recognizer
from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.finetune.export import Plan, export
from rar_agent.finetune.lines import Lines, read_manifest
from rar_agent.finetune.lora import REPORT, Recipe, Report, train
from rar_agent.finetune.measure import beginnings, first_place_accuracy
from rar_agent.models.local.load import load_anew
from rar_agent.settings import load_settings
from tests.finetune.conftest import shade
from tests.models.local.tiny import build

SETTINGS = {"device": "cpu"}


@pytest.fixture(scope="module")
def exported(shades, tmp_path_factory):
    """Exported folders, by ranker."""
    place = tmp_path_factory.mktemp("exported")
    for ranker in ("choice", "listwise"):
        asked = {"home": shades, "memory": "shades", "ranker": ranker, "k": 3, **SETTINGS}
        export(load_settings(**asked), Plan(limit=40, eval_share=0.2), place / ranker)
    return place


@pytest.fixture(scope="module")
def random_llava(tmp_path_factory):
    return build("llava", tmp_path_factory.mktemp("models") / "llava")


def trained(exported, model, out, ranker="choice", progress=None, settings=SETTINGS, **recipe):
    pytest.importorskip("trl", reason="training needs the extra 'train'")
    pytest.importorskip("peft", reason="training needs the extra 'train'")
    how = Recipe(**{"learning_rate": 2e-3, "accumulate": 1, "batch": 8, **recipe})
    return train(exported / ranker, str(model), out, load_settings(**settings), how, progress)


@pytest.mark.parametrize(
    ("family", "ranker", "rank"),
    [("llava", "choice", 8), ("smolvlm", "listwise", 8), ("qwen", "choice", 0)],
)
def test_a_trained_model_ranks_through_the_pipeline(
    exported, shades, tmp_path, family, ranker, rank
):
    random, told = build(family, tmp_path / "random"), []
    out = tmp_path / "out"
    report = trained(exported, random, out, ranker, lambda *x: told.append(x), rank=rank)
    assert told == [(step, report.steps) for step in range(1, report.steps + 1)]
    assert report.after.loss < report.before.loss - 0.1
    assert Report.model_validate_json((out / REPORT).read_text()) == report
    assert not list(tmp_path.glob("*.training"))
    before, after = load_file(random / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()  # merged: no adapter is left
    assert any(not torch.equal(before[name], after[name]) for name in before)
    one = Recognizer(
        "shades", f"local:{out}", home=shades, ranker=ranker, k=3, skip_ranking_at=1.0, **SETTINGS
    )
    left = one.services.ranker.rank(shade(0, 50), _candidates(one.memory), seed=0)
    assert sorted(left.order) == [0, 1, 2]
    assert left.calls == 1


@pytest.mark.gpu
@pytest.mark.parametrize(("rank", "precision"), [(8, "auto"), (8, "bf16"), (0, "fp32")])
def test_the_recipe_runs_on_the_gpu_that_auto_finds(exported, shades, tmp_path, rank, precision):
    settings = {"device": "auto", "model_precision": precision}
    torch.cuda.reset_peak_memory_stats()
    out = tmp_path / "out"
    report = trained(
        exported, build("qwen", tmp_path / "random"), out, settings=settings, rank=rank
    )
    assert torch.cuda.max_memory_allocated() > 0
    assert report.after.loss < report.before.loss - 0.1
    one = Recognizer("shades", f"local:{out}", home=shades, ranker="choice", k=3, **settings)
    ranking = one.services.ranker.rank(shade(0, 50), _candidates(one.memory), seed=0)
    assert sorted(ranking.order) == [0, 1, 2]


def _candidates(memory):
    from rar_agent.memory.left_out import leave_out

    return leave_out(memory).candidates(0, 3, 0)


def test_the_loss_is_on_the_answer_alone(exported, random_llava, tmp_path):
    """The same answer to other questions leaves it as it is where the model sees nothing."""
    trl = pytest.importorskip("trl", reason="training needs the extra 'train'")
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    assert trl
    backend = load_anew(str(random_llava), "cpu", "fp32", download=False)
    collate = DataCollatorForVisionLanguageModeling(backend.processor, completion_only_loss=True)
    lines = Lines(exported / "listwise", "train", backend.plain)
    batch = collate([lines[0], lines[1]])
    for number in (0, 1):
        labels = batch["labels"][number]
        said = backend.tokenizer.decode(labels[labels != -100])
        answer = lines[number]["completion"][0]["content"][0]["text"]
        assert said == f" {answer}</s>\n"
    # What the trainer reads is what `local:` models are asked at inference.
    prompt = backend.render(lines[0]["prompt"])
    ids = backend.inputs([prompt], [lines[0]["images"]])["input_ids"][0].tolist()
    assert batch["input_ids"][0].tolist()[: len(ids)] == ids


def test_an_interrupted_training_goes_on_to_the_same_weights(exported, random_llava, tmp_path):
    recipe = {"rank": 4, "epochs": 2, "checkpoint_every": 3}
    whole_steps = trained(exported, random_llava, tmp_path / "whole", **recipe).steps
    told = []

    def stop(done, total):
        told.append(done)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(exported, random_llava, tmp_path / "out", progress=stop, **recipe)
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == ["out.training"]
    with pytest.raises(InputError, match="another training"):
        trained(exported, random_llava, tmp_path / "out", **{**recipe, "seed": 1})
    told.clear()
    trained(
        exported, random_llava, tmp_path / "out", progress=lambda *x: told.append(x[0]), **recipe
    )
    assert told == list(range(4, whole_steps + 1))
    whole, resumed = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "out"))
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-6) for name in whole)


def test_control_tokens_in_names_are_text(exported, random_llava):
    backend = load_anew(str(random_llava), "cpu", "fp32", download=False)
    lines = Lines(exported / "choice", "train", backend.plain)
    named = [line for line in map(lines.__getitem__, range(len(lines))) if "< image>" in str(line)]
    assert named  # one category is called <image>
    assert all(backend.render(line["prompt"]).count("<image>") == 1 for line in named)


def test_accuracy_is_of_the_first_place(exported, random_llava):
    """Against answers told by the model itself: all right; against others: none."""
    backend = load_anew(str(random_llava), "cpu", "fp32", download=False)
    for output, ranker in (("letter", "choice"), ("ranking", "listwise")):
        lines = Lines(exported / ranker, "eval", backend.plain)
        whole = [lines[number] for number in range(len(lines))]
        share = first_place_accuracy(backend, whole, output, 3)
        assert 0 <= share <= 1
        shares = []
        for letter in "ABC":
            answer = letter if output == "letter" else f'{{"ranking": ["{letter}"]}}'
            for line in whole:
                line["completion"][0]["content"][0]["text"] = answer
            shares.append(first_place_accuracy(backend, whole, output, 3, batch=5))
        assert sum(shares) == pytest.approx(1.0)
    assert beginnings("ranking", 2) == ['{"ranking": ["A"', '{"ranking": ["B"']


def test_what_is_no_exported_folder(exported, tmp_path):
    with pytest.raises(NotFoundError, match="finetune export"):
        read_manifest(tmp_path)
    shutil.copytree(exported / "choice", tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["plan"]["format"] = "openai"
    manifest.write_text(json.dumps(told))
    with pytest.raises(InputError, match="--format trl"):
        read_manifest(tmp_path / "copy")
    manifest.write_text("{}")
    with pytest.raises(InputError, match="Export it again"):
        read_manifest(tmp_path / "copy")


def test_training_without_the_extra_says_what_to_install(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("rar_agent.finetune.lora.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"rar-agent\[train\]"):
        train(exported / "choice", "x", tmp_path / "out", load_settings())


def test_an_existing_folder_is_left_alone(exported, random_llava, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="there already"):
        trained(exported, random_llava, tmp_path / "out")
