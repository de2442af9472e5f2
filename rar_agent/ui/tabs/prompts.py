"""The tab Prompts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import gradio as gr

from rar_agent.ui import render
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.prompts import compare
from rar_agent.ui.tabs.asking import (
    Asking,
    candidates_box,
    memory_box,
    output_box,
    photo_box,
    prompt_box,
    stoppable,
)


def tab(
    desk: Desk, pictures: Pictures, asking: Asking
) -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """Lay it out.

    Returns:
        The choices of memory and of both prompts.
    """
    with gr.Row():
        with gr.Column():
            photo = photo_box("Photo (default: the one under Recognise)")
        with gr.Column():
            memory, k = memory_box(desk, desk.memories()), candidates_box(desk)
            one = prompt_box(desk, "Prompt")
            other = prompt_box(desk, "Beside it")
            asks = gr.Checkbox(
                label=f"Ask {desk.model} too" if desk.model else "No model is set to be asked",
                value=False,
                interactive=bool(desk.model),
            )
            with gr.Row():
                run = gr.Button("Compare", variant="primary")
                stop = gr.Button("Stop", interactive=False)
    output = output_box("rar-compared", "Nothing is compared yet.")

    async def work(own: object, usual: object, *asked: object) -> AsyncIterator[tuple[object, ...]]:
        yield (render.pending("Comparing …"),)
        yield (await compare(desk, pictures, own or usual, *asked),)

    inputs = [photo, asking.photo, memory, k, one, other, asks]
    stoppable(run, stop, inputs, output, [], work, desk.settings.model_requests)
    return memory, one, other
