"""The process that decodes for another: bytes in, pixels out, over a socket that is all it has.

It ends when the socket does, as when the process that started it is gone.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable

from PIL import Image, ImageCms  # noqa: F401 - imported when Lab is met, else

from rar_agent.errors import ImageError
from rar_agent.images.decode import decode
from rar_agent.images.policy import Limits

REQUEST = struct.Struct("!IQ")
"""Lengths of what is asked, in JSON, and of the file; both follow."""
ANSWER = struct.Struct("!cII")
"""`PIXELS`, width and height, and so many pixels follow; or `ERROR`, a length, 0, and JSON."""
PIXELS, ERROR = b"P", b"E"
READY = b"R"
"""Sent once, before the first answer."""

_ROWS = 256  # sent at once


def receive(connection: socket.socket, size: int, before: Callable[[], object]) -> bytearray:
    """So many bytes.

    Args:
        connection: To read.
        size: Bytes.
        before: Called before each read; may set its timeout.

    Raises:
        OSError: The other side is gone, or took too long.
    """
    data = bytearray(size)
    left = memoryview(data)
    while left:
        before()
        got = connection.recv_into(left)
        if not got:
            raise EOFError
        left = left[got:]
    return data


def serve() -> None:
    """Answer what comes over standard input, which is a socket, until it ends."""
    megabytes = int(sys.argv[1])
    connection = socket.socket(fileno=0)
    Image.init()  # imports the formats, as it would do at some file; later, nothing can be opened
    _limit(megabytes * 1_000_000)
    try:
        connection.sendall(READY)
        while _answer(connection):
            pass
    except (EOFError, OSError):
        return


def _limit(memory: int) -> None:
    """Bound this process: memory, no files but the open ones, none written, no cores.

    No descriptor is allowed: with 3, one that is closed could be opened as another file. macOS
    takes the limit on memory and does not keep it.
    """
    import resource

    wanted = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            if kind == resource.RLIMIT_AS and sys.platform != "darwin":
                raise


def _limit_time(seconds: float) -> None:
    """Let this process use so much more processor time; with more the system ends it."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _answer(connection: socket.socket) -> bool:
    """Answer one request; whether this process may answer another."""
    asked, size = REQUEST.unpack(receive(connection, REQUEST.size, _at_once))
    about = json.loads(receive(connection, asked, _at_once))
    data = bytes(receive(connection, size, _at_once))
    _limit_time(about["seconds"])
    try:
        rgb = decode(data, about["name"], Limits(*about["limits"]), about["detail"])
    except ImageError as error:
        _tell(connection, error)
        return not isinstance(error.__cause__, MemoryError)
    connection.sendall(ANSWER.pack(PIXELS, *rgb.size))
    for top in range(0, rgb.height, _ROWS):
        bottom = min(top + _ROWS, rgb.height)
        connection.sendall(rgb.crop((0, top, rgb.width, bottom)).tobytes())
    return True


def _tell(connection: socket.socket, error: ImageError) -> None:
    text = json.dumps([error.message, error.fix]).encode()
    connection.sendall(ANSWER.pack(ERROR, len(text), 0) + text)


def _at_once() -> None:
    """Reads wait for ever: for the next request."""
