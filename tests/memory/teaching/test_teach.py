import hashlib
import json
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from rar_agent.encoders import Fingerprint
from rar_agent.errors import (
    BusyError,
    ConfigurationError,
    FingerprintMismatchError,
    InputError,
    NotFoundError,
)
from rar_agent.images import admit
from rar_agent.images.read import THREADS
from rar_agent.memory import (
    add_to_memory,
    create_memory,
    delete_memory,
    list_memories,
    open_memory,
    read_folder,
    remove_from_memory,
)
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.teaching import learn as learn_module
from rar_agent.memory.teaching import seeing as seeing_module
from rar_agent.types import Category
from tests.conftest import COLOURS, draw


class Renamed:
    """The builtin encoder under another identity."""

    def __init__(self, encoder):
        self._encoder = encoder
        details = {**encoder.fingerprint.details, "weights": "other"}
        self.fingerprint = Fingerprint(details, encoder.fingerprint.precision)

    def __getattr__(self, name):
        return getattr(self._encoder, name)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "home"


def taught(place, builtin, discs, name="discs", **options):
    return create_memory(place, name, builtin, read_folder(discs), **options)


def names_of(memory):
    return sorted(category.name for category in memory.categories)


def ask(memory, builtin, image, **options):
    vectors, norms = builtin.encode_images_with_norms([image])
    return memory.search(vectors, norms, **options)[0]


def test_create_then_recognise(place, builtin, discs):
    report = taught(place, builtin, discs, domain="disc colours")
    assert (report.added, report.known, report.failures) == (36, 0, [])
    memory = open_memory(place, "discs")
    assert memory.manifest.domain == "disc colours"
    assert list_memories(place) == ["discs"]
    for c, colour in enumerate(COLOURS):
        found = ask(memory, builtin, draw(colour, 7_000 + c))
        assert found.candidates[0].category.name == f"{colour} discs"
        assert found.candidates[0].evidence == ("image",)
        best = found.candidates[0].exemplars
        assert Path(best[0].source).parent.name == f"{colour}_discs"
        assert [e.similarity for e in best] == sorted((e.similarity for e in best), reverse=True)


@pytest.mark.parametrize("method", ["fitted", "knn"])
def test_candidates_are_distinct_categories(place, builtin, discs, method):
    memory = taught(place, builtin, discs).memory
    for k in (1, 3, 6, 26):
        found = ask(memory, builtin, draw("red", 1), k=k, method=method)
        names = [candidate.category.name for candidate in found.candidates]
        assert len(names) == len(set(names)) == min(k, 6)
        scores = [candidate.score for candidate in found.candidates]
        assert scores == sorted(scores, reverse=True)


def test_knn_is_the_nearest_exemplar_of_each_category(place, builtin, discs):
    memory = taught(place, builtin, discs).memory
    query = draw("orange", 4_321)
    vector = builtin.encode_images([query])
    rows = memory.entries.live
    cosines = memory.entries.vectors(rows) @ vector[0]
    best = {}
    for column, cosine in zip(memory.entries.columns[rows], cosines, strict=True):
        best[column] = max(best.get(column, -1.0), float(cosine))
    order = sorted(best, key=lambda column: -best[column])
    found = ask(memory, builtin, query, k=6, method="knn")
    expected = [memory.categories[column].name for column in order]
    assert [c.category.name for c in found.candidates] == expected
    assert found.candidates[0].exemplars[0].similarity == pytest.approx(
        max(best.values()), abs=1e-6
    )


def test_the_same_image_twice_is_one_entry(place, builtin, discs):
    taught(place, builtin, discs)
    report = add_to_memory(place, "discs", builtin, read_folder(discs))
    assert (report.added, report.known) == (0, 36)
    assert len(report.memory.entries.ids) == 36


def test_a_bad_file_is_one_recorded_failure(place, builtin, tmp_path):
    folder = tmp_path / "mixed" / "red"
    folder.mkdir(parents=True)
    draw("red", 1).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"no image")
    report = create_memory(place, "mixed", builtin, read_folder(tmp_path / "mixed"))
    assert report.added == 1
    [failure] = report.failures
    assert failure.source.endswith("bad.png")
    assert failure.kind == "ImageError"


def test_nothing_good_at_all_is_an_error(place, builtin, tmp_path):
    folder = tmp_path / "bad" / "red"
    folder.mkdir(parents=True)
    (folder / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="Nothing could be learnt"):
        create_memory(place, "bad", builtin, read_folder(tmp_path / "bad"))


