"""The locks fit pyproject.toml, and no floor of security is lowered; no network is asked."""

import re
import runpy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = runpy.run_path(str(ROOT / "requirements" / "lock.py"), run_name="lock")
PROJECT = LOCK["project"]()["project"]
RELOCK = "run: python requirements/lock.py"

FLOORS = {
    "filelock": "3.20.3",
    "httpcore": "1.0.9",
    "jinja2": "3.1.6",
    "langchain-core": "1.2.31",
    "langchain-openai": "1.5",
    "langgraph": "1.1",
    "langgraph-checkpoint-sqlite": "3.0.1",
    "mcp": "1.29",
    "pillow": "12.3",
    "starlette": "1.3.1",
    "torch": "2.10",
    "transformers": "5.10",
}
"""The least that pyproject.toml may ask for; the reasons are beside them there."""

PLATFORMS = [
    {
        "sys_platform": system,
        "platform_system": name,
        "platform_machine": machine,
        "os_name": "posix",
    }
    for system, name, machine in [
        ("linux", "Linux", "x86_64"),
        ("linux", "Linux", "aarch64"),
        ("darwin", "Darwin", "arm64"),
    ]
]
PYTHONS = ["3.11", "3.12", "3.13"]


def locked(name):
    """Requirements of a lock, with the hashes of each."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    found = []
    for line in lines:
        if line.startswith(" "):
            found[-1][1].append(line.strip().removesuffix(" \\"))
        else:
            found.append((Requirement(line.removesuffix(" \\")), []))
    return found


def of_extras(extras):
    """What pyproject.toml asks for, its own extras of extras among it."""
    asked = [Requirement(line) for line in PROJECT["dependencies"]]
    waiting, seen = list(extras), set()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for line in PROJECT["optional-dependencies"][extra]:
            one = Requirement(line)
            if one.name == "rar-agent":
                waiting += one.extras
            else:
                asked.append(one)
    return asked


@pytest.mark.parametrize("name", LOCK["LOCKS"])
def test_a_lock_is_of_todays_dependencies(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    [recorded] = re.findall(f"^{re.escape(LOCK['RECORDED'])}(.*)$", text, re.MULTILINE)
    assert recorded == LOCK["digest"](), RELOCK


@pytest.mark.parametrize("name", LOCK["LOCKS"])
def test_each_version_is_pinned_with_hashes_and_no_address(name):
    found = locked(name)
    assert len(found) > 50
    for one, hashes in found:
        assert re.fullmatch(r"==[^*,]+", str(one.specifier)), one
        assert hashes, one
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in hashes), one
        assert one.url is None
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|-e|--(?!hash=))", text, re.MULTILINE)  # no index, no folder


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "platform", PLATFORMS, ids=lambda p: f"{p['sys_platform']}-{p['platform_machine']}"
)
@pytest.mark.parametrize("name", LOCK["LOCKS"])
def test_a_lock_has_all_that_is_asked_for(name, platform, python):
    there = default_environment() | platform
    there |= {"python_version": python, "python_full_version": f"{python}.9"}
    pins = {}
    for one, _ in locked(name):
        if one.marker is None or one.marker.evaluate(there):
            assert canonicalize_name(one.name) not in pins, f"{one.name} is pinned twice"
            pins[canonicalize_name(one.name)] = str(one.specifier).removeprefix("==")
    for asked in of_extras(LOCK["LOCKS"][name]):
        pin = pins.get(canonicalize_name(asked.name))
        assert pin is not None, f"{asked} is not locked; {RELOCK}"
        assert asked.specifier.contains(pin), f"{asked} is locked as {pin}; {RELOCK}"


@pytest.mark.parametrize("package", FLOORS)
def test_a_floor_of_security_stays_and_has_its_reason(package):
    every = of_extras(PROJECT["optional-dependencies"])
    floors = [
        Version(clause.version)
        for asked in every
        if canonicalize_name(asked.name) == package
        for clause in asked.specifier
        if clause.operator == ">="
    ]
    assert floors, package
    assert min(floors) >= Version(FLOORS[package])
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.search(rf'"{package}>=[^"]+",  # .*CVE-\d{{4}}-\d+', text, re.IGNORECASE), package


def test_every_reason_in_the_project_is_kept_by_this_file():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    named = re.findall(r'"([\w-]+)>=[^"]+",  # .*CVE-', text)
    assert sorted(map(canonicalize_name, named)) == sorted(FLOORS)


def test_what_is_installed_here_is_not_older_than_asked():
    for asked in of_extras(["test"]):
        try:
            found = version(asked.name)
        except PackageNotFoundError:  # an environment of fewer extras
            continue
        assert asked.specifier.contains(Version(found).public), f"{asked.name} {found} is installed"
