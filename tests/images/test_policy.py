"""What a string may name: for every way out of a root that is known, that it leads nowhere."""

import base64
import os
import socket
from pathlib import Path

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import Policy, admit
from tests.conftest import draw


@pytest.fixture
def root(tmp_path):
    """A root, beside a secret that links of every kind lead to."""
    outside, root = tmp_path / "outside", tmp_path / "open"
    for folder in (outside, root / "sub"):
        folder.mkdir(parents=True)
    draw("red", 1).save(root / "in.png")
    draw("green", 1).save(root / "sub" / "deep.png")
    draw("blue", 1).save(outside / "secret.png")
    draw("blue", 1).save(tmp_path / "opened.png")  # begins like the root's name
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "relative.png").symlink_to("../outside/secret.png")
    (root / "linked").symlink_to(outside)
    (root / "twice").symlink_to("linked")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "etc").symlink_to("/etc")
    (root / "proc").symlink_to("/proc/self")
    (root / "cwd").symlink_to("/proc/self/cwd")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "inner.png").symlink_to("sub/deep.png")
    os.mkfifo(root / "fifo.png")
    return root


@pytest.fixture
def policy(root):
    return Policy(authority="model", roots=(root,))


def colour(image):
    return max(zip(image.rgb.getpixel((48, 48)), ("red", "green", "blue"), strict=True))[1]


def test_a_model_reads_nothing_by_default(root):
    with pytest.raises(ImageError, match="RAR_ROOTS"):
        admit(str(root / "in.png"), Policy(authority="model"))


@pytest.mark.parametrize(
    "path",
    [
        *("in.png", "./in.png", "sub/../in.png", "ROOT/in.png", "ROOT/sub/../in.png", "in.png/"),
        *("sub/deep.png", "ROOT/sub//deep.png", "inner.png", "ROOT/inner.png", "../open/in.png"),
    ],
)
def test_a_model_reads_files_under_a_root(root, policy, path):
    image = admit(path.replace("ROOT", str(root)), policy)
    assert colour(image) == ("red" if path.strip("/").endswith("in.png") else "green")


OUTSIDE = [
    # upwards
    *("../outside/secret.png", "sub/../../outside/secret.png", "ROOT/../outside/secret.png"),
    *("../opened.png", "ROOTed.png", "../open", "..", ".", "", "/", "ROOT", "sub", "sub/"),
    *("....//outside/secret.png", "..\\outside\\secret.png", "..%2foutside%2fsecret.png"),
    *("%2e%2e/outside/secret.png", "..;/outside/secret.png", "．．/outside/secret.png"),
    *(
        "sub/..\0/../outside/secret.png",
        ".. /outside/secret.png",
        "in.png/../../outside/secret.png",
    ),
    # absolute
    *("OUTSIDE/secret.png", "/OUTSIDE/secret.png", "/etc/passwd", "ROOT/OUTSIDE/secret.png"),
    *("///etc/passwd", "/ROOT/in.png", "C:\\secret.png", "C:/secret.png", "\\\\?\\C:\\x"),
    # links to files and folders
    *("link.png", "relative.png", "ROOT/link.png", "linked/secret.png", "ROOT/linked/secret.png"),
    *(
        "twice/secret.png",
        "up/outside/secret.png",
        "linked/../outside/secret.png",
        "loop",
        "loop/x",
    ),
    *("sub/../link.png", "linked/../open/in.png", "etc/passwd", "up/open/link.png"),
    # what is no regular file, and files of the kernel
    *("fifo.png", "zero.png", "proc/environ", "proc/fd/0", "cwd/pyproject.toml", "/dev/zero"),
    *("/dev/stdin", "/dev/fd/0", "/proc/self/environ", "/proc/self/root/etc/passwd", "/dev/tty"),
    # shares and URIs
    *("\\\\host\\share\\a.png", "//host/share/a.png", "\\\\127.0.0.1\\c$\\a.png", "/net/host/a"),
    *("file:///etc/passwd", "file://host/share/a.png", "file:in.png", "file://ROOT/in.png"),
    *("smb://host/share/a.png", "ftp://host/a.png", "FILE:///etc/passwd", "\\\\.\\pipe\\x"),
    # homes and variables
    *("~", "~/x", "~root/.ssh/id_rsa", "~nosuchuser/x", "$HOME/x", "${HOME}", "%USERPROFILE%\\x"),
    # names that other systems take for the same
    *(
        "IN.PNG",
        "In.png",
        "in.png.",
        "in.png ",
        " in.png",
        "in.png...",
        "in.png::$DATA",
        "in.png\t",
    ),
    *("CON", "NUL", "aux.png", "i\u0307n.png", "in．png", "in.png\u200b", "SUB/deep.png"),
    # what is no name at all
    *("a\0b", "in.png\0", "\0", "x" * 300, "x/" * 400, "\ud800.png", "\udcff.png", "missing.png"),
    *("in.png/x", "fifo.png/x", "\n", "-rf", "*", "in.*", "[i]n.png", "|id", "`id`"),
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("kind", [str, Path])
def test_ways_out_of_a_root(root, policy, path, kind):
    text = path.replace("ROOT", str(root)).replace("OUTSIDE", str(root.parent / "outside"))
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ImageError) as error:
        admit(kind(text), policy)
    told = str(error.value)
    told.encode()
    if "\0" not in text or kind is Path:  # a model is told the same of what is not there
        assert "is not a file under the folders open to models" in told
        assert str(root.parent) not in told.replace(str(Path(text)), "")
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_sockets_are_no_files(root, policy, monkeypatch):
    monkeypatch.chdir(root)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        with pytest.raises(ImageError, match="is not a file under"):
            admit("socket.png", policy)
        with pytest.raises(ImageError, match="is not a file"):
            admit(root / "socket.png")


