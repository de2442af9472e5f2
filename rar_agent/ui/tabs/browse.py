"""The tab Browse."""

from __future__ import annotations

import asyncio

import gradio as gr

from rar_agent.ui import render
from rar_agent.ui.browse import show
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.tabs.asking import memory_box, output_box


def tab(desk: Desk, pictures: Pictures) -> gr.Dropdown:
    """Lay it out.

    Returns:
        The choice of memory.
    """
    with gr.Row(equal_height=True):
        memory = memory_box(desk, desk.memories())
        wanted = gr.Textbox(label="Search", info="Name, alias, description or parent.")
    search = gr.Button("Show", variant="primary")
    output = output_box("rar-browsed", "Choose a memory, then Show.")
    with gr.Row():
        back = gr.Button("Previous page", interactive=False)
        on = gr.Button("Next page", interactive=False)
    place = gr.State(1)

    async def turn(name: object, wanted: object, page: int, by: int) -> tuple[object, ...]:
        try:
            opened = await asyncio.to_thread(desk.memory, name)
            html, listed = await asyncio.to_thread(
                show, opened, pictures, str(wanted or ""), page + by
            )
        except Exception as error:  # a page shows sentences
            return render.sentence(error), 1, gr.update(interactive=False), gr.skip()
        first, last = listed.page == 1, listed.page == listed.pages
        return html, listed.page, gr.update(interactive=not first), gr.update(interactive=not last)

    async def begin(name: object, wanted: object) -> tuple[object, ...]:
        return await turn(name, wanted, 1, 0)

    async def onwards(name: object, wanted: object, page: int) -> tuple[object, ...]:
        return await turn(name, wanted, page, 1)

    async def backwards(name: object, wanted: object, page: int) -> tuple[object, ...]:
        return await turn(name, wanted, page, -1)

    outputs = [output, place, back, on]
    for listen in (search.click, wanted.submit):
        listen(begin, [memory, wanted], outputs, **_EVENT)
    on.click(onwards, [memory, wanted, place], outputs, **_EVENT)
    back.click(backwards, [memory, wanted, place], outputs, **_EVENT)
    return memory


_EVENT = {"preprocess": False, "show_progress": "hidden", "api_visibility": "private"}
