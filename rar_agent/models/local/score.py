"""Exact log-probabilities of given answers, without generating any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rar_agent.models.local.backend import Backend, Conversation
from rar_agent.models.local.messages import InvalidRequestError


def score(
    backend: Backend,
    conversations: Sequence[Conversation],
    images: Sequence[Sequence[Image.Image]],
    options: Sequence[Sequence[str]],
) -> list[list[float]]:
    """Log-probabilities of answers to each conversation; the caller holds the backend's lock.

    Where all options are single tokens, one pass over all prompts gives them all. Else prompts go
    one at a time: a pass over the prompt, and one over its options' tokens in a batch that shares
    the prompt's keys and values. Where a cache cannot be shared (linear attention,
    cross-attention) that second pass is over whole sequences.

    Args:
        backend: The model.
        conversations: One prompt each.
        images: Of each conversation.
        options: Of each conversation.
    """
    prompts, answers = [], []
    for conversation, own in zip(conversations, options, strict=True):
        prompt, ids = _tokenized(backend, conversation, own)
        prompts.append(prompt)
        answers.append(ids)
    with torch.inference_mode():
        if all(len(ids) == 1 for own in answers for ids in own):
            first = _first_tokens(backend, backend.inputs(prompts, images))[0].tolist()
            pairs = zip(first, answers, strict=True)
            return [[row[ids[0]] for ids in own] for row, own in pairs]
        return [
            _score_one(backend, backend.inputs([prompt], [pictures]), ids)
            for prompt, pictures, ids in zip(prompts, images, answers, strict=True)
        ]


def _tokenized(
    backend: Backend, conversation: Conversation, options: Sequence[str]
) -> tuple[str, list[list[int]]]:
    """The prompt, and each option's tokens where the chat template puts an answer."""
    prompt = backend.render(conversation)
    answered = backend.render(conversation, answer="A")
    lead = ""
    if answered.startswith(prompt):
        lead = answered[len(prompt) :].partition("A")[0]
    if lead.strip():  # an empty thought, say: it is the template's, not the answer's
        prompt, lead = prompt + lead, ""
    # A space before the answer is one token with the answer's first word, so part of it.
    turn = backend.last_turn(prompt)
    plain = [backend.plain(option) for option in options]
    start, *whole = backend.ids([turn, *(turn + lead + option for option in plain)])
    apart = backend.ids(plain)  # where the turn's last characters and an option's first merge
    answers = [
        ids[len(start) :] if ids[: len(start)] == start else own
        for ids, own in zip(whole, apart, strict=True)
    ]
    empty = [option for option, ids in zip(options, answers, strict=True) if not ids]
    if empty:
        raise InvalidRequestError(f"Option {empty[0]!r} has no tokens.", "Leave it out.")
    return prompt, answers


def _first_tokens(backend: Backend, inputs: Any) -> tuple[torch.Tensor, Any]:  # noqa: ANN401
    """(n, words) log-probabilities of an answer's first token, and the prompts' cache."""
    core: Any = getattr(backend.model, "model", None)
    if hasattr(core, "rope_deltas"):  # else those of the last prompt with images stay
        core.rope_deltas = None
    out = backend.model(**inputs, use_cache=True, logits_to_keep=1)
    return out.logits[:, -1].float().log_softmax(-1), out.past_key_values


def _score_one(
    backend: Backend,
    inputs: Any,  # noqa: ANN401
    answers: Sequence[Sequence[int]],
) -> list[float]:
    first, cache = _first_tokens(backend, inputs)
    ids, mask = _padded(answers, backend.model.device)
    total: torch.Tensor = first[0, ids[:, 0]]
    if ids.shape[1] == 1:
        return [float(score) for score in total]
    growing = all(type(x) in (DynamicLayer, DynamicSlidingWindowLayer) for x in cache.layers)
    if growing and "cross_attention_mask" not in inputs:
        places = _places(backend, cache.get_seq_length(), ids[:, :-1])
        cache.batch_repeat_interleave(len(answers))
        # Needs no mask: nothing is padded on the left.
        out = backend.model(input_ids=ids[:, :-1], past_key_values=cache, use_cache=True, **places)
    else:
        whole = _whole_sequences(inputs, ids[:, :-1], mask[:, :-1])
        out = backend.model(**whole, use_cache=False, logits_to_keep=ids.shape[1] - 1)
    later = out.logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    return [float(score) for score in total + (later * mask[:, 1:]).sum(dim=1)]


def _places(backend: Backend, start: int, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Positions of answers after a prompt, where an image takes fewer than it has tokens (Qwen)."""
    core: Any = getattr(backend.model, "model", None)
    if getattr(core, "rope_deltas", None) is None:
        return {}
    places = torch.arange(start, start + ids.shape[1], device=ids.device) + core.rope_deltas
    return {"position_ids": places.expand(3, *ids.shape)}


def _whole_sequences(inputs: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """One prompt's inputs, repeated and followed by each answer's (n, m) tokens."""
    count, extra = ids.shape
    length = inputs["input_ids"].shape[1]
    whole = {}
    for name, value in inputs.items():
        repeated = value.repeat(count, *[1] * (value.dim() - 1))
        if repeated.shape[:2] == (count, length):  # one value a token; the last token is text
            added = {"input_ids": ids, "attention_mask": mask}.get(name)
            if added is None:
                added = repeated[:, -1:].repeat_interleave(extra, dim=1)
            repeated = torch.cat([repeated, added], dim=1)
        whole[name] = repeated
    return whole


def _padded(
    answers: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, m) ids and mask; padding is on the right, where causal attention ignores it."""
    ids = torch.zeros(len(answers), max(map(len, answers)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, own in enumerate(answers):
        ids[row, : len(own)] = torch.tensor(own)
        mask[row, : len(own)] = 1
    return ids.to(device), mask.to(device)
