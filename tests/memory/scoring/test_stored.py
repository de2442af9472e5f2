"""A fit on disk whose file is what the manifest names, and yet makes no sense."""

import io
import zipfile

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


_ANSWERS = ("confidence", "truth", "right", "familiarity", "likeliest")


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
        ("truth", lambda a: a > 0),
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
    answers = dict.fromkeys(_ANSWERS, np.empty(0))
    for changed in ({}, dict.fromkeys(("ids", "counts", "sums")), answers):
        manifest = with_arrays(memory, **changed)
        if changed is answers:
            fit = manifest.fit.model_copy(update={"calibrated": False})
            manifest = manifest.model_copy(update={"fit": fit})
        opened = open_generation(memory.folder, manifest)
        found = opened.search(query, np.ones(1, np.float32))[0].candidates[0].category
        assert found == best


def test_a_calibration_without_its_answers_is_damage(memory):
    manifest = with_arrays(memory, **dict.fromkeys(_ANSWERS, np.empty(0)))
    with pytest.raises(DamagedDataError, match=r"npz is damaged: it has 0 answers, and 120"):
        _ = open_generation(memory.folder, manifest).fit


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300])
@pytest.mark.parametrize(
    "name", ["origin", "basis", "precision", "sums", "counts", "familiarity", *_ANSWERS[:2]]
)
def test_numbers_that_none_can_be_are_damage(memory, name, value):
    with np.load(memory.folder / DATA / memory.manifest.fit.arrays.name) as stored:
        array = stored[name].astype(np.float64)
    array.flat[-1] = value
    with pytest.raises(DamagedDataError, match=f"npz is damaged: {name} is not all"):
        _ = open_generation(memory.folder, with_arrays(memory, **{name: array})).fit


def members(memory, **given):
    """A manifest that names a zip of the fit's arrays with some members written as given."""
    path, buffer = memory.folder / DATA / memory.manifest.fit.arrays.name, io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(buffer, "w") as file:
        for name in whole.namelist():
            file.writestr(name, given.get(name[:-4], whole.read(name)))
        for name in given.keys() - {name[:-4] for name in whole.namelist()}:
            file.writestr(f"{name}.npy", given[name])
    ref = write_file(memory.folder, buffer.getvalue(), "npz")
    fit = memory.manifest.fit.model_copy(update={"arrays": ref})
    return memory.manifest.model_copy(update={"fit": fit})


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(64)


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"no array",
        header("{"),
        header("'''"),
        header("(" * 300),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (8,)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (2199023255552,)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-8, -1)}"),
        header("{'descr': '<f16', 'fortran_order': False, 'shape': (4,)}"),
    ],
)
def test_members_that_are_no_arrays_are_damage(memory, member):
    with pytest.raises(DamagedDataError, match=r"npz is damaged: .*Restore"):
        _ = open_generation(memory.folder, members(memory, origin=member)).fit


def test_arrays_that_no_fit_has_are_damage(memory):
    with pytest.raises(DamagedDataError, match=r"it has the arrays .*more\.npy"):
        _ = open_generation(memory.folder, members(memory, more=bytes(8))).fit


def test_opening_such_a_memory_says_so(memory):
    shorter = memory.fit.precision[:-1]
    manifest = with_arrays(memory, precision=shorter)
    commit(memory.folder, manifest.model_copy(update={"generation": manifest.generation + 1}))
    with pytest.raises(DamagedDataError, match="npz is damaged: basis has float32 of shape"):
        open_memory(memory.folder.parent.parent, "m")
