"""Crops of an image's boxes, made when they are wanted: all at once would fill the memory."""

from __future__ import annotations

from collections.abc import Sequence

from rar_agent.detection import CropStyle, crop
from rar_agent.detection.crops import SIDE
from rar_agent.graph.services import Services
from rar_agent.images import AdmittedImage, admit


class Crops:
    """An image's crops in the style of the settings.

    Args:
        services: For the settings.
        whole: The image.
    """

    def __init__(self, services: Services, whole: AdmittedImage) -> None:
        settings = services.settings
        self._whole = whole
        self._style = CropStyle(
            settings.crop_scales, settings.crop_square, settings.crop_blur, settings.crop_outline
        )
        self._side = max(SIDE, settings.image_side)

    def of(self, box: Sequence[float]) -> AdmittedImage:
        """The crop of a box; its hash is that of its pixels.

        Raises:
            InputError: Nothing of the box is in the image.
        """
        left, top, width, height = box
        return admit(crop(self._whole.rgb, (left, top, width, height), self._style, self._side))
