"""Scores against one plain forward pass over each whole sequence."""

import pytest
import torch
from langchain_core.messages import HumanMessage
from transformers import AutoModelForImageTextToText, AutoProcessor

from rar_agent.errors import InputError
from tests.models.local.conftest import conversation, picture, question

NAMES = ["A", "B", "laysan albatross", "sooty", "A black footed albatross."]
FAMILIES = ["llava", "smolvlm", "qwen", "hybrid"]


def template_form(messages):
    """What chat templates take, written without the code under test."""
    roles = {"human": "user", "ai": "assistant", "system": "system"}
    said = []
    for message in messages:
        content = message.content
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kept = [
            {k: v for k, v in block.items() if k not in ("base64", "mime_type")} for block in blocks
        ]
        said.append({"role": roles[message.type], "content": kept})
    return said


@pytest.fixture
def plain(folders):
    """Log-probabilities of an answer's tokens from one forward pass, by transformers alone."""

    def run(family, messages, seeds, answer):
        folder = folders(family)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        said = template_form(messages)
        prompt = processor.apply_chat_template(said, add_generation_prompt=True)
        last = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        whole = processor.apply_chat_template([*said, last])
        whole = whole[: whole.rindex(answer) + len(answer)]
        pictures = [[picture(seed) for seed in seeds]] if seeds else None
        lengths = processor(text=[prompt], images=pictures)["input_ids"]
        inputs = processor(text=[whole], images=pictures, return_tensors="pt")
        start = len(lengths[0])
        with torch.no_grad():
            logprobs = model(**inputs).logits[0].log_softmax(-1)
        ids = inputs["input_ids"][0]
        assert ids[:start].tolist() == list(lengths[0])
        return [float(logprobs[i - 1, ids[i]]) for i in range(start, len(ids))]

    return run


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_a_plain_forward_pass(load, plain, family):
    messages = question(1, 2)
    expected = [sum(plain(family, messages, [1, 2], name)) for name in NAMES]
    assert load(family).score_options(messages, NAMES) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_letters_take_one_pass_and_score_the_same(load, plain, family, monkeypatch):
    messages, model = conversation(3), load(family)
    letters = ["B", "C"]
    assert all(len(plain(family, messages, [3], letter)) == 1 for letter in letters)
    expected = [plain(family, messages, [3], letter)[0] for letter in letters]
    passes = []
    backend = model._backend()
    hook = backend.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        found = model.score_options(messages, letters)
    finally:
        hook.remove()
    assert found == pytest.approx(expected, abs=1e-4)
    assert len(passes) == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [["B", "C"], NAMES], ids=["letters", "names"])
def test_a_batch_scores_as_single_prompts_do(load, family, options):
    model = load(family)
    batch = [question(1, 2), [HumanMessage("Which?")], conversation(5), question(4)]
    asked = [options, options[:2], options[1:], options][: len(batch)]
    single = [model.score_options(*pair) for pair in zip(batch, asked, strict=True)]
    together = model.score_options_batch(batch, asked)
    for one, other in zip(single, together, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_depend_on_images_and_their_order(load, family):
    model = load(family)
    first, swapped, other = (
        model.score_options(question(*s), NAMES) for s in [(1, 2), (2, 1), (1, 3)]
    )
    assert max(abs(a - b) for a, b in zip(first, swapped, strict=True)) > 1e-2
    assert max(abs(a - b) for a, b in zip(first, other, strict=True)) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_without_images_after_one_with_them(load, plain, family):
    messages, model = [HumanMessage("Which bird?")], load(family)
    model.score_options(question(1, 2), NAMES)
    expected = [sum(plain(family, messages, [], name)) for name in NAMES]
    assert model.score_options(messages, NAMES) == pytest.approx(expected, abs=1e-4)


def test_an_empty_thought_of_the_template_is_given_not_scored(load):
    model = load("qwen")
    processor = model._backend().processor
    template = processor.chat_template
    expected = model.score_options(question(1), ["B"])
    thoughtful = template.replace(
        "{{ message['role'] + '\\n' }}",
        "{{ message['role'] + '\\n' }}{% if message['role'] == 'assistant' %}<think></think>"
        "{% endif %}",
    )
    assert thoughtful != template
    try:
        processor.chat_template = thoughtful
        thought = model.score_options(question(1), ["B"])
        opened = template.replace("{{ 'assistant\\n' }}", "{{ 'assistant\\n<think></think>' }}")
        processor.chat_template = opened
        assert model.score_options(question(1), ["B"]) == pytest.approx(thought, abs=1e-4)
    finally:
        processor.chat_template = template
    assert thought != pytest.approx(expected, abs=1e-2)
    assert thought[0] > -12  # one token, not a whole thought


def test_control_tokens_in_options_are_text(load):
    [score] = load("qwen").score_options(question(1), ["<|im_end|>"])
    [ended] = load("qwen").score_options(question(1), ["< |im_end|>"])
    assert score == ended


@pytest.mark.parametrize("options", [[], [""], ["A", ""]])
def test_no_option_is_an_error(load, options):
    with pytest.raises(InputError):
        load("qwen").score_options(question(1), options)
