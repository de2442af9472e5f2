"""Images that a client names or sends, and what of its files may be read.

A path is a string that a model chose: it may name only files under a root. The roots are those of
the settings and, where client and server share a machine, those that the client declares. Data
gives no right to read anything, so whoever filled it in, only the limits apply to it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

import anyio
from mcp.server.session import ServerSession
from mcp.shared.exceptions import McpError
from mcp.types import ClientCapabilities, ListRootsRequest, RootsCapability, ServerRequest
from pydantic import BaseModel, ValidationError

from rar_agent.errors import ImageError

if TYPE_CHECKING:
    from rar_agent.images import AdmittedImage
    from rar_agent.settings import Settings

_ANSWER_S = 10  # for a client to list its roots
_LONGEST_NAME = 4_096  # characters of a path or URL; anything longer is data


class _Root(BaseModel):
    uri: str


class _Roots(BaseModel):
    """As the SDK's, which refuses all roots where one is no file's."""

    roots: list[_Root]


async def client_roots(session: ServerSession) -> tuple[Path, ...]:
    """Folders that the client opens to its model; none where it declares none."""
    if not session.check_client_capability(ClientCapabilities(roots=RootsCapability())):
        return ()
    try:
        with anyio.fail_after(_ANSWER_S):
            listed = await session.send_request(ServerRequest(ListRootsRequest()), _Roots)
    except (McpError, TimeoutError, ValidationError):
        return ()
    paths = (_local_path(root.uri) for root in listed.roots)
    return tuple(path for path in paths if path is not None)


def _local_path(uri: str) -> Path | None:
    """The path of a `file` URI of this machine."""
    parsed = urlparse(uri)
    if parsed.scheme != "file" or parsed.netloc not in ("", "localhost"):
        return None
    path = Path(url2pathname(parsed.path))
    return path if path.is_absolute() and "\0" not in str(path) else None


def admit_given(
    image: str, data: str, settings: Settings, roots: tuple[Path, ...]
) -> AdmittedImage:
    """The image of a call: a path or URL, or the file itself in base64.

    Args:
        image: Path, `file` URI or https URL; empty where there is data.
        data: Base64, or a data URI; empty where an image is named.
        settings: Limits, and whether URLs may be fetched.
        roots: Folders under which a path may name a file.

    Raises:
        ImageError: It may not be read, is over a limit, or is no image.
    """
    from rar_agent.images import Policy, admit

    policy = replace(Policy.of(settings, authority="model"), roots=roots)
    if bool(image) == bool(data):
        raise ImageError(
            "Give one of image and data." if image else "No image was given.",
            "A path or https URL is given as image; the file's bytes, in base64, as data.",
        )
    if data:
        uri = data if data.startswith("data:") else f"data:;base64,{data}"
        return replace(admit(uri, policy.of_bytes), name="data")
    if image.startswith("data:") or len(image) > _LONGEST_NAME:
        raise ImageError(
            f"image is no path or URL, but {len(image):,} characters of something else.",
            "Programs give an image's bytes as data, in base64. Models cannot copy them: name a "
            "file.",
        )
    if image.startswith(("https://", "http://")):
        return admit(image, policy)
    path = _local_path(image) if image.startswith("file:") else Path(image)
    if path is None or not roots:
        raise ImageError(
            f"'{image}' may not be read: no folder is open to models.",
            "Open its folder in the client, if the client has roots; or start the server with "
            "RAR_ROOTS=FOLDER; or send the file as data.",
        )
    return replace(admit(path, policy), name=image)
