import subprocess
import sys

import pytest

import rar_agent


@pytest.mark.parametrize("name", rar_agent.__all__)
def test_every_public_name_is_there(name):
    assert getattr(rar_agent, name) is not None


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="nosuch"):
        _ = rar_agent.nosuch


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_is_light():
    heavy = "'torch', 'faiss', 'langchain', 'langgraph', 'pydantic', 'PIL', 'numpy'"
    assert (
        run(f"import sys, rar_agent; print([m for m in ({heavy}) if m in sys.modules])") == "[]\n"
    )


def test_recognizing_with_the_builtin_encoder_leaves_other_encoders_alone(photo):
    code = (
        "import sys; from rar_agent import Recognizer; "
        f"print(Recognizer().recognize({str(photo)!r}).label); "
        "print([m for m in ('open_clip', 'transformers', 'langchain_openai') if m in sys.modules])"
    )
    assert run(code) == "Egyptian cat\n[]\n"
