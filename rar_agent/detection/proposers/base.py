"""The protocol of proposers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from PIL import Image

from rar_agent.detection.proposal import Proposal


@runtime_checkable
class Proposer(Protocol):
    """Says where something may be. Implementations are thread-safe."""

    @property
    def name(self) -> str:
        """What results say of who proposed; for those of `load_proposer`, what loads it again."""

    def propose(self, image: Image.Image) -> list[Proposal]:
        """Find boxes.

        Args:
            image: Upright, mode RGB, of any size.

        Returns:
            Surest first, the same ones for the same image. Boxes are in pixels of the image, in
            it, and more than nothing wide and high; `keep` makes them so. `name` is what the
            detector calls it.
        """