def test_what_is_outside_by_its_name_is_not_looked_at(root, policy, monkeypatch):
    """A look at /net/host or an automounted folder would contact that host."""
    looked = []
    for name in ("lstat", "stat", "readlink", "open"):
        real = getattr(os, name)

        def spied(path, *rest, real=real, **more):
            looked.append(str(path))
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, spied)
    outside = str(root.parent / "outside")
    for path in ("/net/host/a.png", "//host/share/a.png", "../outside/secret.png", outside):
        with pytest.raises(ImageError):
            admit(path, policy)
    assert str(root) in looked
    assert not [path for path in looked if path.startswith(("/net", "//", outside))]


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/version", "/dev/zero", "/sys/x"])
def test_the_kernel_s_files_are_closed_under_the_root_of_all(path):
    for name in (path, path[1:]):
        with pytest.raises(ImageError, match="is not a file under"):
            admit(name, Policy(authority="model", roots=(Path("/"),)))


def test_a_root_may_be_a_link_relative_or_in_shared_memory(root, tmp_path, monkeypatch):
    (tmp_path / "alias").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (tmp_path / "alias", Path("alias"), Path("open/../open"), Path("~/open")):
        policy = Policy(authority="model", roots=(given,))
        for path in ("in.png", str(root / "in.png")):
            assert colour(admit(path, policy)) == "red"
        for path in ("link.png", "../outside/secret.png", "up/outside/secret.png"):
            with pytest.raises(ImageError, match="is not a file under"):
                admit(path, policy)
    assert colour(admit(str(tmp_path / "alias" / "in.png"), Policy("model", (Path("alias"),))))


def test_a_root_that_cannot_be_used_closes_no_other(root, tmp_path):
    roots = (Path("~nosuchuser"), tmp_path / "missing", root / "loop", root / "in.png", root)
    assert colour(admit("in.png", Policy("model", roots))) == "red"
    with pytest.raises(ImageError, match="is not a file under"):
        admit("in.png", Policy("model", roots[:-1]))


def swap(monkeypatch, change):
    """Do something between the check of a path and the opening of what it named."""
    real, done = os.open, []

    def swapped(*given, **more):
        if not done:
            done.append(True)
            change()
        return real(*given, **more)

    monkeypatch.setattr(os, "open", swapped)
    return done


def replaced(place, by):
    def change():
        place.rename(place.with_name("away"))
        by(place)

    return change


@pytest.mark.parametrize(
    ("path", "place", "by"),
    [
        ("in.png", "in.png", lambda place: place.symlink_to("../outside/secret.png")),
        ("in.png", "in.png", lambda place: place.symlink_to("/dev/zero")),
        ("in.png", "in.png", os.mkfifo),
        ("in.png", "in.png", Path.mkdir),
        ("sub/deep.png", "sub", lambda place: place.symlink_to("../outside")),
        ("sub/deep.png", "sub", lambda place: place.symlink_to("away")),  # even to where it was
        ("inner.png", "sub", lambda place: place.symlink_to("../outside")),
        ("sub/deep.png", "sub/deep.png", lambda place: place.symlink_to("/etc/passwd")),
    ],
)
def test_what_is_swapped_between_check_and_opening(root, policy, monkeypatch, path, place, by):
    (root.parent / "outside" / "deep.png").write_bytes(
        (root.parent / "outside" / "secret.png").read_bytes()
    )
    swapped = swap(monkeypatch, replaced(root / place, by))
    with pytest.raises(ImageError, match="is not a file under"):
        admit(path, policy)
    assert swapped


@pytest.mark.parametrize("by", [os.mkfifo, lambda place: place.symlink_to("/dev/zero")])
def test_what_is_swapped_under_a_caller_s_hands_neither_blocks_nor_never_ends(
    root, monkeypatch, by
):
    swap(monkeypatch, replaced(root / "in.png", by))
    with pytest.raises(ImageError, match="cannot be read"):
        admit(root / "in.png")


def test_a_caller_s_own_code_reads_what_it_names(root, monkeypatch):
    for path in (root / "link.png", root / "linked" / "secret.png"):
        assert colour(admit(path)) == "blue"
    monkeypatch.setenv("HOME", str(root))
    assert colour(admit("~/in.png")) == "red"
    with pytest.raises(ImageError, match="is a folder"):
        admit(root)
    for path in (root / "fifo.png", root / "zero.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="is not a file"):
            admit(path)


def test_files_that_nobody_may_read(root, policy, monkeypatch):
    """A model is told the same of them; a caller why."""

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)  # the tests may be run by root, who reads all
    with pytest.raises(ImageError, match="is not a file under"):
        admit("in.png", policy)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        admit(root / "in.png")


def test_long_base64_from_a_model_is_refused_with_what_to_do(root, policy):
    data = base64.b64encode((root / "in.png").read_bytes()).decode()
    for text in (f"data:image/png;base64,{data}", data * 3):
        with pytest.raises(ImageError, match="image_1"):
            admit(text, policy)