def test_add_a_category_and_remove_it_again(place, builtin, discs, tmp_path):
    before = taught(place, builtin, discs).memory
    folder = tmp_path / "more" / "grey_discs"
    folder.mkdir(parents=True)
    for i in range(3):
        draw("grey", i).save(folder / f"{i}.png")
    added = add_to_memory(place, "discs", builtin, read_folder(tmp_path / "more")).memory
    assert "grey discs" in names_of(added)
    assert ask(added, builtin, draw("grey", 50)).candidates[0].category.name == "grey discs"
    after = remove_from_memory(place, "discs", ["grey discs"])
    assert names_of(after) == names_of(before)
    assert after.entries.ids.tolist() == before.entries.ids.tolist()
    query = builtin.encode_images_with_norms([draw("red", 9)])
    assert [c.model_dump() for c in after.search(*query)[0].candidates] == [
        c.model_dump() for c in before.search(*query)[0].candidates
    ]


def test_update_equals_rebuild(place, builtin, discs):
    """Taught in two parts, or one with something forgotten: the same answers as built at once."""
    whole = taught(place, builtin, discs, "whole").memory
    found = read_folder(discs)
    create_memory(place, "parts", builtin, found[:3])
    parts = add_to_memory(place, "parts", builtin, found[3:]).memory
    queries, norms = builtin.encode_images_with_norms([draw(c, 31) for c in COLOURS])
    for one, two in zip(whole.search(queries, norms), parts.search(queries, norms), strict=True):
        assert [c.category for c in one.candidates] == [c.category for c in two.candidates]
        assert [c.score for c in one.candidates] == pytest.approx(
            [c.score for c in two.candidates], abs=1e-4
        )


def test_remove_single_entries_and_with_the_last_the_category(place, builtin, discs):
    memory = taught(place, builtin, discs).memory
    column = names_of(memory).index("black discs")
    ids = [entry.id for entry in memory.entries_of(column)]
    left = remove_from_memory(place, "discs", entries=ids[:1])
    assert left.exemplar_count(column) == 5
    left = remove_from_memory(place, "discs", entries=ids[1:])
    assert "black discs" not in names_of(left)
    add_to_memory(place, "discs", builtin, read_folder(discs))
    again = open_memory(place, "discs")
    assert len(again.entries.ids) == 36
    assert min(e.id for e in again.entries_of(len(again.categories) - 1)) > max(ids)


def test_removing_what_is_not_there_changes_nothing(place, builtin, discs):
    generation = taught(place, builtin, discs).memory.manifest.generation
    with pytest.raises(NotFoundError, match="Did you mean red discs"):
        remove_from_memory(place, "discs", ["blue discs", "red disc"])
    with pytest.raises(NotFoundError, match="no entry 999"):
        remove_from_memory(place, "discs", entries=[0, 999])
    assert open_memory(place, "discs").manifest.generation == generation


def test_a_memory_of_names_only(place, builtin):
    names = [Category(name=name) for name in ("tabby cat", "espresso", "sports car")]
    memory = create_memory(place, "names", builtin, names=names).memory
    found = ask(memory, builtin, admit(_skimage("coffee.png")).rgb)
    assert found.candidates[0].category.name == "espresso"
    assert found.candidates[0].exemplars == ()
    assert found.candidates[0].evidence == ("text",)
    assert found.familiarity is None
    assert "not calibrated" in memory.probability_means()


def test_names_and_images_in_one_memory(place, builtin, discs):
    names = [Category(name=name) for name in ("tabby cat", "espresso")]
    memory = taught(place, builtin, discs, "both", names=names).memory
    assert len(memory.categories) == 8
    # All have a text entry, so that those without exemplars can be compared with the others.
    assert all("text" in memory.evidence(column) for column in range(8))
    assert ask(memory, builtin, draw("red", 77)).candidates[0].category.name == "red discs"
    assert ask(memory, builtin, admit(_skimage("coffee.png")).rgb).candidates[0].category.name == (
        "espresso"
    )


def test_names_added_later_give_texts_to_all(place, builtin, discs):
    taught(place, builtin, discs)
    memory = add_to_memory(place, "discs", builtin, names=[Category(name="espresso")]).memory
    assert [memory.evidence(c) for c in range(6)] == [("image", "text")] * 6
    assert memory.evidence(6) == ("text",)


def test_create_refuses_what_exists_and_what_is_empty(place, builtin, discs):
    taught(place, builtin, discs)
    with pytest.raises(InputError, match="exists already"):
        taught(place, builtin, discs)
    with pytest.raises(InputError, match="nothing to learn"):
        create_memory(place, "empty", builtin)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a\nb"])
def test_names_of_memories_cannot_leave_the_folder(place, builtin, discs, name):
    with pytest.raises(InputError, match="cannot name a memory"):
        taught(place, builtin, discs, name)


