"""What teaching learns, encodes and reports, with an encoder that counts."""

import hashlib
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from rar_agent.encoders.base import normalize
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images import admit
from rar_agent.memory import (
    add_to_memory,
    create_memory,
    open_memory,
    remove_from_memory,
    verify_memory,
)
from rar_agent.memory.format import generation
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.open import open_generation
from rar_agent.memory.readers import Sample
from rar_agent.memory.teaching import learn, seeing
from rar_agent.memory.teaching.exemplars import CROP, encode_exemplars, thumbnail, views_of
from rar_agent.memory.teaching.texts import content_of, encode_categories, texts_of
from rar_agent.types import Category, Failure
from tests.memory.teaching.tiny import TinyEncoder, picture, png, random_of


def images(*kinds, shots=3):
    return {kind: [png(kind, i) for i in range(shots)] for kind in kinds}


def evidence(memory):
    return {c.name: memory.evidence(i) for i, c in enumerate(memory.categories)}


def test_the_same_image_is_one_entry_and_of_two_categories_a_conflict(tmp_path):
    encoder = TinyEncoder()
    twice = {"ash": [png("ash", 0), png("ash", 1), png("ash", 0)], "fir": [png("ash", 1)]}
    report = create_memory(tmp_path, "m", encoder, twice)
    assert (report.added, report.known, report.failed) == (3, 1, 0)
    assert report.conflicts == ["fir[0] (fir)"]
    assert encoder.images == 3
    report = add_to_memory(
        tmp_path, "m", encoder, {"oak": [png("ash", 0), png("oak", 0)], "fir": [png("ash", 1)]}
    )
    assert (report.added, report.known) == (2, 1)
    assert report.conflicts == ["oak[0] (oak)"]
    assert encoder.images == 5
    memory = report.memory
    assert [memory.exemplar_count(i) for i in range(3)] == [2, 1, 2]
    # A removed one may be learnt again.
    [entry] = memory.entries_of(1)
    remove_from_memory(tmp_path, "m", entries=[entry.id])
    assert add_to_memory(tmp_path, "m", encoder, {"fir": [png("ash", 1)]}).added == 1


class Stopping(TinyEncoder):
    """Fails after so many batches, as an interruption or a crash."""

    def __init__(self, after, error=KeyboardInterrupt):
        super().__init__()
        self._left, self._error = after, error

    def encode_prepared(self, images):
        if self._left == 0:
            raise self._error
        self._left -= 1
        return super().encode_prepared(images)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", [1, 4, 9, 15])
def test_resuming_encodes_and_decodes_nothing_twice(tmp_path, monkeypatch, after, error):
    monkeypatch.setattr(seeing, "CPU_BATCH", 4)
    monkeypatch.setattr(learn, "SEGMENT", 8)
    shown = images("ash", "fir", "oak", "elm", shots=16)
    stopped = Stopping(after, error)
    with pytest.raises(error):
        create_memory(tmp_path, "m", stopped, shown)
    folder = memory_folder(tmp_path, "m")
    kept = 0
    if (folder / "CURRENT").exists():
        kept = len(open_generation(folder, read_manifest(folder)).entries)
        with pytest.raises(ConfigurationError, match="goes on where it stopped"):
            open_memory(tmp_path, "m")
    # Ctrl-C keeps all that was encoded, a crash all but the last segment.
    assert stopped.images - kept in ((0,) if error is KeyboardInterrupt else range(8 + 4))
    decoded = counted_decodes(monkeypatch)
    resumed = TinyEncoder()
    report = create_memory(tmp_path, "m", resumed, shown)
    assert resumed.images == report.added == 64 - kept
    assert report.known == kept
    assert len(decoded) == 64 - kept
    assert len(report.memory.entries) == 64


def counted_decodes(monkeypatch):
    """Names of what is decoded from here on, in any thread."""
    module = import_module("rar_agent.images.admit")
    decoded, decode = [], module.decode_under
    monkeypatch.setattr(
        module,
        "decode_under",
        lambda data, name, *how: decoded.append(name) or decode(data, name, *how),
    )
    return decoded


