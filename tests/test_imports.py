"""Who may import whom. The rule is this test; docs/architecture.md explains it."""

import ast
from pathlib import Path

import pytest

import rar_agent

PACKAGE = Path(__file__).parents[1] / "rar_agent"
EVERYONE = {
    "types",
    "errors",
    "addresses",
    "settings",
    "telemetry",
    "forks",
    "durable",
    "garbage",
    "locks",
}
BELOW = {
    "types": set(),
    "errors": set(),
    "addresses": set(),
    "settings": set(),
    "telemetry": set(),
    "forks": set(),
    "durable": set(),
    "garbage": set(),
    "locks": set(),
    "loop": set(),
    "content": set(),
    "example": set(),
    "images": set(),
    "device": set(),
    "pretrained": set(),
    "encoders": {"images", "device"},
    "memory": {"encoders", "images", "engine"},
    "prompts": {"content", "images"},
    "models": {"loop", "prompts", "images", "device", "pretrained"},
    "ranking": {"loop", "models", "prompts", "images"},
    "graph": {"memory", "ranking", "encoders", "images", "models", "prompts", "loop", "detection"},
    "recognizer": {"graph", "memory", "ranking", "images", "loop", "detection", "engine"},
    "batch": set(),
    "detection": {"images", "device", "pretrained"},
    "evaluation": {"recognizer", "batch", "graph", "memory", "ranking", "encoders", "images"}
    | {"models", "prompts", "content", "words", "loop", "detection"},
    "sheet": {"images"},
    "words": set(),
    "explained": {"graph", "models", "images", "words"},
    "doctor": {"graph", "memory", "encoders", "prompts", "models", "device"},
    "finetune": {"graph", "memory", "ranking", "encoders", "images", "models", "prompts"}
    | {"pretrained"},
    "agents": {"recognizer", "graph", "memory", "models", "prompts", "images", "loop"}
    | {"detection"},
    "ui": {"recognizer", "graph", "memory", "encoders", "images", "prompts", "words", "explained"}
    | {"detection"},
    "engine": set(),
    "scale": {"recognizer", "batch", "graph", "memory", "encoders", "images", "models", "loop"}
    | {"durable", "locks"},
    "cli": {"recognizer", "memory", "encoders", "images", "sheet", "doctor", "example"}
    | {"graph", "models", "prompts", "finetune", "words", "explained", "ui", "agents"}
    | {"evaluation", "detection", "engine", "scale"},
}


def imports():
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names = [node.module or ""]
            for name in names:
                if name.startswith("rar_agent."):
                    yield path, part, name.split(".")[1]
                elif name == "rar_agent" and isinstance(node, ast.ImportFrom):
                    for alias in node.names:  # public names, and modules
                        yield path, part, rar_agent._HOMES.get(alias.name, alias.name)


def test_imports_go_down_only():
    for path, part, imported in imports():
        if part in ("__init__", imported):
            continue
        assert imported in BELOW[part] | EVERYONE | {"__version__"}, (
            f"{path} ({part}) imports {imported}"
        )


def test_only_its_command_imports_the_page():
    importing = {path.relative_to(PACKAGE).as_posix() for path, _, of in imports() if of == "ui"}
    assert {path for path in importing if not path.startswith("ui/")} == {"cli/ui.py"}


def test_every_part_is_in_the_rule():
    parts = {
        p.name.removesuffix(".py")
        for p in PACKAGE.iterdir()
        if not p.name.startswith("_") and (p.suffix == ".py" or (p / "__init__.py").exists())
    }
    assert parts == set(BELOW)


@pytest.mark.parametrize("library", ["pickle", "joblib", "shelve", "marshal"])
def test_nothing_is_pickled(library):
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert library not in [alias.name for alias in node.names], path
            if isinstance(node, ast.ImportFrom):
                assert node.module != library, path


def test_modules_stay_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py"))
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 150
