"""The tab Recognise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import gradio as gr

from rar_agent.ui import render
from rar_agent.ui.boxes import ask as ask_boxes
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.recognise import RETRIEVAL, ask, chosen
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
            photo = photo_box("Photo", "rar-photo")
            boxes = gr.Textbox(
                label="Boxes (optional)",
                info="Click two opposite corners on the photo. Or write left, top, width and "
                "height in pixels, a box a line. Each is recognised by itself.",
                lines=2,
                max_lines=8,
                elem_id="rar-boxes",
            )
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

    gr.on([photo.upload, photo.clear], None, None, boxes, js="() => ''")  # they are another's

    async def recognise(
        written: object, photo: object, memory: object, k: object, model: object, prompt: object
    ) -> AsyncIterator[tuple[object, ...]]:
        text = "Recognising …" if model == RETRIEVAL else f"Recognising, asking {model} …"
        yield render.pending(text), None
        if str(written or "").strip():
            given = (written, memory, k, chosen(model), prompt)
            yield await ask_boxes(desk, pictures, photo, *given), None
        else:
            yield await ask(desk, pictures, photo, memory, k, model, prompt)

    at_once = desk.settings.model_requests
    stoppable(run, stop, [boxes, *asking], answer, [last], recognise, at_once)
    return Tab(asking, answer, last)
