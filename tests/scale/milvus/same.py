"""What two memories say, so that it can be compared."""

import numpy as np

from rar_agent.memory import Filter
from tests.memory.teaching.tiny import TinyEncoder, picture

TOLERANCE = 1e-5
KINDS = ("ash", "birch", "fir", "oak", "ivy")


def queries():
    return TinyEncoder().encode_images_with_norms(
        [picture(kind, number) for kind in KINDS for number in (90, 91)]
    )


def assert_same(one, other, **asked):
    """Both memories answer alike: candidates, probabilities, branches, familiarity, evidence."""
    vectors, norms = queries()
    ours, theirs = (memory.search(vectors, norms, **asked) for memory in (one, other))
    for a, b in zip(ours, theirs, strict=True):
        assert [c.category for c in a.candidates] == [c.category for c in b.candidates]
        assert [c.evidence for c in a.candidates] == [c.evidence for c in b.candidates]
        for left, right in zip(a.candidates, b.candidates, strict=True):
            assert abs(left.probability - right.probability) <= TOLERANCE
            shown = [[(e.entry, e.source) for e in c.exemplars] for c in (left, right)]
            assert shown[0] == shown[1]
            similar = [[e.similarity for e in c.exemplars] for c in (left, right)]
            assert np.allclose(*similar, atol=TOLERANCE)
        assert [(x.name, x.categories) for x in a.branches] == [
            (x.name, x.categories) for x in b.branches
        ]
        for x, y in zip(a.branches, b.branches, strict=True):
            assert abs(x.probability - y.probability) <= TOLERANCE
        assert (a.familiarity is None) == (b.familiarity is None)
        assert abs((a.familiarity or 0) - (b.familiarity or 0)) <= TOLERANCE
        assert (a.similar_enough, a.coverage) == (b.similar_enough, b.coverage)


FILTERS = (
    None,
    Filter(only=("trees",)),
    Filter(only=("fir", "oak")),
    Filter(where={"green": True}),
)


def assert_same_in_all(one, other):
    """In all that can be asked."""
    for said in ("category_count", "has_texts", "calibrated", "stale", "changed", "image_count"):
        assert getattr(one, said) == getattr(other, said), said
    assert one.describe_method() == other.describe_method()
    assert one.probability_means() == other.probability_means()
    assert len(one.entries) == len(other.entries)
    for method in ("fitted", "knn"):
        for within in FILTERS:
            assert_same(one, other, method=method, k=4, within=within)
    if one.calibrated:
        assert_same(one, other, coverage=0.9)
    for column in range(len(one.categories)):
        assert one.entries_of(column) == other.entries_of(column)
        for entry in one.entries_of(column):
            assert one.thumbnail(entry.id) == other.thumbnail(entry.id)
