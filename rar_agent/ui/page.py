"""The page: its tabs, its looks."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from rar_agent.images import Policy
from rar_agent.ui.desk import Desk
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.tabs import browse, prompts, recognise, teach
from rar_agent.ui.teach import NEW

_FORGET_S = 3_600  # uploads that are older


def theme() -> gr.themes.Base:
    """System fonts, since others would be fetched; contrasts of 4.5 and more."""
    hue = gr.themes.colors.indigo
    return gr.themes.Default(
        primary_hue=hue,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
    )


def head() -> str:
    """Styles and script; Gradio would put a prefix before each selector of its own `css`."""
    style, *scripts = (
        Path(__file__).with_name(name).read_text("utf-8")
        for name in ("style.css", "page.js", "boxes.js")
    )
    return f"<style>{style}</style>" + "".join(f"<script>{one}</script>" for one in scripts)


def build(desk: Desk) -> gr.Blocks:
    """Lay the page out."""
    pictures = Pictures(Policy.of(desk.settings))
    with gr.Blocks(
        title="rar-agent", analytics_enabled=False, delete_cache=(_FORGET_S // 6, _FORGET_S)
    ) as page:
        gr.HTML("<h1>rar-agent</h1>")
        with gr.Tabs():
            with gr.Tab("Recognise"):
                recognised = recognise.tab(desk, pictures)
            with gr.Tab("Teach"):
                taught = teach.tab(desk, pictures, recognised)
            with gr.Tab("Browse"):
                browsed = browse.tab(desk, pictures)
            with gr.Tab("Prompts"):
                compared, *asked = prompts.tab(desk, pictures, recognised.asking)

        memories = [recognised.asking.memory, browsed, compared]
        references = [recognised.asking.prompt, *asked]

        def newest() -> list[object]:
            """What may be chosen by now: others teach and write prompts too."""
            into = gr.update(choices=[*desk.teachable(), NEW])
            of, by = gr.update(choices=desk.memories()), gr.update(choices=desk.prompts())
            return [into, *[of] * len(memories), *[by] * len(references)]

        boxes = [taught, *memories, *references]
        page.load(newest, None, boxes, show_progress="hidden", api_visibility="private")
    return page
