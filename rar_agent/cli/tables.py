"""How a memory looks in a terminal: what it knows, how it scores, what it can promise."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rar_agent.cli.show import err, grid, out, percent
from rar_agent.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from rar_agent.memory import Estimate, Memory, Report
    from rar_agent.memory.format.manifest import FitRecord
    from rar_agent.memory.index.plan import IndexPlan
    from rar_agent.memory.index.spec import IndexSpec

LISTED = 20
"""Failures and conflicts that are shown."""
ERROR_RATES = (0.01, 0.05, 0.10)
COVERAGES = (0.80, 0.90, 0.95)
_METHODS = {
    "gda": "a Gaussian for each category, one covariance",
    "prototype": "the nearest mean",
    "cache": "all exemplars, the nearer the more",
    "knn": "the nearest exemplar",
}


def size(number: float) -> str:
    """Bytes, for people."""
    unit, word = next((u, w) for u, w in ((1e9, "GB"), (1e6, "MB"), (1, "bytes")) if number >= u)
    return f"{number:,.0f} bytes" if word == "bytes" else f"{number / unit:,.1f} {word}"
