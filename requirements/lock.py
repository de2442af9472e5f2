"""Locks the dependencies: every version and the hashes of its files, for any platform.

Needs uv. `python requirements/lock.py` keeps what is locked where it still fits;
`python requirements/lock.py --upgrade` takes the newest of everything, and other options of
`uv pip compile` work too. tests/test_supply_chain.py checks, without a network, that the locks fit
pyproject.toml.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {"offline": ("offline",), "all": ("all", "ui-test")}
"""Extras that each file is for: what a user of the README installs, and everything."""
RECORDED = "# Of the dependencies in pyproject.toml: sha256:"


def project() -> dict[str, Any]:
    """What pyproject.toml holds."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def digest() -> str:
    """Sha256 of all that pyproject.toml says of dependencies; comments do not count."""
    said = project()
    names = ("requires-python", "dependencies", "optional-dependencies")
    tables = [said["build-system"]["requires"], *(said["project"][name] for name in names)]
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def lock(name: str, options: list[str]) -> None:
    """Write one lock.

    Raises:
        CalledProcessError: uv could not.
    """
    file = ROOT / "requirements" / f"{name}.txt"
    extras = [word for extra in LOCKS[name] for word in ("--extra", extra)]
    command = ["uv", "pip", "compile", "pyproject.toml", *extras, "--universal", "--no-config"]
    # PyPI and nothing else, whatever this machine is set up for, and no address in the file.
    command += ["--default-index", "https://pypi.org/simple", "--no-emit-index-url"]
    command += ["--python-version", "3.11", "--generate-hashes", "--no-header", "--quiet"]
    command += ["--output-file", str(file.relative_to(ROOT)), *options]
    subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603 - a fixed command, no shell
    head = f"# Written by requirements/lock.py for the extras {', '.join(LOCKS[name])}.\n"
    file.write_text(f"{head}{RECORDED}{digest()}\n{file.read_text('utf-8')}", "utf-8")


if __name__ == "__main__":
    for each in LOCKS:
        lock(each, sys.argv[1:])
