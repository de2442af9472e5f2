"""What a memory says of its own scoring, in words."""

from __future__ import annotations

from collections.abc import Collection

from rar_agent.memory.format.manifest import FitRecord, Manifest
from rar_agent.types import Modality


def describe_method(manifest: Manifest, method: str, modalities: Collection[Modality]) -> str:
    """How categories are scored, in a few words."""
    if method == "knn":
        return "knn: cosine with the nearest entry"
    words = _described(manifest, modalities)
    return f"{words}, {manifest.prior}" if manifest.prior else words


def _described(manifest: Manifest, modalities: Collection[Modality]) -> str:
    if "head" in modalities:
        return "head: the encoder's own linear classifier"
    fit = manifest.fit
    if fit is None:
        return "text: cosine with the name"
    words = f"{_method(fit)}, {fit.feature_map} features, {fit.rule}"
    if "text" in modalities:
        words += f", text weight {fit.parameters['text_weight']:.2f}"
    return words


def probability_means(
    manifest: Manifest, method: str, modalities: Collection[Modality], stale: bool, mixed: bool
) -> str:
    """One sentence that says what the probabilities are."""
    if method == "knn":
        return "softmax of cosines with the nearest entry of each category, not calibrated"
    means = _means(manifest, modalities, stale, mixed)
    if manifest.prior:
        return f"with a {manifest.prior}, which nothing was measured with; else {means}"
    return means


def _means(manifest: Manifest, modalities: Collection[Modality], stale: bool, mixed: bool) -> str:
    if "head" in modalities:
        return "the classifier's own probability, not calibrated"
    fit = manifest.fit
    if fit is None:
        return "softmax of image-text cosines, not calibrated"
    if not fit.calibrated or fit.ece is None:
        return "from too few exemplars to calibrate"
    if mixed:
        return "by texts where categories have no exemplars, which cannot be calibrated"
    words = (
        f"calibrated by leaving out {fit.left_out} exemplars one by one "
        f"(ECE {100 * fit.ece:.1f} points there)"
    )
    return f"stale: {words}, but much was taught since" if stale else words


def _method(fit: FitRecord) -> str:
    numbers = fit.parameters
    if fit.rule == "single-exemplars":
        return "prototype: centred cosine"
    if fit.method == "knn":
        return "knn: nearest exemplar"
    if fit.method == "cache":
        return f"cache: sharpness {numbers['sharpness']:g}"
    return f"gda: shrinkage {numbers['shrinkage']:g}, spread {numbers['ratio']:.2g}"
