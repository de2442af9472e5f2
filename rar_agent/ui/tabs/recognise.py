"""The tab Recognise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import gradio as gr

from rar_agent.ui import render
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.recognise import RETRIEVAL, ask
from rar_agent.ui.tabs.asking import (
    Asking,
    candidates_box,
    memory_box,
    output_box,
    photo_box,
    prompt_box,
    stoppable,
)


class Tab(NamedTuple):
    """What other tabs need of this one."""

    asking: Asking
    answer: gr.HTML
    last: gr.State


def tab(desk: Desk, pictures: Pictures) -> Tab:
    """Lay it out."""
    models = [RETRIEVAL, *([desk.model] if desk.model else [])]
    with gr.Row():
        with gr.Column():
            photo = photo_box("Photo")
            memory, k = memory_box(desk, desk.memories()), candidates_box(desk)
            model = gr.Dropdown(models, value=models[-1], label="Ranked by")
            prompt = prompt_box(desk, "Prompt", visible=desk.model is not None)
            with gr.Row():
                run = gr.Button("Recognise", variant="primary")
                stop = gr.Button("Stop", interactive=False)
        with gr.Column():
            gr.HTML("<h2>Answer</h2>")
            answer = output_box("rar-answer", "Add a photo, then Recognise.")
    last = gr.State(None)
    asking = Asking(photo, memory, k, model, prompt)

    async def recognise(photo: object, *chosen: object) -> AsyncIterator[tuple[object, ...]]:
        text = "Recognising …" if chosen[2] == RETRIEVAL else f"Recognising, asking {chosen[2]} …"
        yield render.pending(text), None
        yield await ask(desk, pictures, photo, *chosen)

    at_once = desk.settings.model_requests
    stoppable(run, stop, asking, answer, [last], recognise, at_once)
    return Tab(asking, answer, last)
