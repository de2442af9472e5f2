import numpy as np

from rar_agent.sheet import CELL, contact_sheet
from rar_agent.types import Category, Exemplar, RankedCategory, Recognition, Trace
from tests.conftest import draw


def recognition(source, categories, decision="accepted"):
    trace = Trace(
        memory="m",
        generation=1,
        encoder="e",
        device="cpu",
        precision="fp32",
        method="gda",
        calibrated=False,
        probability_means="x",
        ranker="retrieval",
    )
    return Recognition(
        image="0" * 64, source=source, decision=decision, categories=tuple(categories), trace=trace
    )


def ranked(name, source=None):
    exemplars = (Exemplar(entry=1, source=str(source), similarity=0.5),) if source else ()
    return RankedCategory(
        category=Category(name=name),
        probability=0.5,
        retrieval_probability=0.5,
        evidence=("image",),
        exemplars=exemplars,
    )


def cell(sheet, row, column):
    left, top = 10 + column * (CELL + 10), 10 + row * (CELL + 54)
    return np.asarray(sheet.crop((left, top, left + CELL, top + CELL))).mean(axis=(0, 1))


def test_queries_and_exemplars_are_where_they_belong(tmp_path):
    from PIL import Image

    Image.new("RGB", (50, 50), "blue").save(tmp_path / "blue.png")
    found = [
        recognition("red.png", [ranked("blue", tmp_path / "blue.png"), ranked("name only")]),
        recognition("x.png", [ranked("gone", tmp_path / "gone.png")], "abstained"),
    ]
    sheet = contact_sheet(found, [Image.new("RGB", (90, 90), "red"), draw("red", 1)])
    assert sheet.size == (10 + 3 * (CELL + 10), 10 + 2 * (CELL + 54))
    assert cell(sheet, 0, 0).tolist() == [255, 0, 0]
    assert cell(sheet, 0, 1).tolist() == [0, 0, 255]
    assert cell(sheet, 0, 2).mean() > 200  # names without exemplars: an empty cell
    assert cell(sheet, 1, 1).mean() > 200  # the file has gone


def test_long_and_foreign_names_and_nothing_at_all():
    names = ["x" * 200, "Bachman's Sparrow", "鳥", ""]
    sheet = contact_sheet([recognition("a", [ranked(n or "?") for n in names])], [draw("red", 1)])
    assert sheet.width == 10 + 5 * (CELL + 10)
    assert contact_sheet([], []).size[0] > 0


def test_a_kept_thumbnail_stands_in_for_a_file_that_has_gone(tmp_path):
    import io

    from PIL import Image

    kept = io.BytesIO()
    Image.new("RGB", (40, 40), "blue").save(kept, "JPEG")
    asked = []

    def thumbnail(entry):
        asked.append(entry)
        return kept.getvalue() if entry == 1 else b""

    found = [recognition("x.png", [ranked("gone", tmp_path / "gone.png"), ranked("name only")])]
    sheet = contact_sheet(found, [draw("red", 1)], thumbnail=thumbnail)
    red, _, blue = cell(sheet, 0, 1)
    assert blue - red > 200
    assert asked == [1]  # not asked for names without exemplars
    empty = contact_sheet(found, [draw("red", 1)], thumbnail=lambda entry: b"")
    assert cell(empty, 0, 1).mean() > 200


def test_a_file_that_is_there_needs_no_thumbnail(tmp_path):
    draw("green", 1).save(tmp_path / "it.png")

    def thumbnail(entry):
        raise AssertionError(entry)

    found = [recognition("x.png", [ranked("there", tmp_path / "it.png")])]
    contact_sheet(found, [draw("red", 1)], thumbnail=thumbnail)
