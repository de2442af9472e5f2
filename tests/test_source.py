"""What no source may do, read from its syntax: run text as code, load what can run, skip checks."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = ("rar_agent", "graphs", "examples", "benchmarks", "evals", "requirements", "tests")
"""Folders whose Python is read."""

PICKLES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
AS_CODE = {"eval", "exec", "compile", "__import__"}
SHELLS = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("asyncio.create_subprocess_shell", "pty.spawn"),
}
UNSAFE_YAML = {
    *("unsafe_load", "unsafe_load_all", "full_load", "full_load_all"),
    *("Loader", "CLoader", "UnsafeLoader", "FullLoader"),
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}
RUNS_WHAT_IT_LOADS = {"torch.hub.load", "torch.jit.load", "torch.package.PackageImporter"}
READS_PICKLES = {"read_pickle", "to_pickle"}
UNVERIFIED = {"ssl._create_unverified_context", "ssl.CERT_NONE"}
MUST_BE = {
    "shell": False,
    "allow_pickle": False,
    "trust_remote_code": False,
    "use_safetensors": True,
    "weights_only": True,
}
MAY_NOT_BE_FALSE = {"verify", "check_hostname"}
"""Values of arguments, of keys and of attributes, wherever they are given."""

ALLOWED = {
    ("rar_agent/__init__.py", "import_module"): "names from a table of this package",
    ("rar_agent/agents/__init__.py", "import_module"): "names from a table of this package",
    ("rar_agent/graph/__init__.py", "import_module"): "names from a table of this package",
    ("rar_agent/cli/lazy.py", "import_module"): "names from a table of this package",
    ("rar_agent/engine.py", "import_module"): "names from a table of this package",
    ("rar_agent/memory/exchange/parts.py", "import_module"): "its callers name libraries",
    ("rar_agent/memory/format/origin.py", "import_module"): "names from a table of this package",
    ("rar_agent/ui/guard.py", "http://"): "compared with the Origin of a request",
    ("rar_agent/ui/server.py", "http://"): "the page's own address, shown to who started it",
    ("rar_agent/cli/mcp.py", "http://"): "the server's own address, shown to who started it",
    ("rar_agent/cli/show.py", "http://"): "an example of a local server, in a help text",
    ("rar_agent/images/admit.py", "http://"): "recognised, to be refused: only https is fetched",
    ("rar_agent/agents/mcp/images.py", "http://"): "recognised, to be refused by admit",
    ("rar_agent/memory/readers/cell.py", "http://"): "recognised, to be refused by admit",
    ("tests/agents/mcp/test_docs.py", "exec"): "runs the examples of docs/",
    ("tests/agents/mcp/test_docs.py", "compile"): "runs the examples of docs/",
    ("tests/agents/test_docs.py", "exec"): "runs the examples of docs/",
    ("tests/cli/test_cli.py", "shell is not False"): "a pipe, as a person types it",
    ("tests/detection/proposers/test_torchvision.py", "pickle"): "plants one, to be refused",
    ("tests/detection/proposers/test_torchvision.py", "pickle.dumps"): "plants one, to be refused",
    ("tests/evaluation/datasets/test_coop.py", "pickle"): "plants one, to be refused",
    ("tests/evaluation/datasets/test_coop.py", "pickle.dumps"): "plants one, to be refused",
    ("tests/memory/exchange/test_export.py", "allow_pickle is not False"): "plants one",
    ("tests/test_weights.py", "pickle"): "plants them, to be refused",
    ("tests/test_weights.py", "pickle.dumps"): "plants them, to be refused",
}
"""File and rule of what is meant as it is, with the reason. Tests speak http to loopback."""

GUARDS = {
    ("rar_agent/cli/datasets.py", "load_dataset"): "a card: files, read by the kinds below",
    ("rar_agent/detection/proposers/torchvision_files.py", "download_url_to_file"): (
        "RAR_DOWNLOAD; https, with the hash in torchvision's file name"
    ),
    ("rar_agent/detection/proposers/torchvision_files.py", "load"): "weights_only=True",
    ("rar_agent/detection/proposers/zero_shot_files.py", "from_pretrained"): (
        "safetensors alone; no code of the hub's; RAR_DOWNLOAD"
    ),
    ("rar_agent/encoders/builtin.py", "load"): "sha256 pinned; weights_only=True",
    ("rar_agent/encoders/builtin_text.py", "SentenceTransformer"): (
        "sha256 pinned; safetensors alone; no code of the hub's; nothing fetched"
    ),
    ("rar_agent/encoders/open_clip.py", "create_model_from_pretrained"): (
        "weights_only=True, safetensors first; RAR_DOWNLOAD; what was loaded is hashed into the "
        "fingerprint, which a memory pins"
    ),
    ("rar_agent/encoders/open_clip.py", "get_tokenizer"): "RAR_DOWNLOAD; its tokens are hashed too",
    ("rar_agent/evaluation/metrics/sentences.py", "SentenceTransformer"): (
        "safetensors alone; no code of the hub's; RAR_DOWNLOAD"
    ),
    ("rar_agent/evaluation/publish.py", "load_dataset"): "a card",
    ("rar_agent/evaluation/run.py", "load_dataset"): "a card",
    ("rar_agent/finetune/lora.py", "from_pretrained"): "JSON; of a model that was loaded already",
    ("rar_agent/memory/exchange/exported.py", "load"): "allow_pickle=False",
    ("rar_agent/memory/format/files.py", "memmap"): "raw numbers, of the size in the manifest",
    ("rar_agent/memory/index/limits.py", "read_index"): "no part longer than the file",
    ("rar_agent/memory/index/read.py", "read_index"): "limits.read_index; Trust.may_parse",
    ("rar_agent/memory/readers/dataset_loading.py", "load_dataset"): (
        "datasets from 4 on runs no code of a data set's; RAR_DOWNLOAD"
    ),
    ("rar_agent/memory/readers/dataset_loading.py", "load_from_disk"): "Arrow and JSON",
    ("rar_agent/memory/scoring/stored.py", "read_array"): (
        "allow_pickle=False; numbers alone, of the length in the archive"
    ),
    ("rar_agent/scale/ray/encoding.py", "load"): "allow_pickle=False",
    ("rar_agent/models/local/load.py", "from_pretrained"): (
        "safetensors alone; no code of the hub's; RAR_DOWNLOAD"
    ),
}
"""File and name of every call that loads weights, indexes, arrays or data sets, and its guard."""

LOADS = {
    *("from_pretrained", "create_model_from_pretrained", "get_tokenizer", "SentenceTransformer"),
    *("create_model_and_transforms", "read_index", "deserialize_index", "pipeline"),
    *(
        "load_dataset",
        "load_from_disk",
        "load_file",
        "safe_open",
        "memmap",
        "load_state_dict_from_url",
    ),
    *("download_url_to_file", "hf_hub_download", "snapshot_download", "urlretrieve", "fromfile"),
    "read_array",
}
LOAD = ("torch.load", "numpy.load")


class Names(ast.NodeVisitor):
    """What the names of a module stand for."""

    def __init__(self, tree):
        self.known = {}
        self.visit(tree)

    def visit_Import(self, node):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            self.known[alias.asname or whole] = whole

    def visit_ImportFrom(self, node):
        for alias in node.names:
            self.known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def of(self, node):
        """The dotted name of an expression; empty where it has none."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{before}.{node.attr}" if (before := self.of(node.value)) else f"?.{node.attr}"
        return ""


