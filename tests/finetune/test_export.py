"""What is exported is what inference asks, with the truth inside."""

import hashlib
import json
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from rar_agent import Recognizer
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.finetune.export import MANIFEST, Manifest, Plan, export
from rar_agent.images import to_picture
from rar_agent.loop import run
from rar_agent.memory import SampleReader, create_memory, open_memory
from rar_agent.memory.left_out import leave_out
from rar_agent.memory.readers import Sample
from rar_agent.models.local.messages import to_conversation
from rar_agent.models.messages import as_langchain
from rar_agent.prompts import load_prompt
from rar_agent.ranking.options import LETTERS
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category
from tests.finetune.conftest import EACH, NAMES, SIDES, shade
from tests.memory.teaching.tiny import TinyEncoder
from tests.openai_server import Reply

PLACES = [(c, i) for c in range(len(NAMES)) for i in range(EACH)]
ALL = len(PLACES)
PICTURED = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def text_of(line):
    """What the user says, pictures apart."""
    return "".join(p.get("text", "") for p in line["messages"][-2]["content"])


def options_of(line):
    """Name of each letter's option."""
    return dict(re.findall(r"^([A-Z])\. (.+): About \d+ % grey\.$", text_of(line), re.MULTILINE))


def answer_of(line):
    return line["messages"][-1]["content"][0]["text"]


def hash_of(image):
    """Of a picture as inference sends it."""
    return hashlib.sha256(to_picture(image).jpeg).hexdigest()


def picture_of(line):
    (path,) = line["images"]
    return path.removeprefix("images/").removesuffix(".jpg")


@PICTURED
@given(
    k=st.integers(2, 12),
    seed=st.integers(0, 2**32),
    repeats=st.integers(1, 3),
    neighbours=st.integers(0, 12),
    disjoint=st.booleans(),
    ranker=st.sampled_from(["choice", "listwise", "pairwise"]),
)
def test_the_truth_is_inside_and_options_are_distinct(
    write, tmp_path, k, seed, repeats, neighbours, disjoint, ranker
):
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    plan = {"seed": seed, "repeats": repeats, "neighbours": neighbours, "disjoint": disjoint}
    made = write(plan={**plan, "eval_share": 0.3, "limit": 50}, k=k, ranker=ranker)
    known = {hash_of(shade(c, i)): " ".join(NAMES[c].splitlines()) for c, i in PLACES}
    shown = {}
    for side in SIDES:
        lines = getattr(made, side)
        shown[side] = set()
        for line in lines:
            options = options_of(line)
            most = {"train": 7, "eval": 3}[side] if disjoint else len(NAMES)
            size = 2 if ranker == "pairwise" else min(k, most)
            assert list(options) == LETTERS[:size]
            assert len(set(options.values())) == size
            answer = answer_of(line)
            if ranker == "listwise":
                ranking = json.loads(answer)["ranking"]
                assert sorted(ranking) == list(options)
                answer = ranking[0]
            assert options[answer] == known[picture_of(line)]
            shown[side] |= set(options.values())
        assert len(lines) == repeats * len({line["images"][0] for line in lines})
    assert len(made.train) + len(made.eval) == repeats * 50
    assert not {x["images"][0] for x in made.train} & {x["images"][0] for x in made.eval}
    if disjoint:
        assert not shown["train"] & shown["eval"]


def test_a_seed_gives_the_same_bytes_and_another_one_others(write):
    plan = {"repeats": 2, "neighbours": 8, "eval_share": 0.2}
    one, same = write("one", {**plan, "seed": 3}), write("same", {**plan, "seed": 3})
    other = write("other", {**plan, "seed": 4})
    files = sorted(p.relative_to(one.folder) for p in one.folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(same.folder) for p in same.folder.rglob("*.*"))
    assert len(files) == ALL + 3
    assert all((one.folder / f).read_bytes() == (same.folder / f).read_bytes() for f in files)
    assert one.train != other.train


def shown_candidates(memory, options):
    """Candidates of these names, in the order shown."""
    known = {" ".join(c.name.splitlines()): c for c in memory.categories}
    return [
        Candidate(category=known[name], score=-1.0, probability=0.3, evidence=("image",))
        for name in options.values()
    ]


@pytest.mark.parametrize("ranker", ["choice", "listwise", "pairwise"])
def test_the_messages_are_those_that_inference_sends(write, shades, server, ranker):
    """The same photo and options, asked for real: over the wire, and in this process."""
    plan = {"limit": 10, "eval_share": 0.0}
    wired = write("wired", {**plan, "format": "openai"}, ranker=ranker, k=10).train
    local = write("local", plan, ranker=ranker, k=10).train
    server.answer = lambda request: Reply("A", logprobs={"A": -0.1, "B": -3.0})
    one = Recognizer(
        "shades", "openai:m", base_url=server.url, ranker=ranker, k=10, home=shades, device="cpu"
    )
    asking, places = one.services.ranker, {hash_of(shade(*place)): place for place in PLACES}
    for sent, line in zip(wired, local, strict=True):
        candidates = shown_candidates(one.memory, options_of(line))
        photo = shade(*places[picture_of(line)])
        order = list(range(len(candidates)))
        run(asking.aread(photo, candidates, [order]))
        assert server.requests[-1]["messages"] == sent["messages"][:-1]
        assert sent["messages"][-1] == {"role": "assistant", "content": answer_of(line)}
        question = asking._question(asking._picture(photo), candidates, order)
        assert to_conversation(as_langchain(question.messages))[0] == line["messages"][:-1]
    assert len(server.requests) == len(local) == 10


