"""Admission of untrusted images, and the store that handles are looked up in."""

from rar_agent.images.admit import AdmittedImage, ImageSource, admit, source_name
from rar_agent.images.policy import Authority, FetchPolicy, Isolation, Limits, Policy
from rar_agent.images.read import read_batches
from rar_agent.images.shrink import MAX_SIDE, MIME_TYPE, Picture, to_picture
from rar_agent.images.store import ImageStore

__all__ = [
    "MAX_SIDE",
    "MIME_TYPE",
    "AdmittedImage",
    "Authority",
    "FetchPolicy",
    "ImageSource",
    "ImageStore",
    "Isolation",
    "Limits",
    "Picture",
    "Policy",
    "admit",
    "read_batches",
    "source_name",
    "to_picture",
]
