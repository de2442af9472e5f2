"""A file in memory that may be read only so often: what bounds the parsers that read it."""

from __future__ import annotations

from io import BytesIO

from rar_agent.errors import ImageError

READS = 500_000
"""Of any file; and one more for each 64 bytes, twice what a GIF needs."""
BMP_READS = 4_000_000
"""More of a BMP, up to one for each byte: Pillow reads compressed ones a byte at a time."""
TIMES = 8
"""How often all bytes of a file may be read, and 10 MB more."""


class BoundedReader(BytesIO):
    """Bytes to parse. Files of millions of tiny parts, or of parts that overlap, end with an error.

    Pillow's parsers are Python that reads part by part, some microseconds each.

    Args:
        data: The file.
        name: For messages.
    """

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name = name
        is_bmp = data.startswith(b"BM")
        self._reads = READS + (min(len(data), BMP_READS) if is_bmp else len(data) // 64)
        self._bytes = TIMES * len(data) + 10_000_000

    def read(self, size: int | None = -1, /) -> bytes:
        """Like that of any file.

        Raises:
            ImageError: It was read too often.
        """
        part = super().read(size)
        self._reads -= 1
        self._bytes -= len(part)
        if self._reads < 0 or self._bytes < 0:
            raise ImageError(
                f"'{self._name}' has too many parts for its {len(self.getbuffer()):,} bytes.",
                "Save it anew as a plain JPEG or PNG.",
            )
        return part
