"""A report as people have it: a file, opened in a real browser that has no network."""

import re
from importlib.resources import files

import pytest

from tests.evaluation.report.conftest import HOSTILE, ROBIN, WREN

pytestmark = pytest.mark.slow
KNN, RANKED = ("61.2 %", "52.3 %", "73.5 %"), ("84.6 %", "75.7 %", "96.8 %")
"""At 4-shot: top-1, and its interval."""
COMPLAIN = """addEventListener("securitypolicyviolation", (refused) =>
    console.error(`refused: ${refused.effectiveDirective}`))"""


@pytest.fixture
def opened(chromium):
    """Opens files; in the end nothing was asked for, refused or complained of."""
    contexts, complaints = [], []

    def open_file(file, heard=complaints, **options):
        viewport = {"width": 1100, "height": 900}
        context = chromium.new_context(**{"viewport": viewport, "offline": True, **options})
        context.set_default_timeout(4_000)
        context.add_init_script(COMPLAIN)
        contexts.append(context)
        page = context.new_page()
        ours = (file.as_uri(), "data:image/jpeg;base64,")
        page.on("request", lambda asked: asked.url.startswith(ours) or heard.append(asked.url))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("console", lambda said: heard.append(said.text))
        page.goto(file.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def report_page(opened, report):
    """The report, when its samples can be looked at."""
    return ready(opened(report.html))


def ready(page):
    page.locator("html[data-ready]").wait_for()
    return page


def row_of(section, table, name):
    """What a row of a table says."""
    rows = section.get_by_role("table", name=table).get_by_role("row")
    return rows.filter(has=section.page.get_by_role("rowheader", name=name, exact=True))


def loaded(pictures):
    """Whether each picture is there, and shows."""
    return pictures.evaluate_all("all => all.map(one => one.complete && one.naturalWidth > 0)")


def test_the_summary_has_intervals_and_the_papers_row_is_beside_ours(report_page):
    summary = report_page.locator("#summary")
    said = row_of(summary, "top-1, with 95 % intervals", "4-shot").inner_text()
    assert re.findall(r"[\d.]+ %", said) == [*KNN, *RANKED]
    bars = summary.locator(".bar:visible .length")
    lengths = bars.evaluate_all("all => all.map(one => one.getTotalLength() / 120)")
    assert lengths == pytest.approx([0.4001, 0.5002, 0.6123, 0.8456], abs=0.001)
    assert not summary.get_by_text("formula of top-1").is_visible()
    summary.get_by_text("How each metric is computed").click()
    assert summary.get_by_text("formula of top-1").is_visible()
    paper = report_page.locator("#paper")
    assert "nothing of theirs was run here" in paper.inner_text()
    rar = row_of(paper, "The paper's figures and ours", "4-shot, top-1").last.inner_text()
    assert re.findall(r"[\d.]+ %", rar) == ["80.4 %", *RANKED]
    assert "RAR, as published" in rar
    alike = {part: row_of(paper, "What differs", part).inner_text() for part in ("k", "encoder")}
    assert "= same" in alike["k"]
    assert "≠ differs" in alike["encoder"]


def test_every_plot_is_drawn_with_its_numbers(report_page):
    plots = report_page.locator("#plots section")
    assert plots.locator("h3").all_inner_texts() == [
        "Accuracy by exemplars a category",
        "Cost against accuracy",
        "Accuracy by category, from the worst to the best",
        "Risk and coverage, 4-shot",
        "Reliability, 4-shot",
    ]
    drawn = plots.locator("svg.chart")
    for at in range(drawn.count()):
        box = drawn.nth(at).bounding_box()
        assert box["width"] > 300 < 2 * box["height"]
        assert drawn.nth(at).locator(".s2 .line, .s2 .dot").count()  # ranked, in its own colour
    shots = plots.nth(0)
    marks = shots.locator(".dot[transform]")
    assert marks.locator("title").all_text_contents() == [
        "nearest exemplars, 1: 40.0 %",
        "nearest exemplars, 4: 61.2 %",
        "ranked (simulated), 1: 50.0 %",
        "ranked (simulated), 4: 84.6 %",
    ]
    heights = [-marks.nth(at).bounding_box()["y"] for at in range(4)]
    assert heights[0] < heights[2] < heights[1] < heights[3]
    assert shots.locator(".whisker").count() == 4
    shots.get_by_text("Its numbers").click()
    assert shots.get_by_role("row").filter(has_text="75.7 % to 96.8 %").is_visible()


def test_categories_confusions_and_failures_are_shown(report_page):
    categories = report_page.locator("#categories").get_by_role("table")
    assert categories.get_by_role("rowheader").all_inner_texts() == [HOSTILE, WREN]  # worst first
    pairs = report_page.locator("#confusions li")
    assert pairs.locator("h3").all_inner_texts() == [f"{WREN} → {ROBIN}", f"{HOSTILE} → {ROBIN}"]
    for at in range(2):
        pictures = pairs.nth(at).locator("img")
        assert pictures.count() == 3  # the image, and what is known of both
        assert all(loaded(pictures))
    said = pairs.nth(0).locator("figcaption").all_inner_texts()
    assert said == [WREN, f"known: {WREN}", f"known: {ROBIN}"]
    failures = report_page.locator("#failures")
    assert "1 image could not be answered" in failures.inner_text()
    assert "no <image>" in failures.get_by_role("table").inner_text()
    assert "0123456789abcdef" in report_page.locator("#run").inner_text()


def listed(page):
    """Keys of the samples in the list, in order."""
    return [said.rsplit(" · ", 1)[1] for said in page.locator("#room .quiet").all_inner_texts()]


def test_filters_show_exactly_what_they_say(report, report_page):
    page, records = report_page, report.records
    first = {r.sample: (r.retrieval.names[0] == r.truth, r.ranked.names[0] == r.truth)
             for r in records}  # fmt: skip
    wrong = {key for key, (_, after) in first.items() if not after}
    assert set(listed(page)) == set(first)
    assert set(listed(page)[: len(wrong)]) == wrong
    assert page.locator("#found").inner_text() == "8 of 8 answers, 3 of them wrong; errors first"
    expected = {
        "regressions": {key for key, rights in first.items() if rights == (True, False)},
        "corrections": {key for key, rights in first.items() if rights == (False, True)},
        "abstained": {r.sample for r in records if not r.ranked.accepted},
        "degraded": {r.sample for r in records if r.ranking.degraded},
        "repaired": {r.sample for r in records if r.ranking.repairs},
        "missed": {r.sample for r in records if r.truth not in r.retrieval.names},
        "pictured": {r.sample for r in records if not r.sample.endswith("/2.jpg")},
    }
    only = page.get_by_label("Only")
    for name, keys in expected.items():
        assert 0 < len(keys) < len(records)
        only.select_option(name)
        assert set(listed(page)) == keys, name
        assert f"({len(keys)})" in only.locator("option:checked").inner_text()
    page.get_by_role("button", name="All samples").click()
    assert len(listed(page)) == len(records)
    page.get_by_role("combobox", name="Answer").select_option("wrong")
    assert set(listed(page)) == wrong
    page.get_by_label("Judged by").select_option("retrieval")
    assert set(listed(page)) == {key for key, (before, _) in first.items() if not before}
    page.get_by_role("button", name="All samples").click()
    page.get_by_role("combobox", name="Cell").select_option("1-shot, seed 1")
    assert listed(page) == [records[-1].sample]
    page.get_by_role("button", name="All samples").click()
    words = page.get_by_label("Words in names or keys")
    words.fill("KÄFER")
    assert set(listed(page)) == {
        r.sample for r in records if HOSTILE in (r.truth, r.ranked.names[0])
    }
    words.fill("no such bird")
    assert listed(page) == []
    assert page.locator("#detail").inner_text() == "Nothing is like that."


def test_a_sample_says_all_that_became_of_it(report_page):
    page = report_page
    page.locator(".row").filter(has_text="test/wren/3.jpg").click()
    detail = page.locator("#detail")
    detail.get_by_role("heading", name="test/wren/3.jpg").wait_for()
    said = detail.inner_text()
    assert "ranked (simulated), accepted, and is wrong: robin, 50.3 %" in said
    assert "true: wren" in said
    assert "ranking undid a right answer" in said
    assert loaded(detail.get_by_role("img", name="test image test/wren/3.jpg")) == [True]
    assert loaded(detail.get_by_role("img", name="exemplar of")) == [True, True]
    candidates = detail.get_by_role("table").get_by_role("row").all_inner_texts()
    assert [re.split(r"\s*\t\s*", one) for one in candidates] == [
        ["category", "nearest exemplars", "retrieval", "ranked (simulated)", "model's place"],
        ["wren (true)", "1.", "1. 70.0 %", "2. 30.0 %", "2."],
        ["robin", "2.", "2. 20.0 %", "1. 50.3 %", "1."],
    ]
    assert "rank@1, abcdef012345" in said
    assert "1 call, 321+45 tokens, $0.000123" in said
    raw = detail.locator("pre")
    assert raw.inner_text() == "raw answer 3 </script><img src=x onerror=window.hit=3>"


def test_what_a_run_holds_is_text_wherever_it_stands(report, report_page):
    page = report_page
    for at in range(len(report.records)):
        page.locator(".row").nth(at).click()
        page.locator("#detail h3").wait_for()
    page.get_by_label("Words in names or keys").fill(HOSTILE)
    assert page.locator("#room b").first.inner_text().startswith("<img src=x")
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src='x']").count() == 0