def test_a_resumed_build_is_what_an_uninterrupted_one_is(tmp_path, monkeypatch):
    """Categories of which nothing could be learnt are in neither."""
    monkeypatch.setattr(seeing, "CPU_BATCH", 2)
    monkeypatch.setattr(learn, "SEGMENT", 2)
    shown = {"bad": [b"no image"], **images("ash", "fir", shots=4), "worse": [b""]}
    names = [Category(name="named")]
    for name, encoder in (("stopped", Stopping(2, MemoryError)), ("whole", TinyEncoder())):
        try:
            create_memory(tmp_path, name, encoder, shown, names)
        except MemoryError:
            create_memory(tmp_path, name, TinyEncoder(), shown, names)
    stopped, whole = open_memory(tmp_path, "stopped"), open_memory(tmp_path, "whole")
    assert (
        evidence(stopped)
        == evidence(whole)
        == {"ash": ("image", "text"), "fir": ("image", "text"), "named": ("text",)}
    )


def test_known_images_are_not_decoded(tmp_path, monkeypatch):
    encoder = TinyEncoder()
    create_memory(tmp_path, "m", encoder, images("ash", "fir"))
    decoded = counted_decodes(monkeypatch)
    report = add_to_memory(tmp_path, "m", encoder, images("ash", "fir", shots=4))
    assert (report.added, report.known, len(decoded)) == (2, 6, 2)


def test_failures_are_recorded_one_by_one_and_not_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "MOST_RECORDED", 3)
    shown = {
        "ash": [png("ash", 0), b"no image", png("ash", 1), tmp_path / "nosuch.png"],
        "fir": [b"bad %d" % i for i in range(5)] + [png("ash", 0)] * 2,
        "oak": [png("ash", i) for i in range(5)],
        "elm": [png("ash", i) for i in range(5)],
    }
    report = create_memory(tmp_path, "m", TinyEncoder(), shown)
    assert (report.failed, len(report.failures), len(report.conflicts)) == (7, 3, 3)
    assert [f.source for f in report.failures][::2] == ["ash[1]", "fir[0]"]
    assert report.failures[1].source.endswith("nosuch.png")
    assert all(failure.error and failure.kind for failure in report.failures)
    assert report.added == 2 + 1 + 5 + 5


class Broken:
    """A reader with a bad row in its midst."""

    identity, count = "broken", None

    def samples(self):
        yield Sample(Category(name="ash"), png("ash", 0), "row 1")
        yield Failure(source="row 2", error="no label", kind="InputError")
        yield Sample(Category(name="fir"), None, "row 3")


def test_what_a_reader_could_not_read_is_a_failure_too(tmp_path):
    report = create_memory(tmp_path, "m", TinyEncoder(), Broken())
    assert [f.source for f in report.failures] == ["row 2"]
    assert evidence(report.memory) == {"ash": ("image", "text"), "fir": ("text",)}


def test_details_of_later_samples_add_to_those_there_are(tmp_path):
    first = Category(name="ash", aliases=("a",), description="tall", metadata={"k": 1})
    then = Category(
        name="ash",
        aliases=("a", "b", "ash"),
        description="x",
        parent="trees",
        metadata={"k": 2, "l": 3},
    )
    create_memory(tmp_path, "m", TinyEncoder(), [Sample(first, png("ash", 0), "1")])
    memory = add_to_memory(tmp_path, "m", TinyEncoder(), [Sample(then, png("ash", 1), "2")]).memory
    assert list(memory.categories) == [
        Category(
            name="ash",
            aliases=("a", "b"),
            description="tall",
            parent="trees",
            metadata={"k": 1, "l": 3},
        )
    ]


def test_a_cycle_of_parents_is_one_failure_however_many_images(tmp_path):
    above = {"ash": "fir", "fir": "elm", "elm": "ash", "oak": "oak"}
    samples = [
        Sample(Category(name=name, parent=parent), png(name, i), f"{name} {i}")
        for i in range(3)
        for name, parent in above.items()
    ]
    report = create_memory(tmp_path, "m", TinyEncoder(), samples)
    assert report.added == 12
    assert report.failed == 2
    assert [(f.source, f.kind) for f in report.failures] == [
        ("elm", "InputError"),
        ("oak", "InputError"),
    ]
    assert "elm < ash < fir < elm" in report.failures[0].error
    parents = {c.name: c.parent for c in report.memory.categories}
    assert parents == {"ash": "fir", "fir": "elm", "elm": "", "oak": ""}


@pytest.fixture
def texted(tmp_path):
    """Two categories with images and texts, and what was encoded for them."""
    encoder = TinyEncoder()
    create_memory(tmp_path, "m", encoder, images("ash", "fir"), [Category(name="elm")])
    assert sorted(encoder.texts) == ["ash", "elm", "fir"]
    encoder.texts.clear()
    return tmp_path, encoder


