"""Locks that processes share, by files; not every file system has them.

Some network file systems have none, and some grant a lock to all who ask. Both are told of where a
lock is taken. That each machine keeps its locks to itself (NFS mounted with `local_lock` or
`nolock`) cannot be seen from one of them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from rar_agent.errors import ConfigurationError

HELD = frozenset({errno.EAGAIN, errno.EACCES})
"""What is said of a lock that another holds."""


@contextmanager
def locked(path: Path, wait_s: float = -1.0) -> Iterator[None]:
    """Hold the lock of a file; the system releases it if the process dies.

    Args:
        path: The file; made with its folder if it is not there, and left.
        wait_s: Seconds to wait for another holder; below 0: as long as it takes.

    Raises:
        TimeoutError: Another kept it.
        ConfigurationError: The file cannot be made, or locks do not work there.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            require_locks(path)
            stack.enter_context(FileLock(path, timeout=wait_s))
        except TimeoutError:
            raise
        except OSError as error:
            raise ConfigurationError(
                f"'{path.parent}' cannot be written: {error.strerror}.",
                "Make room, or choose a folder that can be written (RAR_HOME, a command's --out).",
            ) from error
        yield


def require_locks(path: Path) -> None:
    """Check that a file can be locked, and not by two at once.

    Raises:
        OSError: The file cannot be opened or made.
        ConfigurationError: Locks do not work there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as stack:
        for _ in range(2):
            handle = os.open(path, flags, 0o644)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in HELD:
                    return
                raise no_locks(path, error.strerror) from error
    raise no_locks(path, "two got the same one at once")


def no_locks(path: Path, why: str | None) -> ConfigurationError:
    """The error of a file system without locks."""
    return ConfigurationError(
        f"Files cannot be locked in '{path.parent}': {why}.",
        "Choose a folder on a local disk, or mount that file system with locks (NFS: without "
        "nolock or local_lock).",
    )
