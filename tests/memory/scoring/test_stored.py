"""A fit on disk whose file is what the manifest names, and yet makes no sense."""

import io

import numpy as np
import pytest

from rar_agent.errors import DamagedDataError
from rar_agent.memory import open_memory
from rar_agent.memory.format.files import DATA, write_file
from rar_agent.memory.format.generation import commit
from rar_agent.memory.open import open_generation
from tests.memory.arrays import clusters, memory_of


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    shown = clusters(categories=12, shots=10, dimension=32)
    return memory_of(
        tmp_path_factory.mktemp("fitted"),
        shown.by_label(),
    )


def with_arrays(memory, **changed):
    """The manifest of a memory whose fit has other arrays; None drops one."""
    with np.load(memory.folder / DATA / memory.manifest.fit.arrays.name) as stored:
        arrays = {**stored, **changed}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    ref = write_file(memory.folder, buffer.getvalue(), "npz")
    fit = memory.manifest.fit.model_copy(update={"arrays": ref})
    return memory.manifest.model_copy(update={"fit": fit})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("precision", lambda a: a[:-1]),
        ("precision", lambda a: a[:, None]),
        ("precision", lambda a: a[0]),
        ("basis", lambda a: a[:, :-1]),
        ("basis", lambda a: a[:-1]),
        ("origin", lambda a: np.append(a, 0.0)),
        ("origin", lambda a: a.astype("U")),
        ("origin", lambda a: a * 1j),
        ("truth", lambda a: a[:-1]),
        ("confidence", lambda a: a[:0]),
        ("right", lambda a: a[:, None]),
        ("likeliest", lambda a: a[:, 0]),
        ("likeliest", lambda a: a[1:]),
        ("likeliest", lambda a: a[0, 0]),
        ("likeliest", lambda a: a[:, :, None]),
        ("right", lambda a: a.astype(float)),
        ("sums", lambda a: a[:, :-1]),
        ("sums", lambda a: a[:-1]),
        ("counts", lambda a: a[:-1]),
        ("ids", lambda a: np.append(a, 99)),
        ("ids", lambda a: None),
        ("familiarity", lambda a: None),
    ],
)
def test_arrays_that_do_not_fit_together_are_damage(memory, name, damage):
    with np.load(memory.folder / DATA / memory.manifest.fit.arrays.name) as stored:
        manifest = with_arrays(memory, **{name: damage(stored[name])})
    with pytest.raises(DamagedDataError, match=r"npz is damaged: .*Restore"):
        _ = open_generation(memory.folder, manifest).fit


def test_the_arrays_as_they_are_and_without_sums_or_answers(memory):
    query = memory.entries.vectors(memory.entries.rows("image"))[:1]
    best = memory.search(query, np.ones(1, np.float32))[0].candidates[0].category
    none = np.empty(0)
    for changed in (
        {},
        dict.fromkeys(("ids", "counts", "sums")),
        dict.fromkeys(("confidence", "truth", "right", "familiarity", "likeliest"), none),
    ):
        opened = open_generation(memory.folder, with_arrays(memory, **changed))
        found = opened.search(query, np.ones(1, np.float32))[0].candidates[0].category
        assert found == best


def test_opening_such_a_memory_says_so(memory):
    shorter = memory.fit.precision[:-1]
    manifest = with_arrays(memory, precision=shorter)
    commit(memory.folder, manifest.model_copy(update={"generation": manifest.generation + 1}))
    with pytest.raises(DamagedDataError, match="npz is damaged: basis has float32 of shape"):
        open_memory(memory.folder.parent.parent, "m")
