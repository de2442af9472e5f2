"""The tab Teach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import gradio as gr

from rar_agent.ui import render
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.recognise import Last, ask
from rar_agent.ui.tabs.asking import first, output_box
from rar_agent.ui.tabs.recognise import Tab as Recognise
from rar_agent.ui.teach import NEW, lesson, taught, teach


def tab(desk: Desk, pictures: Pictures, recognise: Recognise) -> gr.Dropdown:
    """Lay it out.

    Returns:
        The choice of memory.
    """
    names = [*desk.teachable(), NEW]
    chosen = first(names, desk.settings.memory)
    with gr.Row():
        with gr.Column():
            photos = gr.File(
                label="Photos", file_count="multiple", file_types=["image"], height=200
            )
            name = gr.Textbox(label="Name of the category", max_length=200)
            description = gr.Textbox(
                label="Description (optional)",
                info="One sentence that tells it from its neighbours.",
            )
            parent = gr.Textbox(label="Parent (optional)", info="The branch that it is in.")
            memory = gr.Dropdown(names, value=chosen, label="Into memory")
            with gr.Group(visible=chosen == NEW) as about_new:
                new_name = gr.Textbox(label="Name of the new memory", max_length=64)
                domain = gr.Textbox(
                    label="What kind of categories (optional)", info="Such as: bird species."
                )
            run = gr.Button("Teach", variant="primary")
        with gr.Column():
            gr.HTML("<h2>What was learnt</h2>")
            output = output_box("rar-taught", "Nothing yet.")
    memory.change(
        lambda chosen: gr.update(visible=chosen == NEW),
        memory,
        about_new,
        preprocess=False,
        show_progress="hidden",
        api_visibility="private",
    )

    async def learn(
        before: Last | None, photo: object, k: object, model: object, prompt: object, *form: object
    ) -> AsyncIterator[dict[object, object]]:
        yield {output: render.pending("Learning …"), run: gr.update(interactive=False)}
        done: dict[object, object] = {run: gr.update(interactive=True)}
        try:
            wanted = await asyncio.to_thread(lesson, desk, *form)
            report = await asyncio.to_thread(teach, desk, wanted)
            now, names = None, desk.teachable()
            done[memory] = gr.update(choices=[*names, NEW], value=wanted.memory)
            done[recognise.asking.memory] = gr.update(choices=desk.memories(), value=wanted.memory)
            done |= dict.fromkeys((photos, name, description, parent, new_name), None)
            if photo:
                html, now = await _now(desk, pictures, photo, wanted.memory, k, model, prompt)
                done |= {recognise.answer: html, recognise.last: now}
            done[output] = await asyncio.to_thread(taught, desk, wanted, report, before, now)
        except Exception as error:  # a page shows sentences
            done[output] = render.sentence(error)
        yield done

    asking = recognise.asking
    form = [memory, new_name, domain, name, description, parent, photos]
    run.click(
        learn,
        [recognise.last, asking.photo, asking.k, asking.model, asking.prompt, *form],
        [
            *(output, run, recognise.answer, recognise.last, asking.memory),
            *(memory, photos, name, description, parent, new_name),
        ],
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=1,
        api_visibility="private",
    )
    return memory


async def _now(desk: Desk, pictures: Pictures, *asked: object) -> tuple[str, Last | None]:
    """The answer to the last photo now; that it cannot be had changes nothing that was taught."""
    photo, memory, k, model, prompt = asked
    try:
        return await ask(desk, pictures, photo, memory, k, model, prompt)
    except Exception as error:  # a page shows sentences
        return render.sentence(error), None