def test_what_is_not_ours_neither_runs_nor_is_fetched(opened, report, tmp_path):
    """The policy would hold even where escaping failed; and tests hear what it refuses."""
    strange = "<script>window.hit=9</script><img src='https://example.org/x.png' alt=''>"
    page = report.html.read_text("utf-8").replace("<h1>", f"{strange}<h1>", 1)
    (tmp_path / "page.html").write_text(page, "utf-8")
    heard = []
    page = ready(opened(tmp_path / "page.html", heard))
    assert page.evaluate("window.hit") is None
    assert {said for said in heard if said.startswith("refused")} == {
        "refused: script-src-elem",
        "refused: img-src",
    }


def test_all_of_it_works_with_a_keyboard(report_page):
    page, press = report_page, report_page.keyboard.press
    focused = page.locator(":focus")
    press("Tab")
    assert focused.inner_text() == "To the report"
    press("Enter")
    assert focused.get_attribute("id") == "main"
    tab_to(page, "Show these samples")
    press("Enter")
    assert focused.get_attribute("id") == "list"
    assert listed(page) == ["test/wren/3.jpg"]
    press("Shift+Tab")
    assert focused.inner_text() == "All samples"
    press("Space")
    page.get_by_text("8 of 8 answers").wait_for()
    for _ in range(2):
        press("Shift+Tab")
    assert focused.get_attribute("id") == "only"
    page.keyboard.type("regr")
    assert listed(page) == ["test/wren/3.jpg"]
    press("Home")  # of the menu: everything
    for _ in range(3):
        press("Tab")
    assert focused.get_attribute("id") == "list"
    everything = listed(page)
    for key, at in (("ArrowDown", 1), ("End", 7), ("ArrowDown", 7), ("ArrowUp", 6), ("Home", 0)):
        press(key)
        page.get_by_role("heading", name=everything[at], exact=True).wait_for()
        chosen = page.locator(f"#{focused.get_attribute('aria-activedescendant')}")
        assert chosen.get_attribute("aria-selected") == "true"
        assert everything[at] in chosen.inner_text()
    press("Tab")
    assert focused.get_attribute("id") == "detail"


