"""The wheel, the wheel from the sdist and the editable install, each outside the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Wheels by how they were built; the second one from the sdist, as `build` does."""
    folder = tmp_path_factory.mktemp("wheels")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*build, folder / "direct", "--wheel", ROOT)
    run(*build, folder / "sdist", ROOT)
    return {kind: next((folder / kind).glob("*.whl")) for kind in ("direct", "sdist")}


@pytest.mark.parametrize("kind", ["direct", "sdist"])
def test_a_wheel_recognises_a_photo_outside_the_checkout(wheels, kind, tmp_path):
    place = tmp_path / "installed"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place, wheels[kind])
    environment = {**os.environ, "PYTHONPATH": str(place)}
    where = run(
        sys.executable,
        "-c",
        "import rar_agent; print(rar_agent.__file__)",
        env=environment,
        cwd=tmp_path,
    )
    assert Path(where.strip()).is_relative_to(place)
    command = place / "bin" / "rar-agent"
    shown = run(sys.executable, command, "recognize", "--example", env=environment, cwd=tmp_path)
    assert "Egyptian cat" in shown
    assert "rank@1" in run(sys.executable, command, "doctor", env=environment, cwd=tmp_path)


def test_the_editable_install_recognises_a_photo_outside_the_checkout(tmp_path):
    command = Path(sys.executable).parent / "rar-agent"
    assert "Egyptian cat" in run(command, "recognize", "--example", cwd=tmp_path)


def test_what_is_in_the_wheel(wheels):
    for wheel in wheels.values():
        names = zipfile.ZipFile(wheel).namelist()
        tops = {name.split("/")[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"rar_agent"}
        assert "rar_agent/_content/prompts/rank/1.yaml" in names
        assert "rar_agent/py.typed" in names
        assert {f"rar_agent/ui/{name}" for name in ("templates/answer.html", "page.js")} < {*names}
        assert [n for n in names if n.endswith("licenses/LICENSE")]
        assert [n for n in names if n.endswith("licenses/NOTICE")]


def test_the_version_is_in_one_place(wheels):
    import rar_agent

    assert all(f"-{rar_agent.__version__}-" in wheel.name for wheel in wheels.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
