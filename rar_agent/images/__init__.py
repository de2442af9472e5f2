"""Admission of untrusted images, and the store that handles are looked up in."""

from rar_agent.images.admit import AdmittedImage, ImageSource, admit, source_name
from rar_agent.images.policy import Authority, Limits, Policy
from rar_agent.images.read import read_batches
from rar_agent.images.shrink import to_data_uri
from rar_agent.images.store import ImageStore

__all__ = [
    "AdmittedImage",
    "Authority",
    "ImageSource",
    "ImageStore",
    "Limits",
    "Policy",
    "admit",
    "read_batches",
    "source_name",
    "to_data_uri",
]
