"""What a process has imported when it is done: a start is as long as that takes."""

import subprocess
import sys

import pytest

LISTED = """
import sys
from rar_agent.cli import main
sys.argv = ["rar-agent", *{arguments}]
try:
    main()
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""

UNUSED = (
    *("open_clip", "timm", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "triton"),
    *("transformers", "sentence_transformers", "huggingface_hub", "tokenizers"),
    *("scipy.stats", "scipy.optimize", "faiss", "sklearn", "pandas", "datasets", "skimage"),
    *("langchain", "langchain_openai", "langgraph", "langgraph.graph", "langsmith"),
    *("langchain_core.runnables", "langchain_core.callbacks", "openai", "mcp", "gradio"),
    *("rar_agent.models", "rar_agent.agents", "rar_agent.ui", "rar_agent.evaluation"),
)
"""Libraries and parts that the builtin encoder, a ready memory and no model have no use for."""


def loaded(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.splitlines())


@pytest.mark.parametrize("arguments", [["--example"], ["--example", "--json"]])
def test_a_first_answer_loads_nothing_that_it_does_not_use(arguments):
    answer, modules = loaded(LISTED.format(arguments=["recognize", *arguments]))
    assert "tabby" in answer
    assert {"torch", "rar_agent.encoders.builtin"} <= modules
    assert modules.isdisjoint(UNUSED), sorted(modules & set(UNUSED))


def test_the_names_of_imagenet_are_read_without_timm():
    code = """
import sys
from rar_agent.encoders.imagenet import imagenet_categories
assert len(imagenet_categories()) == 1000
print(*sys.modules, sep="\\n", file=sys.stderr)
"""
    assert loaded(code)[1].isdisjoint({"timm", "torch"})


def test_importing_the_package_loads_nothing_but_python_itself():
    code = """
import sys
before = set(sys.modules)
import rar_agent
print(*set(sys.modules) - before, sep="\\n", file=sys.stderr)
"""
    modules = loaded(code)[1]
    foreign = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert foreign == {"rar_agent"}
    assert modules & {f"rar_agent.{part}" for part in ("settings", "types", "memory")} == set()