def test_an_answer_reads_as_the_truth_first_then_retrieval(write, shades):
    made = write(ranker="listwise", k=10, plan={"eval_share": 0.0})
    left = leave_out(open_memory(shades, "shades"))
    places = {hash_of(shade(*place)): place for place in PLACES}
    sources = {(c, i): str(shades / "files" / f"{c}-{i}.png") for c, i in PLACES}
    for line in made.train:
        place = places[picture_of(line)]
        (number,) = [n for n in range(ALL) if left.exemplar(n).source == sources[place]]
        ranking = [options_of(line)[letter] for letter in json.loads(answer_of(line))["ranking"]]
        order = [one.category.name for one in left.candidates(number, 10, 0)]
        truth = left.category(number).name
        expected = [truth, *(name for name in order if name != truth)]
        assert ranking == [" ".join(name.splitlines()) for name in expected]


def test_a_prompt_with_pictures_shows_those_of_other_exemplars(write):
    made = write(ranker="listwise", prompt="rank-exemplars@1", exemplars=2, plan={"limit": 12})
    for line in [*made.train, *made.eval]:
        assert len(line["images"]) == 1 + 4 * 2
        kinds = [part["type"] for part in line["messages"][1]["content"]]
        assert kinds.count("image") == 9
        *others, asked = line["images"]
        assert asked not in others
        assert all(Image.open(made.folder / path).format == "JPEG" for path in line["images"])


def test_sharegpt_marks_each_picture_and_nothing_else(write):
    made = write(plan={"format": "sharegpt", "repeats": 2}, k=10)
    assert len({line["id"] for line in made.train}) == len(made.train)
    for line in made.train:
        assert line["system"].startswith("You are an expert in telling apart shades.")
        human, answer = line["conversations"]
        assert (human["from"], answer["from"]) == ("human", "gpt")
        assert human["value"].count("<image>") == 1
        assert "< image>" in human["value"]
        assert re.fullmatch("[A-J]", answer["value"])
        assert (made.folder / line["image"]).is_file()


def test_the_manifest_tells_what_it_is(write, shades):
    made = write(plan={"repeats": 2, "eval_share": 0.25, "seed": 5}, k=3)
    told = Manifest.model_validate_json((made.folder / MANIFEST).read_text())
    assert told == made.manifest
    memory = open_memory(shades, "shades")
    assert (told.memory, told.generation, told.domain) == ("shades", 1, "shades")
    assert told.encoder == memory.fingerprint.identity
    assert told.prompt_hash == load_prompt("choice@1", shades).sha256
    assert (told.k, told.plan.seed, told.output) == (3, 5, "letter")
    assert (told.train.exemplars, told.eval.exemplars) == (90, 30)
    assert (told.train.conversations, told.eval.conversations) == (180, 60)
    left = leave_out(memory)
    assert told.train.added + told.eval.added == int((left.places >= 3).sum()) > 0


@pytest.fixture
def bare(tmp_path):
    """RAR_HOME with a memory that keeps no thumbnails."""
    home = tmp_path / "bare"
    samples = []
    for c, i in PLACES:
        path = tmp_path / f"{c}-{i}.png"
        shade(c, i).save(path)
        samples.append(Sample(Category(name=f"shade {c}"), path, str(path)))
    create_memory(home, "shades", TinyEncoder(), SampleReader(samples))
    return home


def test_a_file_counts_only_if_it_is_the_very_image(bare, tmp_path):
    for i in range(EACH):
        (tmp_path / f"1-{i}.png").unlink()
        shade(2, 50 + i).save(tmp_path / f"3-{i}.png")
    asked = load_settings(home=bare, memory="shades", ranker="choice", device="cpu")
    made = export(asked, Plan(), tmp_path / "out")
    assert made.train.no_picture + made.eval.no_picture == 2 * EACH
    assert made.train.exemplars + made.eval.exemplars == ALL - 2 * EACH
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="there is no picture to train on"):
        export(asked, Plan(), tmp_path / "none")
    assert not [p for p in tmp_path.iterdir() if "none" in p.name]


def test_no_folder_is_overwritten_and_a_half_one_never_appears(shades, tmp_path):
    asked = load_settings(home=shades, memory="shades", ranker="choice", device="cpu")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        export(asked, Plan(), tmp_path / "there")

    def stop(done, total):
        assert total == ALL
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(asked, Plan(), tmp_path / "half", stop)
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("changed", "plan", "error", "says"),
    [
        ({"ranker": "listwise", "prompt": "describe@1"}, {}, ConfigurationError, "no memory holds"),
        ({"prompt": "rank@1"}, {}, ConfigurationError, "cannot read"),
        ({"k": 1}, {}, InputError, "leaves nothing to rank"),
        ({}, {"disjoint": True, "eval_share": 0.05}, InputError, "two are needed"),
        ({}, {"eval_share": 1.0}, InputError, "not valid"),
    ],
)
def test_what_cannot_be_exported(shades, tmp_path, changed, plan, error, says):
    asked = {"home": shades, "memory": "shades", "ranker": "choice", "device": "cpu", **changed}
    with pytest.raises(error, match=says):
        export(load_settings(**asked), Plan(**plan), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_trl_lines_load_as_a_data_set_with_pictures(write):
    datasets = pytest.importorskip("datasets")
    made = write(plan={"repeats": 2})
    loaded = datasets.load_dataset(
        "json",
        data_files={side: str(made.folder / f"{side}.jsonl") for side in SIDES},
        cache_dir=str(made.folder.parent / "cache"),
    )
    assert loaded["train"].num_rows == len(made.train)
    rooted = loaded["train"].map(
        lambda row: {"images": [str(made.folder / path) for path in row["images"]]}
    )
    first = rooted.cast_column("images", datasets.List(datasets.Image()))[0]
    assert first["images"][0].size == shade(0, 0).size
    assert [m["role"] for m in first["messages"]] == ["system", "user", "assistant"]
