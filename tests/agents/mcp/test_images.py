"""What a client's strings may name: nothing outside the roots, whatever they look like."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.agents.mcp.images import admit_given
from rar_agent.errors import ImageError
from rar_agent.settings import Settings
from tests.conftest import draw

PARTS = ["..", ".", "", "inside", "in.png", "out.png", "link.png", "linked", "~", "%2e%2e", "a\0b"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A root with an image, beside another image, with links to it."""
    folder = tmp_path_factory.mktemp("mcp-images")
    (folder / "root" / "inside").mkdir(parents=True)
    draw("red", 1).save(folder / "root" / "inside" / "in.png")
    draw("blue", 1).save(folder / "out.png")
    (folder / "root" / "link.png").symlink_to(folder / "out.png")
    (folder / "root" / "linked").symlink_to(folder)
    return folder


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(
        ["", "/", "//", "file://", "file:///", "file://localhost", "ROOT/", "file://ROOT/"]
    ),
    st.lists(st.sampled_from(PARTS), max_size=5),
)
def test_no_string_names_a_file_outside_the_roots(folder, start, parts):
    name = start.replace("ROOT", str(folder / "root")) + "/".join(parts)
    try:
        image = admit_given(name, "", Settings(), (folder / "root",))
    except ImageError:
        return
    inside = admit_given("inside/in.png", "", Settings(), (folder / "root",))
    assert image.sha256 == inside.sha256
    assert image.name == name


@pytest.mark.parametrize(
    "name", ["inside/in.png", "ROOT/inside/in.png", "file://ROOT/inside/in.png"]
)
def test_an_image_under_a_root(folder, name):
    name = name.replace("ROOT", str(folder / "root"))
    assert admit_given(name, "", Settings(), (folder / "root",)).name == name
    with pytest.raises(ImageError, match="RAR_ROOTS=FOLDER"):
        admit_given(name, "", Settings(), ())


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=40) | st.binary(max_size=40).map(lambda b: f"data:image/png;base64,{b.hex()}")
)
def test_data_that_is_no_image_is_refused(sent):
    with pytest.raises(ImageError):
        admit_given("", sent, Settings(), (Path(os.sep),))