def tab_to(page, text):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == text:
            return
    raise AssertionError(f"{text} is never focused")


def test_a_long_list_draws_only_what_is_in_sight(opened, long_report):
    page = ready(opened(long_report.html))
    assert "550 of 550 answers" in page.locator("#found").inner_text()
    rows = page.locator(".row")
    assert rows.count() < 40
    page.locator("#list").focus()
    page.keyboard.press("End")
    page.get_by_role("heading", name="test/wren/548.jpg").wait_for()
    assert "raw answer 548 " in page.locator("#detail pre").inner_text()
    assert rows.last.is_visible()
    assert rows.last.get_attribute("aria-posinset") == "550"
    page.locator("#list").evaluate("list => list.scrollTop = 0")
    rows.filter(has_text="test/wren/549.jpg").click()  # wrong, and surest
    page.get_by_role("heading", name="test/wren/549.jpg").wait_for()
    assert rows.count() < 40


def open_all(page):
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 375), ("dark", 1100)])
@pytest.mark.parametrize("which", ["report", "comparison"])
def test_it_fits_and_can_be_used_by_everybody(opened, request, which, scheme, width):
    """axe-core finds nothing, and the page does not scroll sideways."""
    axe = pytest.importorskip("axe_playwright_python", reason="needs the extra ui-test")
    file = request.getfixturevalue(which).html
    page = opened(file, viewport={"width": width, "height": 812}, color_scheme=scheme)
    if which == "report":
        ready(page).locator(".row").first.click()
        page.locator("#detail h3").wait_for()
    for state in ("closed", "open"):
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, state
        page.evaluate((files(axe) / "axe.min.js").read_text("utf-8"))
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        bad = [(one["id"], node["html"]) for one in found for node in one["nodes"]]
        assert bad == [], state
        open_all(page)


def test_a_comparison_says_how_surely_and_shows_where(opened, comparison):
    page, found = opened(comparison.html), comparison.found
    assert page.locator("h1").inner_text() == "before <i>and</i> after"
    assert page.locator("header strong").inner_text() == found.verdict
    assert "half of it is <i>synthetic</i>" in page.locator(".caution").inner_text()
    figures = page.locator("#figures")
    whole = row_of(figures, "before and after: top-1", "all")
    said = whole.inner_text()
    assert f"{100 * found.all.a:.1f} %" in said
    low, high = (f"{100 * end:+.1f} points" for end in (found.all.low, found.all.high))
    assert f"{low} to {high}" in said
    assert whole.locator(".bar").is_visible()
    assert whole.locator(".bar .whisker").count() == 1
    figures.get_by_text("How it is computed").click()
    assert "McNemar" in figures.locator("details").inner_text()
    changes = page.locator("#changes pre")
    assert changes.inner_text() == "-a\n+<script>window.hit=4</script>"
    examples = page.locator("#examples li")
    assert examples.count() == found.all.only_a + found.all.only_b == 2
    said = examples.filter(has_text="test/wren/3.jpg").inner_text()
    assert "before: robin, wrong" in said
    assert "after: right" in said
    assert "raw answer 3 </script><img src=x onerror=window.hit=3>" in said
    assert loaded(examples.locator("img")) == [True]  # the other one's file is gone
    assert page.evaluate("window.hit") is None
