"""Disks that are full or may only be read, in the middle of a test."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError

_SIZE = 4 << 20
_FILES = 400
FULL = "No space left on device|File too large"
"""What is said of a full disk, by whichever means it is full here."""


class Disk:
    """A small file system that a test can fill.

    Where the tests may not mount one, it is a folder: full, it lets no file grow beyond a size,
    and it cannot run out of names.

    Attributes:
        path: Where it is.
        page: Bytes of the pages that files take.
        mounted: Whether it is a file system of its own.
    """

    def __init__(self, path: Path, mounted: bool) -> None:
        self.path = path
        self.page = 4_096 if mounted else 512
        self.mounted = mounted
        self._ballast = path / "ballast"

    @contextmanager
    def leaving(self, pages: int) -> Iterator[None]:
        """Have so many pages left for all who write, or for each file where nothing is mounted."""
        if not self.mounted:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (pages * self.page, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            return
        free = os.statvfs(self.path)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, (free.f_bavail - pages) * free.f_bsize))
        try:
            yield
        finally:
            self._ballast.unlink()

    @contextmanager
    def leaving_names(self, count: int) -> Iterator[None]:
        """Have room for so many files more, whatever their size."""
        if not self.mounted:
            pytest.skip("only a mounted file system runs out of names; this user may not mount")
        names = self.path / "names"
        names.mkdir()
        with suppress(OSError):
            for number in range(_FILES + 1):
                (names / str(number)).touch()
        for file in list(names.iterdir())[:count]:
            file.unlink()
        try:
            yield
        finally:
            shutil.rmtree(names)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A file system of 4 MB on a folder; see `Disk` for where none can be mounted."""
    folder.mkdir()
    options = f"size={_SIZE},nr_inodes={_FILES}"
    mounted = _done("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            _done("umount", "-l", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder and all below it may only be read, as in a container's image."""
    target = str(folder)
    if _done("mount", "--bind", target, target):
        try:
            assert _done("mount", "-o", "remount,bind,ro", target)
            yield
        finally:
            _done("umount", "-l", target)
        return
    own = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in own}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("root writes everywhere, and may not mount here")
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def done_in(room: AbstractContextManager[None], disk: Disk, change: Callable[[], object]) -> bool:
    """Make a change in little room; whether that was enough, or the error said what is full."""
    try:
        with room:
            change()
    except ConfigurationError as error:
        full = f".*'({disk.path}.*)' cannot be written: .*({FULL})"
        if not re.match(full, error.message):
            raise
        return False
    return True


def _done(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError as error:
        assert error.errno == errno.ENOENT  # noqa: PT017 - no such program
        return False
