"""Answers of a model in this process are kept like others, until its files change."""

import os

from rar_agent.models import Question, load_chat_model
from rar_agent.prompts import Message
from rar_agent.settings import load_settings


def test_an_answer_belongs_to_the_weights_it_came_from(folders, tmp_path):
    folder = folders("llava")

    def ask(**options):
        settings = load_settings(
            model=f"local:{folder}", device="cpu", home=tmp_path, cache_mb=10, **options
        )
        return load_chat_model(settings).ask(question).usage

    question = Question((Message("user", ("Which?",)),), letters=("A", "B"))
    paid = ask()
    assert (paid.cost, paid.cached) == (0, 0)
    assert ask() == paid.again
    assert paid.again.whole == paid.whole
    assert ask(model_precision="bf16").cached == 0
    status = (folder / "model.safetensors").stat()
    later = status.st_mtime_ns + 60_000_000_000
    os.utime(folder / "model.safetensors", ns=(later, later))
    assert ask().cached == 0
    os.utime(folder / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ask().cached == 1