def test_texts_are_encoded_exactly_where_they_change(texted):
    home, encoder = texted
    cases = [
        (Category(name="ash"), []),  # an image more
        (Category(name="ash", parent="trees"), []),  # nothing that is said of it
        (Category(name="ash", metadata={"k": 1}), []),
        (Category(name="ash", aliases=("a",)), ["ash", "a"]),
        (Category(name="ash", aliases=("a",)), []),
        (Category(name="ash", description="tall"), ["ash", "a", "ash: tall"]),
        (Category(name="oak", parent="trees"), ["oak"]),  # a new one
    ]
    for i, (category, encoded) in enumerate(cases):
        memory = add_to_memory(
            home, "m", encoder, [Sample(category, png("ash", 10 + i), "")]
        ).memory
        assert encoder.texts == encoded, category
        encoder.texts.clear()
    assert set(evidence(memory).values()) == {("image", "text"), ("text",)}
    assert memory.entries.counts("text").tolist() == [1, 1, 1, 1]


def test_once_one_has_a_text_all_have(tmp_path):
    encoder = TinyEncoder()
    memory = create_memory(tmp_path, "m", encoder, images("ash", "fir")).memory
    assert encoder.texts == []
    assert set(evidence(memory).values()) == {("image",)}
    memory = add_to_memory(tmp_path, "m", encoder, names=[Category(name="elm")]).memory
    assert sorted(encoder.texts) == ["ash", "elm", "fir"]
    memory = add_to_memory(tmp_path, "m", encoder, images("oak")).memory
    assert evidence(memory)["oak"] == ("image", "text")
    assert sorted(encoder.texts) == ["ash", "elm", "fir", "oak"]


def test_a_removed_text_stays_away_until_it_is_given_again(texted):
    home, encoder = texted
    memory = open_memory(home, "m")
    [text] = [e.id for e in memory.entries_of(0) if e.modality == "text"]
    remove_from_memory(home, "m", entries=[text])
    memory = add_to_memory(home, "m", encoder, images("ash", shots=5)).memory
    assert evidence(memory) == {"ash": ("image",), "fir": ("image", "text"), "elm": ("text",)}
    assert encoder.texts == []
    memory = add_to_memory(home, "m", encoder, names=[Category(name="ash")]).memory
    assert evidence(memory)["ash"] == ("image", "text")


def test_without_texts_a_memory_is_of_images_alone(texted):
    """Whether it was compacted since or not."""
    from rar_agent.memory import compact_memory

    home, encoder = texted
    memory = open_memory(home, "m")
    remove_from_memory(home, "m", entries=memory.entries.ids[memory.entries.rows("text")].tolist())
    for _ in range(2):
        assert not open_memory(home, "m").has_texts
        memory = add_to_memory(home, "m", encoder, images("oak", "pine")).memory
        assert set(evidence(memory).values()) == {("image",)}
        remove_from_memory(home, "m", ["oak", "pine"])
        compact_memory(home, "m")
    assert encoder.texts == []


def test_templates_aliases_and_description_are_all_in_the_vector(tmp_path):
    category = Category(name="ash", aliases=("a", "b"), description="a tall tree")
    templates = ("a {}.", "the {} {}")
    texts = ("a ash.", "the ash ash", "a a.", "the a a", "a b.", "the b b", "ash: a tall tree")
    assert texts_of(category, templates) == texts
    encoder = TinyEncoder()
    memory = create_memory(
        tmp_path, "m", encoder, names=[category, Category(name="fir")], templates=templates
    ).memory
    assert encoder.texts == [*texts, "a fir.", "the fir fir"]
    rows = [normalize(random_of(t).normal(size=(1, 16)).astype(np.float32))[0] for t in texts]
    mean = normalize(np.mean(rows, axis=0))[0]
    found = memory.entries.vectors(memory.entries.rows_of("text", np.array([0])))
    assert found == pytest.approx(mean, abs=1e-6)
    for change in ({"aliases": ("a",)}, {"description": "x"}, {"name": "oak"}):
        other = category.model_copy(update=change)
        assert content_of(other, templates) != content_of(category, templates)
        vectors = encode_categories(encoder, [category, other], templates)
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert content_of(category.model_copy(update={"parent": "x"}), templates) == content_of(
        category, templates
    )
    with pytest.raises(ConfigurationError, match="no place for the name"):
        create_memory(tmp_path, "n", encoder, names=[category], templates=["a photo"])


