"""Writers in processes of their own, which may die at any line."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
_IMPORTS = """
import os, signal, sys, time
from pathlib import Path
from rar_agent.memory import add_to_memory, create_memory, open_memory
from rar_agent.scale.milvus.migrate import migrate
from rar_agent.scale.milvus.origin import MilvusOrigin
from rar_agent.scale.milvus.rows import Rows
import rar_agent.scale.milvus.rows as rows
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.test_equivalence import photos
home, address = Path(sys.argv[1]), sys.argv[2]
"""


def start(code, home, address):
    """Run some lines with a memory at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", _IMPORTS + code, str(home), address],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code, home, address):
    """The same, to its end: status, output, errors."""
    process = start(code, home, address)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err