def is_literal(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def faults(tree):
    """What a module does that none may: the line, and the rule that it breaks."""
    names = Names(tree)
    texts = {  # docstrings and the like: nobody fetches them
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        for rule in (*_imported(node), *_named(node, names), *_called(node, names), *_given(node)):
            yield node.lineno, rule
        if (
            isinstance(node, ast.Constant)
            and id(node) not in texts
            and "http://" in str(node.value)
        ):
            yield node.lineno, "http://"


def _imported(node):
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names if a.name.partition(".")[0] in PICKLES)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLES:
        yield node.module


def _named(node, names):
    """Used by its name, called or handed on."""
    if isinstance(node, ast.Name | ast.Attribute):
        name = names.of(node)
        if name in SHELLS | UNVERIFIED | RUNS_WHAT_IT_LOADS | {"tempfile.mktemp"}:
            yield name
        first, _, last = name.rpartition(".")
        if (first == "yaml" and last in UNSAFE_YAML) or last in READS_PICKLES:
            yield name
        if PICKLES & {*name.split(".")}:
            yield name


def _called(node, names):
    if not isinstance(node, ast.Call):
        return
    name = names.of(node.func)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in AS_CODE or name.removeprefix("builtins.") in AS_CODE:
        yield name
    if name.endswith(".eval") and (node.args or node.keywords):  # without, it is torch's
        yield "eval"
    if name in ("yaml.load", "yaml.load_all"):
        loader = given.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        if loader is None or names.of(loader) not in SAFE_LOADERS:
            yield name
    if name == "torch.load" and "weights_only" not in given:
        yield name
    if name == "importlib.import_module" and not isinstance(node.args[0], ast.Constant):
        yield "import_module"
    if name in ("importlib.import_module", "importlib.util.find_spec") and node.args:
        said = node.args[0]
        if isinstance(said, ast.Constant) and said.value.partition(".")[0] in PICKLES:
            yield said.value


def _given(node):
    pairs = []
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        pairs = [
            (key.value, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
    elif isinstance(node, ast.Assign):
        pairs = [
            (target.attr if isinstance(target, ast.Attribute) else target.slice.value, node.value)
            for target in node.targets
            if isinstance(target, ast.Attribute)
            or (isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant))
        ]
    for name, value in pairs:
        if isinstance(name, str) and name in MUST_BE and not is_literal(value, MUST_BE[name]):
            yield f"{name} is not {MUST_BE[name]}"
        if isinstance(name, str) and name in MAY_NOT_BE_FALSE and is_literal(value, False):
            yield f"{name} is False"


def loading(tree):
    """Names of what a module calls to load files of others."""
    names = Names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = names.of(node.func)
            if name in LOAD or name.rpartition(".")[2] in LOADS:
                yield name


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def test_no_source_does_what_none_may():
    found = {}
    for file, tree in sources(*READ):
        for line, rule in faults(tree):
            if not (rule == "http://" and not file.startswith("rar_agent/")):
                found.setdefault((file, rule), []).append(line)
    assert {place: lines for place, lines in found.items() if place not in ALLOWED} == {}
    assert ALLOWED.keys() <= found.keys(), "an exception that nothing needs any more"


def test_every_call_that_loads_something_is_known_with_its_guard():
    found = {
        (file, name.rpartition(".")[2])
        for file, tree in sources("rar_agent", "graphs")
        for name in loading(tree)
    }
    assert found == GUARDS.keys()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("import torch\nload = torch.serialization.pickle.load", "torch.serialization.pickle"),
        ("import importlib\nimportlib.import_module('dill')", "dill"),
        ("import importlib\nimportlib.import_module(said)", "import_module"),
        ("from importlib import import_module as get\nget(said)", "import_module"),
        ("eval(said)", "eval"),
        ("import builtins\nbuiltins.exec(said)", "builtins.exec"),
        ("compile(said, 'x', 'exec')", "compile"),
        ("frame.eval('a + b')", "eval"),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import popen as p\np('ls')", "os.popen"),
        ("import subprocess as s\ns.run(said, shell=True)", "shell is not False"),
        ("import subprocess\nsubprocess.run(said, shell=asked)", "shell is not False"),
        ("options = {'shell': True}", "shell is not False"),
        ("import yaml\nyaml.load(text)", "yaml.load"),
        ("from yaml import load\nload(text, Loader=print)", "yaml.load"),
        ("import yaml\nyaml.load(text, yaml.FullLoader)", "yaml.FullLoader"),
        ("import yaml\nyaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("import numpy as np\nnp.load(file, allow_pickle=True)", "allow_pickle is not False"),
        ("import torch\ntorch.load(file)", "torch.load"),
        ("import torch\ntorch.load(file, weights_only=False)", "weights_only is not True"),
        ("import torch\ntorch.hub.load('a/b', 'c')", "torch.hub.load"),
        ("import pandas as pd\npd.read_pickle(file)", "pandas.read_pickle"),
        ("Model.from_pretrained(a, trust_remote_code=True)", "trust_remote_code is not False"),
        ("common = {'trust_remote_code': asked}", "trust_remote_code is not False"),
        ("common['trust_remote_code'] = True", "trust_remote_code is not False"),
        ("import httpx\nhttpx.get(url, verify=False)", "verify is False"),
        ("context.check_hostname = False", "check_hostname is False"),
        ("import ssl\ncontext.verify_mode = ssl.CERT_NONE", "ssl.CERT_NONE"),
        ("import tempfile\ntempfile.mktemp()", "tempfile.mktemp"),
        ("import httpx\nhttpx.get(f'http://{host}/')", "http://"),
    ],
)
def test_each_rule_finds_what_breaks_it(text, rule):
    assert rule in {found for _, found in faults(ast.parse(text))}


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "import re\nre.compile('a')",
        "graph.compile(name='a')",
        "import yaml\nyaml.safe_load(text)\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import torch\ntorch.load(file, map_location='cpu', weights_only=True)",
        "import numpy as np\nnp.load(file)\nnp.load(file, allow_pickle=False)",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "common = {'trust_remote_code': False}",
        '"""See http://example.org."""',
    ],
)
def test_what_is_safe_is_let_be(text):
    assert list(faults(ast.parse(text))) == []


@pytest.mark.parametrize(
    "text",
    ["import numpy as np\nnp.load(file)", "from faiss import read_index as r\nr(file)"],
)
def test_a_new_call_that_loads_something_is_found(text):
    assert len(list(loading(ast.parse(text)))) == 1