@pytest.mark.parametrize(("views", "each"), [("one", 1), ("flip", 2), ("crops", 6)])
def test_views_are_averaged_to_unit_vectors(tmp_path, views, each):
    encoder = TinyEncoder()
    memory = create_memory(tmp_path, "m", encoder, images("ash", "fir"), views=views).memory
    assert encoder.images == 6 * each
    assert memory.manifest.encoder.views == views
    vectors = memory.entries.vectors(memory.entries.live)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-6)
    # The memory remembers how: what is added later is seen the same way.
    assert add_to_memory(tmp_path, "m", encoder, images("oak")).added == 3
    assert encoder.images == 9 * each


def test_views_are_those_that_they_say():
    image = picture("ash", 0).resize((50, 40))
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    def mean(*views):
        return normalize(TinyEncoder().encode_images(views).mean(axis=0, keepdims=True))[0]

    def encoded(images, views):
        encoder = TinyEncoder()
        seen = [[encoder.prepare(view) for view in views_of(image, views)] for image in images]
        return encode_exemplars(encoder, seen)

    assert encoded([image, mirrored], "flip") == pytest.approx(
        np.concatenate([mean(image, mirrored)] * 2), abs=1e-6
    )
    w, h = round(50 * CROP), round(40 * CROP)
    boxes = [(0, 0), (50 - w, 0), (0, 40 - h), (50 - w, 40 - h), ((50 - w) // 2, (40 - h) // 2)]
    crops = [image.crop((x, y, x + w, y + h)) for x, y in boxes]
    found = encoded([image], "crops")
    assert found == pytest.approx(mean(image, *crops), abs=1e-6)
    for views in ("one", "flip", "crops"):
        assert encoded([Image.new("RGB", (1, 1))], views).shape == (1, 16)


@pytest.mark.parametrize("side", [0, 4, 64])
def test_thumbnails_are_kept_and_returned(tmp_path, side):
    memory = create_memory(
        tmp_path, "m", TinyEncoder(), images("ash", "fir"), [Category(name="elm")], thumbnails=side
    ).memory
    memory = add_to_memory(tmp_path, "m", TinyEncoder(), images("oak")).memory
    for column, kind in enumerate(("ash", "fir", "elm", "oak")):
        shown = [memory.thumbnail(e.id) for e in memory.entries_of(column) if e.modality == "image"]
        wanted = [thumbnail(picture(kind, i), side) if side else b"" for i in range(3)]
        assert shown == ([] if kind == "elm" else wanted)
        for small in filter(None, shown):
            assert max(admit(small).rgb.size) == min(side, 6)
        assert [
            memory.thumbnail(e.id) for e in memory.entries_of(column) if e.modality == "text"
        ] == [b""]
    assert memory.thumbnail(10_000) == b""


def test_nothing_learnt_is_an_error_that_changes_nothing(tmp_path):
    with pytest.raises(InputError, match="Nothing could be learnt"):
        create_memory(tmp_path, "m", TinyEncoder(), {"ash": [b"bad"]})
    memory = create_memory(tmp_path, "m", TinyEncoder(), images("ash", "fir")).memory
    report = add_to_memory(tmp_path, "m", TinyEncoder(), {"oak": [b"bad"], "ash": [png("ash", 0)]})
    assert (report.added, report.known, report.failed) == (0, 1, 1)
    assert evidence(report.memory) == evidence(memory)


def test_contents_are_hashes_of_the_bytes(tmp_path):
    memory = create_memory(tmp_path, "m", TinyEncoder(), images("ash")).memory
    found = {bytes(c).hex() for c in memory.entries.fields(memory.entries.live)["content"]}
    assert found == {hashlib.sha256(png("ash", i)).hexdigest() for i in range(3)}


@pytest.mark.parametrize("building", [True, False])
def test_an_interruption_after_the_switch_undoes_nothing(tmp_path, monkeypatch, building):
    """Ctrl-C while old files are removed: the memory is what was just committed, and ready."""
    if not building:
        create_memory(tmp_path, "m", TinyEncoder(), images("a"))

    def interrupted(*_):
        raise KeyboardInterrupt

    teach = create_memory if building else add_to_memory
    with monkeypatch.context() as patched:
        patched.setattr(generation, "collect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            teach(tmp_path, "m", TinyEncoder(), images("a", "b"))
    memory = open_memory(tmp_path, "m")
    assert memory.manifest.state == "ready"
    assert [category.name for category in memory.categories] == ["a", "b"]
    assert memory.manifest.generation == (1 if building else 2)
    assert verify_memory(tmp_path, "m") == []
