"""detect: boxes from files of every form, a table, JSON lines, drawings, results."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rar_agent import Recognizer
from rar_agent.cli.boxes import FORMS, read_boxes_file
from rar_agent.cli.detected import kept
from rar_agent.errors import RarError
from rar_agent.images import AdmittedImage
from rar_agent.types import (
    Category,
    Detection,
    Detections,
    Failure,
    RankedCategory,
    Recognition,
    Trace,
)
from tests.conftest import draw
from tests.detection.proposers.conftest import SMALL, checkpoint  # noqa: F401 - a fixture
from tests.openai_server import Reply

SIDE = 192
BOXES = [[0, 0, SIDE, SIDE], [SIDE, 0, SIDE, SIDE]]
OUTSIDE = [5 * SIDE, 0, 10, 10]


def scene(*colours):
    """Pictures of discs side by side."""
    whole = Image.new("RGB", (SIDE * len(colours), SIDE))
    for place, colour in enumerate(colours):
        whole.paste(draw(colour, 90 + place, SIDE), (SIDE * place, 0))
    return whole


@pytest.fixture
def place(colours, tmp_path, monkeypatch):
    """A folder with `it.png`, red and blue, `other.png`, green, and `boxes.json` of the first."""
    monkeypatch.setenv("RAR_CROP_SCALES", "[1, 1, 1]")  # nothing of what is beside a box
    scene("red", "blue").save(tmp_path / "it.png")
    scene("green").save(tmp_path / "other.png")
    (tmp_path / "boxes.json").write_text(json.dumps(BOXES))
    return tmp_path


def coco(place, *more):
    """Annotations of both, with the numbers of the categories far from the memory's."""
    names = {100: "Red", 7: "blue", 30: "GREEN", 9: "no_such"}
    whole = {
        "images": [
            {"id": 5, "file_name": "train/it.png"},
            {"id": 6, "file_name": "train/other.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 100, "bbox": BOXES[0]},
            {"id": 2, "image_id": 5, "category_id": 7, "bbox": BOXES[1]},
            {"id": 3, "image_id": 6, "category_id": 30, "bbox": BOXES[0]},
            *more,
        ],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
    }
    (place / "coco.json").write_text(json.dumps(whole))
    return "coco.json"


def pipe(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def answers(done):
    return [json.loads(line) for line in done.out.splitlines()]


def best(answer):
    return [
        one["recognition"]["categories"][0]["category"]["name"]
        for one in answer["detections"]
        if one["recognition"]
    ]


def rows(done):
    """The lines of the table's boxes, by their numbers."""
    lines = [line.split() for line in done.out.splitlines()]
    return {int(words[0]): words for words in lines if len(words) > 2 and "," in words[1]}


def test_a_table(rar, place):
    done = rar("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].rstrip() == "it.png, 384x192"
    shown = rows(done)
    assert shown[1][1:4] == ["0,0", "192x192", "red"]
    assert shown[2][1:4] == ["192,0", "192x192", "blue"]
    *_, probability, memory, last = done.out.splitlines()
    assert probability.startswith("probability: ")
    assert memory == "memory: colours"
    assert last.startswith("2 boxes in ")
    assert last.endswith("; retrieval alone, no model was asked")


def test_json_is_what_the_recognizer_says(rar, place):
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours", "--k", 2, "--json")
    [answer] = answers(rar(*asked, "--only", "cold"))
    expected = Recognizer("colours", k=2).detect("it.png", BOXES, only=["cold"])
    found = Detections.model_validate(answer)
    assert untimed(found) == untimed(expected)
    assert best(answer)[1] == "blue"
    assert all(len(one["recognition"]["categories"]) == 2 for one in answer["detections"])


def untimed(found):
    detections = [
        one.model_copy(
            update={
                "recognition": one.recognition.model_copy(
                    update={"trace": one.recognition.trace.model_copy(update={"timings_ms": {}})}
                )
            }
        )
        for one in found.detections
    ]
    return found.model_copy(update={"timings_ms": {}, "detections": tuple(detections)})


@pytest.mark.parametrize(
    ("form", "boxes"),
    [
        (None, BOXES),
        ("xywh", BOXES),
        ("xyxy", [[0, 0, 192, 192], [192, 0, 384, 192]]),
        ("cxcywh", [[96, 96, 192, 192], [288, 96, 192, 192]]),
        ("xywh-relative", [[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]),
        ("xyxy-relative", [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]),
        ("cxcywh-relative", [[0.25, 0.5, 0.5, 1], [0.75, 0.5, 0.5, 1]]),
        (None, [{"bbox": box, "id": str(at)} for at, box in enumerate(BOXES)]),
        ("xyxy", [{"box": [0, 0, 192, 192]}, {"box": [192, 0, 384, 192]}]),
        (None, {"boxes": [[0, 0, 192, 192], [192, 0, 384, 192]], "scores": [0.5, 0.25]}),
    ],
)
def test_forms(rar, place, monkeypatch, form, boxes):
    pipe(monkeypatch, json.dumps(boxes))
    chosen = ["--format", form] if form else []
    asked = ("detect", "it.png", "--boxes", "-", "--memory", "colours", "--json")
    [answer] = answers(rar(*asked, *chosen))
    assert [one["box"] for one in answer["detections"]] == BOXES
    assert best(answer) == ["red", "blue"]


def test_boxes_of_coco_are_found_by_the_images_names(rar, place, monkeypatch):
    crowd = {"id": 4, "image_id": 5, "category_id": 7, "bbox": [0, 0, 5, 5], "iscrowd": 1}
    file = coco(place, crowd)
    asked = ("detect", "it.png", "other.png", "--memory", "colours", "--json", "--boxes")
    done = rar(*asked, file)
    assert [best(one) for one in answers(done)] == [["red", "blue"], ["green"]]
    assert [one["id"] for one in answers(done)[0]["detections"]] == ["1", "2"]
    assert "note: left out of 'coco.json': 1 box around crowds, or without an area" in done.err
    pipe(monkeypatch, (place / file).read_text())
    assert [best(one) for one in answers(rar(*asked, "-"))] == [["red", "blue"], ["green"]]


def test_results_of_a_detector_are_boxes_too(rar, place):
    listing = coco(place)
    found = [
        {"image_id": 6, "bbox": BOXES[0], "score": 0.5, "category_id": 30},
        {"image_id": 5, "bbox": BOXES[1], "score": 0.25, "category_id": 30},
    ]
    (place / "found.json").write_text(json.dumps(found))
    asked = ("detect", "it.png", "other.png", "--boxes", "found.json", "--memory", "colours")
    both = answers(rar(*asked, "--annotations", listing, "--json"))
    assert [best(one) for one in both] == [["blue"], ["green"]]
    box = both[0]["detections"][0]
    first = box["recognition"]["categories"][0]["probability"]
    assert box["score"] == pytest.approx(0.25 * first)
    done = rar(*asked)  # by no number that is in their names
    assert done.status == 1
    assert "'found.json' has no image 'it.png' among its 2. Give --annotations FILE" in done.out


def test_one_that_fails_among_several(rar, place):
    file = coco(place)
    (place / "bad.png").write_bytes(b"no image")
    scene("red").save(place / "unlisted.png")
    asked = ("detect", "it.png", "bad.png", "unlisted.png", "other.png", "--boxes", file)
    done = rar(*asked, "--memory", "colours", "--json")
    assert done.status == 1
    good, bad, unlisted, other = answers(done)
    assert [best(one) for one in (good, other)] == [["red", "blue"], ["green"]]
    assert (bad["source"], bad["kind"]) == ("bad.png", "ImageError")
    assert (unlisted["source"], unlisted["kind"]) == ("unlisted.png", "NotFoundError")
    assert "'coco.json' has no image 'unlisted.png'" in unlisted["error"]
    table = rar(*asked, "--memory", "colours")
    assert table.status == 1
    assert "'coco.json' has no image 'unlisted.png'" in table.out
    assert "2 images failed" in table.out
    assert "3 boxes of 2 images in " in table.out
    alone = rar("detect", "unlisted.png", "--boxes", file, "--memory", "colours")
    assert (alone.status, alone.out) == (2, "")
    assert "fix: Name one by its path there, such as 'train/it.png'." in alone.err


def test_a_box_outside_fails_in_its_row(rar, place):
    (place / "boxes.json").write_text(json.dumps([BOXES[0], OUTSIDE]))
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    done = rar(*asked, "--draw", "out.png", "--min-score", 1)
    assert done.status == 1
    assert list(rows(done)) == [2]
    assert rows(done)[2][:4] == ["2", "960,0", "10x10", "failed"]
    assert "is not in an image of 384x192 pixels" in done.out
    assert "1 box under 1 not shown" in done.out
    [answer] = answers(rar(*asked, "--json"))
    assert best(answer) == ["red"]
    assert answer["detections"][1]["failure"]["kind"] == "InputError"


def test_the_same_boxes_in_several_images(rar, place):
    (place / "boxes.json").write_text(json.dumps(BOXES[:1]))
    done = rar("detect", "it.png", "other.png", "--boxes", "boxes.json", "--memory", "colours")
    assert done.status == 0, done.err
    assert "note: the boxes of 'boxes.json' are looked at in each of 2 images" in done.err
    assert [
        words[3] for words in (line.split() for line in done.out.splitlines()) if words[:1] == ["1"]
    ] == ["red", "green"]


def test_abstained_boxes_are_marked(rar, place, monkeypatch):
    monkeypatch.setenv("RAR_ABSTAIN_BELOW", "1")
    done = rar("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    assert done.status == 0
    assert all("abstained" in " ".join(words) for words in rows(done).values())
    assert len(rows(done)) == 2


def test_no_boxes(rar, place, monkeypatch):
    pipe(monkeypatch, "[]")
    done = rar("detect", "it.png", "--boxes", "-", "--memory", "colours", "--draw", "out.png")
    assert done.status == 0
    assert "no boxes" in done.out
    assert (np.asarray(Image.open(place / "out.png")) == np.asarray(scene("red", "blue"))).all()


def test_drawings(rar, place):
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours", "--draw")
    done = rar(*asked, "one.png")
    assert "drawn: one.png" in done.err
    drawn = np.asarray(Image.open(place / "one.png")).astype(int)
    plain = np.asarray(scene("red", "blue")).astype(int)
    assert drawn.shape == plain.shape
    changed = abs(drawn - plain).sum(-1) > 60
    assert 0.01 < changed.mean() < 0.3
    assert rar(*asked, "least.png", "--min-score", 1).status == 0
    assert (np.asarray(Image.open(place / "least.png")) == plain).all()


def test_drawings_of_several_have_names_of_their_own(rar, place):
    (place / "more").mkdir()
    shutil.copy(place / "it.png", place / "more" / "it.png")
    shutil.copy(place / "it.png", place / "it-2.png")
    images = ("it.png", "it-2.png", "more/it.png")
    done = rar("detect", *images, "--boxes", "boxes.json", "--memory", "colours", "--draw", "a/b")
    assert done.status == 0, done.err
    assert {path.name for path in (place / "a" / "b").iterdir()} == {
        "it.png",
        "it-2.png",
        "it-3.png",
    }


@pytest.mark.parametrize(
    ("images", "written"),
    [
        (["it.png"], ["--draw", "."]),
        (["it.png", "other.png"], ["--draw", "."]),
        (["it.png"], ["--draw", "it.png"]),
        (["it.png"], ["--draw", "link.png"]),
        (["link.png"], ["--draw", "deep/../it.png"]),
        (["it.png"], ["--results", "coco.json"]),
        (["it.png"], ["--boxes", "boxes.json", "--results", "boxes.json"]),
        (["it.png"], ["--boxes", "boxes.json", "--results", "coco.json"]),
        (["it.png"], ["--results", "it.png"]),
    ],
)
def test_what_is_read_is_never_overwritten(rar, place, images, written):
    boxes = [] if "--boxes" in written else ["--boxes", coco(place)]
    listing = ["--annotations", coco(place)]
    (place / "deep").mkdir()
    (place / "link.png").symlink_to(place / "it.png")
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    done = rar("detect", *images, *boxes, *listing, *written, "--memory", "colours")
    assert (done.status, done.out) == (2, "")
    assert "is read, and would be overwritten.\n  fix: Name another place" in done.err
    assert {path: path.read_bytes() for path in place.iterdir() if path.is_file()} == before


def test_drawings_beside_the_images_are_fine(rar, place):
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours", "--draw")
    for target in ("drawn.png", "drawn.png", "there"):  # what was drawn is drawn again
        (place / "there").mkdir(exist_ok=True)
        assert rar(*asked, target).status == 0
    assert (place / "there" / "it.png").is_file()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_whatever_ends_a_run_what_is_done_is_kept(rar, place, form):
    (place / "drawn" / "other.png").mkdir(parents=True)  # the second drawing cannot be written
    asked = ("detect", "it.png", "other.png", "it.png", "--boxes", coco(place), *form)
    done = rar(*asked, "--memory", "colours", "--results", "results.json", "--draw", "drawn")
    assert done.status == 2
    assert "cannot be written" in done.err
    assert "of the first 1 of 3 images" in done.err
    found = json.loads((place / "results.json").read_text())
    assert 5 in {row["image_id"] for row in found}
    assert "it.png" in done.out
    assert "space" not in done.out


@pytest.mark.slow
@pytest.mark.parametrize(("how", "status"), [("interrupted", 130), ("left", 0)])
def test_a_run_that_is_ended_from_outside_keeps_what_is_done(place, how, status):
    """By Ctrl-C, or by a reader that leaves, as `head` does."""
    asked = ["detect", *["it.png"] * 2_000, "--boxes", coco(place), "--memory", "colours", "--json"]
    begin = (  # what starts in the background may ignore interruptions
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from rar_agent.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", begin, *asked, "--results", "results.json"],
        env={**os.environ, "RAR_DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert '"detections"' in process.stdout.readline()
        if how == "interrupted":
            process.send_signal(signal.SIGINT)
            process.stdout.read()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == status, said
    assert ("interrupted" in said) == (how == "interrupted")
    assert "Traceback" not in said
    assert "of 2,000 images; category ids" in said
    assert {row["image_id"] for row in json.loads((place / "results.json").read_text())} == {5}


def test_an_error_before_anything_is_done_leaves_the_old_results(rar, place):
    (place / "results.json").write_text("old")
    asked = ("detect", "it.png", "other.png", "--boxes", coco(place), "--results", "results.json")
    assert rar(*asked, "--memory", "colours", "--only", "loud").status == 2
    assert (place / "results.json").read_text() == "old"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--only", "loud"], "no branch or category 'loud'"),
        (["--where", "letters=99"], "No category passes the filter"),
        (["--where", "size=1"], "No category has metadata 'size'"),
        (["--memory", "nosuch"], "no memory 'nosuch'"),
    ],
)
def test_what_fails_every_image_is_said_once(rar, place, asked, says):
    memory = [] if "--memory" in asked else ["--memory", "colours"]
    done = rar("detect", "it.png", "other.png", "--boxes", coco(place), *memory, *asked, "--json")
    assert (done.status, done.out) == (2, "")
    assert says in done.err


def test_a_tiny_box_among_cocos_ends_nothing(rar, place):
    """Boxes within the first pixel: COCO's are never relative."""
    file = place / coco(place)
    whole = json.loads(file.read_text())
    whole["annotations"][2]["bbox"] = [0, 0, 0.5, 0.5]  # the only one of other.png
    file.write_text(json.dumps(whole))
    asked = ("detect", "other.png", "it.png", "--boxes", file.name, "--memory", "colours")
    done = rar(*asked, "--json", "--results", "results.json")
    assert done.status == 0, done.err
    assert [len(one["detections"]) for one in answers(done)] == [1, 2]
    assert {row["image_id"] for row in json.loads((place / "results.json").read_text())} == {5, 6}


def test_an_image_of_another_size_than_is_listed_fails(rar, place):
    file = place / coco(place)
    whole = json.loads(file.read_text())
    whole["images"][0] |= {"width": 192, "height": 384}  # as a camera that was turned has it
    whole["images"][1] |= {"width": 192, "height": 192}
    file.write_text(json.dumps(whole))
    asked = ("detect", "it.png", "other.png", "--boxes", file.name, "--memory", "colours")
    done = rar(*asked, "--json")
    assert done.status == 1
    turned, fine = answers(done)
    assert turned["error"] == (
        "'it.png' is listed as 192x384 in 'coco.json', and is 384x192 upright. Give the image that "
        "was listed, or its size and boxes in pixels of the upright one."
    )
    assert best(fine) == ["green"]


def test_messages_name_the_file_that_lists(rar, place):
    scene("red").save(place / "unlisted.png")
    rows = [{"image_id": 5, "bbox": BOXES[1], "score": 0.25, "category_id": 30}]
    (place / "found.json").write_text(json.dumps(rows))
    asked = ("detect", "unlisted.png", "--memory", "colours", "--boxes", "found.json")
    listed = rar(*asked, "--annotations", coco(place))
    assert "'coco.json' has no image 'unlisted.png' among its 2." in listed.err
    alone = rar(*asked, "--results", "results.json")
    assert alone.status == 2
    assert "fix: Give --annotations FILE, which lists it." in alone.err
    both = ("--annotations", "coco.json", "--results", "results.json")
    said = rar("detect", "it.png", "--memory", "colours", "--boxes", "found.json", *both).err
    assert "category ids: by name, as 'coco.json' has them" in said


def test_a_list_of_images_alone_is_enough_for_results(rar, place):
    file = place / coco(place)
    whole = json.loads(file.read_text())
    del whole["annotations"]
    file.write_text(json.dumps(whole))
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    done = rar(*asked, "--annotations", file.name, "--results", "results.json")
    assert done.status == 0, done.err
    assert {row["image_id"] for row in json.loads((place / "results.json").read_text())} == {5}


def test_boxes_keep_their_numbers_and_ids(rar, place):
    boxes = [
        {"box": BOXES[0], "id": "a", "score": 0.5},
        {"box": BOXES[0], "id": "b", "score": 1},
        {"box": BOXES[1], "id": "c", "score": 1},
        {"box": [SIDE, 0, 999, 999], "id": "d", "score": 0.25},
    ]
    (place / "boxes.json").write_text(json.dumps(boxes))
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours", "--nms", 0.5)
    done = rar(*asked)
    assert done.status == 0, done.err
    heads, *shown = [line.split() for line in done.out.splitlines()[1:] if line.strip()][:4]
    assert heads[:3] == ["#", "id", "box"]
    assert [line[:2] for line in shown] == [["2", "b"], ["3", "c"], ["4", "d"]]
    assert shown[2][2:4] == ["192,0", "999x999"]


def test_results_have_the_ids_of_the_annotations(rar, place):
    file = coco(place)
    asked = ("detect", "it.png", "other.png", "--boxes", file, "--memory", "colours", "--json")
    done = rar(*asked, "--results", "results.json")
    assert done.status == 0, done.err
    found = json.loads((place / "results.json").read_text())
    assert {row["category_id"] for row in found} <= {100, 7, 30}
    first = max((row for row in found if row["image_id"] == 6), key=lambda row: row["score"])
    assert (first["category_id"], first["bbox"]) == (30, BOXES[0])
    expected = {
        (answer["detections"][at]["box"][0], ranked["category"]["name"]): ranked["probability"]
        for answer in answers(done)[:1]
        for at in (0, 1)
        for ranked in answer["detections"][at]["recognition"]["categories"]
    }
    numbers = {100: "red", 7: "blue", 30: "green"}
    for row in found:
        if row["image_id"] == 5:
            assert row["score"] == expected[row["bbox"][0], numbers[row["category_id"]]]
    assert "category ids: by name, as 'coco.json' has them; 3 categories it does not" in done.err
    rar(*asked, "--results", "results.json", "--limit", 1)
    assert len(json.loads((place / "results.json").read_text())) == 2


def test_results_without_names_say_what_their_numbers_are(rar, place):
    file = coco(place)
    whole = json.loads((place / file).read_text())
    (place / file).write_text(json.dumps({**whole, "categories": []}))
    for extra in (("--boxes", file), ("--boxes", "boxes.json", "--annotations", file)):
        asked = ("detect", "it.png", *extra, "--memory", "colours", "--results", "results.json")
        done = rar(*asked)
        assert done.status == 0, done.err
        assert "category ids: places in the memory, from 1: 'coco.json' names none" in done.err
        names = [category.name for category in Recognizer("colours").memory.categories]
        found = json.loads((place / "results.json").read_text())
        assert names[found[0]["category_id"] - 1] in ("red", "blue")
        assert {row["image_id"] for row in found} == {5}


def test_results_of_images_that_are_not_listed(rar, place):
    listing = ("--annotations", coco(place), "--results", "results.json", "--json")
    scene("red").save(place / "unlisted.png")
    (place / "boxes.json").write_text(json.dumps(BOXES[:1]))
    asked = ("detect", "unlisted.png", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    done = rar(*asked, *listing)
    assert done.status == 1
    unlisted, found = answers(done)
    assert unlisted["kind"] == "NotFoundError"
    assert best(found) == ["red"]
    assert {row["image_id"] for row in json.loads((place / "results.json").read_text())} == {5}


def test_a_model_is_asked(rar, place, server, monkeypatch):
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    monkeypatch.setenv("RAR_MODEL_RETRIES", "0")
    server.script = [Reply('{"1": ["A", "B", "C", "D", "E"], "2": ["A", "B", "C", "D", "E"]}')]
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    given = (*asked, "--model", "m", "--base-url", server.url)
    done = rar(*given)
    assert done.status == 0, done.err
    assert len(server.requests) == 1
    assert "boxes in " in done.out
    assert "s; m was asked about 1 box, 300+12 tokens, cost unknown" in done.out
    server.script = [Reply(status=500)]
    done = rar(*given)
    assert done.status == 0
    assert "degraded to the retrieval order, 1 box: " in done.out
    assert sum(words[-1] == "degraded" for words in rows(done).values()) == 1


def test_a_detector_proposes(rar, place, checkpoint, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RAR_MAX_BOXES", "9")
    name = f"torchvision:{SMALL}/{checkpoint[1]}"
    done = rar("detect", "it.png", "--memory", "colours", "--proposer", name, "--nms", 0)
    assert done.status == 0, done.err
    assert f"proposed by {name}" in done.out
    assert 0 < len(rows(done)) < 9  # they are noise, anywhere in the picture


def test_it_says_why_boxes_were_abstained_and_what_nms_left_out(rar, place):
    asked = ("detect", "it.png", "--boxes", "boxes.json", "--memory", "colours")
    done = rar(*asked, "--error-rate", "0.01", "--method", "knn")
    assert "boxes abstained: an error rate of 0.01 cannot be promised" in done.out
    (place / "twice.json").write_text(json.dumps([BOXES[0], BOXES[0]]))
    done = rar("detect", "it.png", "--boxes", "twice.json", "--memory", "colours", "--nms", 0.5)
    assert "note: --nms left out 1 box of " in done.err


def test_the_example(rar):
    done = rar("detect", "--example")
    assert done.status == 0, done.err
    assert rows(done)[1][3:5] == ["space", "shuttle"]
    assert rows(done)[2][3:5] == ["football", "helmet"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "No image is named.\n  fix: Name one, or try: rar-agent detect --example"),
        (["it.png"], 2, "There are no boxes.\n  fix: Give --boxes FILE, or --proposer"),
        (["it.png", "--boxes", "no.json"], 2, "'no.json' cannot be read: No such file"),
        (["it.png", "--boxes", "."], 2, "'.' cannot be read: Is a directory"),
        (["it.png", "--boxes", "it.png"], 2, "'it.png' is not JSON"),
        (["it.png", "--boxes", "it.png", "--format", "coco"], 2, "'it.png' is not JSON"),
        (["it.png", "--boxes", "boxes.json", "--format", "coco"], 2, "is not in COCO's format"),
        (["it.png", "--boxes", "boxes.json", "--format", "x"], 2, "--format x is unknown."),
        (["it.png", "--boxes", "boxes.json", "--annotations", "no.json"], 2, "'no.json' cannot be"),
        (["it.png", "--boxes", "boxes.json", "--annotations", "."], 2, "'.' cannot be read: Is a"),
        (["it.png", "--boxes", "boxes.json", "--format", "xywh-relative"], 2, "--format xywh"),
        (["it.png", "--format", "xyxy"], 2, "--format xyxy says how boxes are given."),
        (["no.png", "--boxes", "boxes.json"], 2, "is not a file"),
        (["it.png", "--boxes", "boxes.json", "--proposer", "x"], 2, "takes the place of --boxes"),
        (["it.png", "--proposer", "x"], 3, "'x' names no proposer"),
        (["it.png", "--boxes", "boxes.json", "--memory", "nosuch"], 2, "no memory 'nosuch'"),
        (["it.png", "--boxes", "boxes.json", "--only", "loud"], 2, "no branch or category 'loud'"),
        (["it.png", "--boxes", "boxes.json", "--orders", "2"], 2, "--orders says how a model"),
        (["it.png", "--boxes", "boxes.json", "--method", "x"], 2, "Choose fitted or knn"),
        (["it.png", "--boxes", "boxes.json", "--draw", "x.txt"], 2, "Name a .png, .jpg or .webp"),
        (["it.png", "--boxes", "boxes.json", "--draw", "no/x.png"], 2, "in a folder there is"),
        (["it.png", "other.png", "--boxes", "boxes.json", "--draw", "x.png"], 2, "Name a folder."),
        (["it.png", "--boxes", "boxes.json", "--results", "x"], 2, "nothing lists the images"),
        (["it.png", "--boxes", "boxes.json", "--results", "no/x"], 2, "in a folder there is"),
        (["it.png", "--boxes", "boxes.json", "--results", "x", "--limit", "0"], 2, "--limit 0"),
        (["it.png", "--boxes", "boxes.json", "--nms", "2"], 2, ""),
        (["--example", "it.png"], 2, "--example has an image and boxes."),
    ],
)
def test_what_cannot_be(rar, place, arguments, status, says):
    given = [] if "--memory" in arguments or "--example" in arguments else ["--memory", "colours"]
    done = rar("detect", *arguments, *given)
    assert (done.status, done.out) == (status, ""), done.err
    assert says in done.err


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ("{", "standard input is not JSON"),
        ("[" * 100_000, "standard input is not JSON"),
        ("[[1, 2, 3]]", "Box 1 of 1, [1, 2, 3], has 3 numbers"),
        ('[["a", 2, 3, 4]]', "is not four numbers"),
        ("[[1, 2, NaN, 4]]", "not finite"),
        ('{"x": 1}', "A dict with x has no boxes"),
        ('"x"', "Give boxes of four numbers each, or a file in COCO's format"),
        ("[[0.1, 0.1, 0.5, 0.5]]", "fix: Say --format xywh-relative."),
        ('[{"image_id": 1}]', "is not in COCO's format"),
        ("[" + ", ".join(["[1, 1, 9, 9]"] * 11) + "]", "has 11 boxes for 'it.png', more than 10."),
    ],
)
def test_boxes_that_are_none(rar, place, monkeypatch, boxes, says):
    """Of one image and of several: boxes for all fail all."""
    monkeypatch.setenv("RAR_MAX_BOXES", "10")
    for more in ([], ["other.png"], ["--json"]):
        pipe(monkeypatch, boxes)
        done = rar("detect", "it.png", *more, "--boxes", "-", "--memory", "colours")
        assert (done.status, done.out) == (2, "")
        assert says in done.err


KEYS = (
    *("bbox", "box", "boxes", "score", "name", "id", "image_id", "category_id", "iscrowd"),
    *("images", "annotations", "categories", "file_name"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(value=json_values, form=st.sampled_from((None, *FORMS)))
def test_whatever_is_in_the_file(value, form, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(value))
    image = AdmittedImage("0" * 64, Image.new("RGB", (30, 20)), "any.png")
    found, error = [], None
    try:
        found = read_boxes_file(str(file), form, None).of(image, "1.png", 3)
    except RarError as raised:
        error = raised
    assert error is None or (error.exit_code == 2 and error.fix)
    assert len(found) <= 3
    assert all(one.box[2] > 0 and one.box[3] > 0 for one in found)


def detection(box, score, name):
    trace = Trace(
        memory="m",
        generation=1,
        encoder="e",
        device="cpu",
        precision="fp32",
        method="text",
        calibrated=False,
        probability_means="nothing",
        ranker="none",
    )
    if name is None:
        failure = Failure(source="x", error="e", kind="InputError")
        return Detection(box=box, failure=failure)
    ranked = RankedCategory(
        category=Category(name=name), probability=score, retrieval_probability=score, evidence=()
    )
    recognition = Recognition(
        image="0" * 64, source="x", decision="accepted", categories=(ranked,), trace=trace
    )
    return Detection(box=box, score=score, recognition=recognition)


def overlap(one, other):
    sides = [
        max(0.0, min(one[at] + one[at + 2], other[at] + other[at + 2]) - max(one[at], other[at]))
        for at in (0, 1)
    ]
    both = sides[0] * sides[1]
    return both / (one[2] * one[3] + other[2] * other[3] - both)


@given(
    boxes=st.lists(
        st.builds(
            detection,
            st.tuples(*[st.integers(0, 8)] * 2, *[st.integers(1, 8)] * 2),
            st.integers(0, 4).map(lambda score: score / 4),
            st.sampled_from(("cat", "dog", None)),
        ),
        max_size=8,
    ),
    iou=st.sampled_from((0.0, 0.3, 0.52, 1.0)),
)
def test_of_boxes_that_overlap_the_surest_stays(boxes, iou):
    whole = Detections(image="0" * 64, source="x", width=9, height=9, detections=tuple(boxes))
    places = kept(whole, iou)
    assert places == sorted(set(places))
    left = [boxes[place] for place in places]

    def rivals(one):
        return [
            other
            for other in left
            if other is not one
            and other.label == one.label
            and overlap(one.box, other.box) > iou + 1e-9
        ]

    for one in boxes:
        if one.failure:
            assert any(one is found for found in left)
        elif any(one is found for found in left):
            assert not rivals(one)
        else:
            assert any(other.score >= one.score for other in rivals(one))


@pytest.mark.data
def test_a_picture_of_coco_with_its_boxes(rar, data, monkeypatch, tmp_path):
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    file = data / "coco128" / "instances.json"
    made = rar("memory", "create", "coco", "--names", file, "--encoder", "builtin")
    assert made.status == 0, made.err
    image = data / "coco128" / "images" / "000000000009.jpg"
    asked = ("detect", image, "--boxes", file, "--memory", "coco", "--json")
    done = rar(*asked, "--results", "results.json", "--draw", "drawn.png")
    assert done.status == 0, done.err
    [answer] = answers(done)
    whole = json.loads(file.read_text())
    names = {one["id"]: one["name"] for one in whole["categories"]}
    right = [one for one in whole["annotations"] if one["image_id"] == 9]
    assert [one["box"] for one in answer["detections"]] == [one["bbox"] for one in right]
    hits = [
        label == names[one["category_id"]] for label, one in zip(best(answer), right, strict=True)
    ]
    assert sum(hits) >= 1  # one broccoli of eight things: the builtin encoder knows names roughly
    found = json.loads(Path("results.json").read_text())
    assert {row["image_id"] for row in found} == {9}
    assert {row["category_id"] for row in found} <= names.keys()
    assert "left out" not in done.err
    assert Image.open("drawn.png").size == (answer["width"], answer["height"])
