import base64

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import Policy, admit
from tests.conftest import draw


@pytest.fixture
def root(tmp_path):
    (tmp_path / "open").mkdir()
    draw("red", 1).save(tmp_path / "open" / "in.png")
    draw("red", 2).save(tmp_path / "out.png")
    (tmp_path / "open" / "link.png").symlink_to(tmp_path / "out.png")
    return tmp_path / "open"


def test_a_model_reads_nothing_by_default(root):
    with pytest.raises(ImageError, match="RAR_ROOTS"):
        admit(str(root / "in.png"), Policy(authority="model"))


def test_a_model_reads_files_under_a_root(root):
    policy = Policy(authority="model", roots=(root,))
    assert admit("in.png", policy).rgb.size == (96, 96)
    assert admit(str(root / "in.png"), policy).rgb.size == (96, 96)


@pytest.mark.parametrize("path", ["x" * 300, "\ud800.png", "~nosuchuser/x"])
def test_a_models_unusable_paths_are_image_errors(root, path):
    with pytest.raises(ImageError):
        admit(path, Policy(authority="model", roots=(root,)))


@pytest.mark.parametrize(
    "path", ["../out.png", "link.png", "/etc/passwd", "missing.png", "~/x", "."]
)
def test_a_model_cannot_leave_the_root(root, path):
    with pytest.raises(ImageError, match="not a file under"):
        admit(path, Policy(authority="model", roots=(root,)))


def test_long_base64_from_a_model_is_refused_with_what_to_do(root):
    data = base64.b64encode((root / "in.png").read_bytes()).decode()
    for text in (f"data:image/png;base64,{data}", data * 3):
        with pytest.raises(ImageError, match="image_1"):
            admit(text, Policy(authority="model", roots=(root,)))
