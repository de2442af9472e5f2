"""Whether an image is in what left the process, however it is written."""

import base64
import re

from rar_agent.telemetry import redact

LONG = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % (redact._SHORTEST + 1))


def leaked(data: bytes, pictures: list[bytes]) -> list[str]:
    """How pictures are in the data: as they are, or in base64 at any of its three alignments."""
    found = ["a long run of base64"] if LONG.search(data) else []
    for picture in pictures:
        for place in range(0, len(picture) - 60, max(1, len(picture) // 7)):
            part = picture[place : place + 51]
            if part[:24] in data:
                found.append(f"bytes from {place}")
            for shift in range(3):
                for letters in (None, b"-_"):
                    text = base64.b64encode(part[shift : shift + 45], letters)
                    if text in data:
                        found.append(f"base64 from {place + shift}")
    return found