def test_another_encoder_is_refused_with_what_differs(place, builtin, discs):
    taught(place, builtin, discs)
    with pytest.raises(FingerprintMismatchError, match=r"weights .* --encoder builtin"):
        add_to_memory(place, "discs", Renamed(builtin), read_folder(discs))


def test_ready_memories_are_fixed(place, builtin, discs):
    memory = open_memory(place, "imagenet-1k")
    assert len(memory.categories) == 1000
    with pytest.raises(InputError, match="ready-made"):
        add_to_memory(place, "imagenet-1k", builtin, read_folder(discs))
    with pytest.raises(InputError, match="ready-made"):
        remove_from_memory(place, "imagenet-1k", ["tabby"])


def test_one_writer_at_a_time_and_who_it_is(place, builtin, discs):
    folder = taught(place, builtin, discs).memory.folder
    says = r"process \d+ on .* for 0 s"
    with (
        writer_lock(folder),
        pytest.raises(BusyError, match=says),
        writer_lock(folder, wait_s=0.05),
    ):
        pass
    open_memory(place, "discs")  # readers do not ask
    with writer_lock(folder):
        open_memory(place, "discs")


class Interrupting:
    """Stops the encoder after some batches, as Ctrl-C does."""

    def __init__(self, encoder, after):
        self._encoder, self._left = encoder, after
        self.encoded = 0

    def encode_prepared(self, images):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self.encoded += len(images)
        return self._encoder.encode_prepared(images)

    def __getattr__(self, name):
        return getattr(self._encoder, name)


