"""What several tabs are made of: a photo, what to ask it with, and what can be stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import gradio as gr
from gradio.components import Component

from rar_agent.settings import MOST_CANDIDATES
from rar_agent.ui import render
from rar_agent.ui.desk import Desk


class Asking(NamedTuple):
    """The components that say what is asked, in the order of `Desk.choice` after the photo."""

    photo: gr.Image
    memory: gr.Dropdown
    k: gr.Slider
    model: gr.Dropdown
    prompt: gr.Dropdown


def photo_box(label: str, name: str | None = None) -> gr.Image:
    """Where a photo is dropped, chosen, pasted or taken, under an id."""
    return gr.Image(
        label=label,
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        buttons=["fullscreen"],
        height=300,
        elem_id=name,
    )


def memory_box(desk: Desk, names: Sequence[str]) -> gr.Dropdown:
    """Where one of some memories is chosen."""
    return gr.Dropdown(list(names), value=first(names, desk.settings.memory), label="Memory")


def candidates_box(desk: Desk) -> gr.Slider:
    """How many candidates are asked about."""
    return gr.Slider(1, MOST_CANDIDATES, value=desk.settings.k, step=1, label="Candidates")


def prompt_box(desk: Desk, label: str, visible: bool = True) -> gr.Dropdown:
    """Where a prompt is chosen."""
    usual = desk.settings.ranking_prompt
    return gr.Dropdown(desk.prompts(), value=usual, label=label, visible=visible)


def output_box(name: str, text: str) -> gr.HTML:
    """Where what came of it is shown, under an id; a text for as long as there is nothing."""
    return gr.HTML(f"<p>{text}</p>", elem_id=name, elem_classes="rar-live")


def first(names: Sequence[str], wanted: str) -> str | None:
    """The one that is wanted, if it is there, else the first."""
    return wanted if wanted in names else next(iter(names), None)


def stoppable(
    run: gr.Button,
    stop: gr.Button,
    inputs: Sequence[Component],
    output: gr.HTML,
    others: Sequence[Component],
    work: Callable[..., AsyncIterator[tuple[object, ...]]],
    at_once: int,
) -> None:
    """Have a button run something, and another one stop it.

    Args:
        run: The first.
        stop: The second.
        inputs: Whose values `work` is given, as the browser says them.
        output: Where it shows what came of it.
        others: What else it changes.
        work: Yields the new values of output and others, any number of times; what it raises is
            shown as a sentence.
        at_once: How many may run at the same time.
    """

    async def guarded(*values: object) -> AsyncIterator[tuple[object, ...]]:
        try:
            async for shown in work(*values):
                yield *shown, *_running(True)
            yield *(gr.skip() for _ in (output, *others)), *_running(False)
        except Exception as error:  # a page shows sentences
            kept = (gr.skip() for _ in others)
            yield render.sentence(error), *kept, *_running(False)

    event = run.click(
        guarded,
        list(inputs),
        [output, *others, run, stop],
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=at_once,
        api_visibility="private",
    )
    stop.click(
        lambda: (render.pending("Stopped.", busy=False), *_running(False)),
        None,
        [output, run, stop],
        cancels=[event],
        show_progress="hidden",
        api_visibility="private",
    )


def _running(is_running: bool) -> tuple[object, object]:
    return gr.update(interactive=not is_running), gr.update(interactive=is_running)