def test_an_interrupted_build_goes_on_and_encodes_nothing_again(
    place, builtin, tmp_path, monkeypatch
):
    folder = tmp_path / "many"
    for colour in ("red", "blue"):
        (folder / colour).mkdir(parents=True)
        for i in range(80):
            draw(colour, i, 32).save(folder / colour / f"{i}.png")
    distinct = len({hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*.png")})
    stopped = Interrupting(builtin, after=1)
    with pytest.raises(KeyboardInterrupt):
        create_memory(place, "many", stopped, read_folder(folder))
    with pytest.raises(ConfigurationError, match="interrupted after"):
        open_memory(place, "many")
    resumed = Interrupting(builtin, after=-1)
    report = create_memory(place, "many", resumed, read_folder(folder))
    assert stopped.encoded + resumed.encoded == distinct
    assert report.added == resumed.encoded
    assert len(open_memory(place, "many").entries.ids) == distinct


def test_an_interrupted_addition_keeps_what_was_encoded(place, builtin, discs, tmp_path):
    taught(place, builtin, discs)
    folder = tmp_path / "more" / "grey"
    folder.mkdir(parents=True)
    for i in range(100):
        draw("grey", i, 32).save(folder / f"{i}.png")
    with pytest.raises(KeyboardInterrupt):
        add_to_memory(place, "discs", Interrupting(builtin, 1), read_folder(tmp_path / "more"))
    assert 0 < open_memory(place, "discs").exemplar_count(6) <= 16


def test_segments_are_committed_while_building(place, builtin, discs, monkeypatch):
    monkeypatch.setattr(learn_module, "SEGMENT", 1)
    memory = taught(place, builtin, discs).memory
    assert memory.manifest.generation == 4  # after 16, 32 and 36 images, and when it was done
    assert np.unique(memory.entries.ids).tolist() == list(range(36))


def test_progress_counts_every_file(place, builtin, discs):
    seen = []
    taught(place, builtin, discs, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 36), (16, 36), (32, 36), (36, 36)]


def test_a_gpu_is_given_larger_batches(place, builtin, discs):
    class OnGpu(Interrupting):
        device = "cuda"

    seen = []
    create_memory(
        place,
        "discs",
        OnGpu(builtin, -1),
        read_folder(discs),
        progress=lambda *done: seen.append(done),
    )
    assert seen == [(0, 36), (36, 36)]


def test_the_manifest_is_plain_json_that_says_what_was_done(place, builtin, discs):
    memory = taught(place, builtin, discs).memory
    path = memory.folder / "generations" / f"{memory.manifest.generation:06d}.json"
    manifest = json.loads(path.read_bytes())
    assert manifest["format_version"] == 2
    assert manifest["encoder"]["details"]["weights"] == "9656183eaeafe8cb"
    assert manifest["fit"]["rule"] == "leave-one-out"


def _skimage(name):
    import skimage

    return Path(skimage.__file__).parent / "data" / name


def test_an_interruption_before_anything_was_learnt_leaves_no_empty_category(
    place, builtin, discs, tmp_path
):
    taught(place, builtin, discs)
    (tmp_path / "more" / "grey").mkdir(parents=True)
    draw("grey", 1).save(tmp_path / "more" / "grey" / "1.png")
    with pytest.raises(KeyboardInterrupt):
        add_to_memory(place, "discs", Interrupting(builtin, 0), read_folder(tmp_path / "more"))
    assert len(open_memory(place, "discs").categories) == 6


def test_a_memory_from_which_all_was_removed_can_be_taught_again(place, builtin, discs):
    memory = taught(place, builtin, discs).memory
    empty = remove_from_memory(place, "discs", names_of(memory))
    assert len(empty.categories) == 0
    with pytest.raises(InputError, match="is empty"):
        ask(empty, builtin, draw("red", 1))
    assert len(add_to_memory(place, "discs", builtin, read_folder(discs)).memory.categories) == 6


def test_a_build_that_learnt_nothing_may_begin_again_with_another_encoder(place, builtin, discs):
    with pytest.raises(KeyboardInterrupt):
        create_memory(place, "discs", Interrupting(Renamed(builtin), 0), read_folder(discs))
    assert len(taught(place, builtin, discs).memory.categories) == 6


def test_of_large_photos_few_are_decoded_at_a_time(place, builtin, tmp_path, monkeypatch):
    folder = tmp_path / "large" / "red"
    folder.mkdir(parents=True)
    for i in range(9):
        draw("red", i, 64).save(folder / f"{i}.png")
    seen, most = [], []

    def noted(image, side):
        seen.append(ref(image))
        most.append(sum(one() is not None for one in seen))
        return b""

    monkeypatch.setattr(seeing_module, "thumbnail", noted)
    create_memory(place, "large", builtin, read_folder(tmp_path / "large"), thumbnails=8)
    assert len(most) == 9
    assert max(most) <= THREADS


def test_an_interrupted_addition_gives_its_categories_texts_too(place, builtin, discs, tmp_path):
    taught(place, builtin, discs, names=[Category(name="espresso")])
    for colour in ("grey", "pink"):
        (tmp_path / "more" / colour).mkdir(parents=True)
        for i in range(70):
            draw(colour, i, 32).save(tmp_path / "more" / colour / f"{i}.png")
    with pytest.raises(KeyboardInterrupt):
        add_to_memory(place, "discs", Interrupting(builtin, 1), read_folder(tmp_path / "more"))
    memory = open_memory(place, "discs")
    assert "grey" in names_of(memory)
    assert all("text" in memory.evidence(c) for c in range(len(memory.categories)))


def test_a_category_goes_with_its_last_entry_the_text_included(place, builtin, discs):
    memory = taught(place, builtin, discs, names=[Category(name="espresso")]).memory
    [text] = [entry.id for entry in memory.entries_of(0) if entry.modality == "text"]
    left = remove_from_memory(place, "discs", entries=[text])
    assert left.evidence(0) == ("image",)
    everything = [entry.id for entry in left.entries_of(0)]
    assert len(remove_from_memory(place, "discs", entries=everything).categories) == 6


def test_undecodable_file_names_are_learnt(place, builtin, tmp_path):
    import io
    import os

    folder = tmp_path / "odd" / "red"
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    draw("red", 1).save(buffer, "PNG")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(buffer.getvalue())
    memory = create_memory(place, "odd", builtin, read_folder(tmp_path / "odd")).memory
    found = ask(memory, builtin, draw("red", 2)).candidates[0]
    assert found.exemplars[0].source.endswith(".png")
    found.model_dump_json()


def test_a_creation_that_learns_nothing_leaves_no_memory(place, builtin, tmp_path):
    (tmp_path / "bad" / "red").mkdir(parents=True)
    (tmp_path / "bad" / "red" / "x.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="Nothing could be learnt"):
        create_memory(place, "bad", builtin, read_folder(tmp_path / "bad"))
    assert list_memories(place) == []


def test_only_the_same_build_goes_on(place, builtin, tmp_path):
    folder = tmp_path / "many" / "red"
    folder.mkdir(parents=True)
    for i in range(100):
        draw("red", i, 32).save(folder / f"{i}.png")
    with pytest.raises(KeyboardInterrupt):
        create_memory(place, "m", Interrupting(builtin, 1), read_folder(tmp_path / "many"))
    everything = read_folder(tmp_path / "many")
    few = read_folder(tmp_path / "many", shots=2)
    for found, domain in [(few, ""), (everything, "birds")]:
        with pytest.raises(InputError, match=r"other images.* memory delete m"):
            create_memory(place, "m", builtin, found, domain=domain)
    create_memory(place, "m", builtin, everything)


def test_delete(place, builtin, discs):
    folder = taught(place, builtin, discs).memory.folder
    (folder / "CURRENT").write_text("damaged")
    delete_memory(place, "discs")
    assert list_memories(place) == []
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        delete_memory(place, "discs")
    assert len(taught(place, builtin, discs).memory.categories) == 6
