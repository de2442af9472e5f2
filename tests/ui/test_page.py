"""The page as a user has it: a real server, a real browser, a model on loopback."""

import json
import shutil
import threading
import time
from importlib.resources import files
from urllib.parse import urlsplit

import pytest
from PIL import Image

from rar_agent.prompts import write_next
from tests.conftest import draw
from tests.openai_server import Reply
from tests.ui.conftest import HOSTILE, named_first

pytestmark = pytest.mark.slow


@pytest.fixture
def page_of(ui, chromium):
    """Opens pages, a user each; in the end looks at where they went and what they complained of."""
    contexts, hosts, complaints = [], set(), []

    def opened(complains=False, **options):
        context = chromium.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        if not complains:
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.goto(ui.address)
        page.get_by_role("tab", name="Recognise").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert hosts <= {urlsplit(ui.address).netloc, ""}  # no host: data: and blob:
    assert complaints == []


@pytest.fixture
def page(page_of):
    return page_of()


@pytest.fixture
def photo(tmp_path):
    """Saves a drawing; gives its path."""

    def save(colour="green", seed=77, name="photo.png"):
        draw(colour, seed).save(tmp_path / name)
        return tmp_path / name

    return save


def turn_to(page, tab):
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def add(panel, *paths):
    """Add photos, and wait until they are uploaded."""
    panel.locator("input[type=file]").first.set_input_files(paths)
    panel.locator("img[src*='file=']").or_(panel.locator(".file-preview")).first.wait_for()


def recognise(page, path, model=None):
    panel = turn_to(page, "Recognise")
    add(panel, path)
    if model:
        choose(page, panel, "Ranked by", model)
    panel.get_by_role("button", name="Recognise").click()
    return page.locator("#rar-answer")


def choose(page, panel, label, value):
    panel.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1100)])
def test_each_tab_fits_and_can_be_used_by_everybody(page_of, photo, scheme, width):
    """axe-core finds nothing serious, and nothing scrolls sideways."""
    axe = pytest.importorskip("axe_playwright_python", reason="needs the extra ui-test")
    page = page_of(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.evaluate((files(axe) / "axe.min.js").read_text("utf-8"))

    def look(tab):
        page.wait_for_timeout(300)  # colours change slowly
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        bad = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], node["html"]) for v in bad for node in v["nodes"]] == [], tab
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, tab

    turn_to(page, "Recognise")
    look("Recognise, empty")
    answer = recognise(page, photo())
    answer.locator("table").wait_for()
    answer.get_by_text("What was sent to the model").click()
    look("Recognise")
    page.locator("#rar-boxes textarea").fill("0, 0, 60, 60\n20, 20, 60, 60\n900, 9, 9, 9")
    page.get_by_role("button", name="Recognise").click()
    answer.locator(".rar-enlarge").wait_for()
    look("Boxes")
    turn_to(page, "Teach").get_by_role("button", name="Teach").click()
    page.locator("#rar-taught").get_by_role("alert").wait_for()
    look("Teach")
    turn_to(page, "Browse").get_by_role("button", name="Show").click()
    page.locator(".rar-cards").wait_for()
    look("Browse")
    turn_to(page, "Prompts").get_by_role("button", name="Compare").click()
    page.locator(".rar-beside").wait_for()
    look("Prompts")


def test_a_photo_is_recognised_with_a_model_and_without(ui, page, photo):
    ui.model.answer = named_first("blue")
    answer = recognise(page, photo())
    answer.locator("table").wait_for()
    rows = answer.locator("tbody tr")
    assert rows.count() == 5
    before, after = rows.first.locator("td.rar-number").all_inner_texts()
    assert before != after
    assert rows.first.locator("img[alt^='exemplar ']").count() == 3
    said = answer.inner_text()
    assert "ranked by test-model, rank@1, 321+45 tokens, cost unknown, answer exact" in said
    assert "probability: " in said
    assert "times: " in said
    answer.get_by_text("What was sent to the model").click()
    assert "Which of these 5 options" in answer.inner_text()
    assert "accepted: " in page.locator(".rar-status").inner_text()
    asked = len(ui.model.requests)
    answer = recognise(page, photo("green", 78, "other.png"), "retrieval alone")
    answer.get_by_text("no model was asked").wait_for()
    assert len(ui.model.requests) == asked


def corner(page, across, down):
    """Click on the photo, at shares of its width and height."""
    photo = page.locator("#rar-photo .image-frame img")
    photo.wait_for()
    width, height = photo.evaluate("img => [img.naturalWidth, img.naturalHeight]")
    place = photo.bounding_box()
    scale = min(place["width"] / width, place["height"] / height, 1)
    left = place["x"] + (place["width"] - width * scale) / 2
    top = place["y"] + (place["height"] - height * scale) / 2
    page.mouse.move(left + across * width * scale, top + down * height * scale)
    page.mouse.down()
    page.mouse.up()


def two(tmp_path, name="two.png"):
    """A photo of green discs beside black ones."""
    image = Image.new("RGB", (600, 300))
    image.paste(draw("green", 77).resize((300, 300)), (0, 0))
    image.paste(draw("black", 77).resize((300, 300)), (300, 0))
    image.save(tmp_path / name)
    return tmp_path / name


def test_boxes_are_clicked_seen_and_recognised(ui, page, tmp_path):
    ui.model.answer = named_first("blue")
    panel = turn_to(page, "Recognise")
    add(panel, two(tmp_path))
    written, layer = page.locator("#rar-boxes textarea"), page.locator(".rar-layer")
    corner(page, 0.02, 0.02)
    assert "Escape" in page.locator(".rar-status").inner_text()
    page.keyboard.press("Escape")
    assert layer.locator("text").count() == 0
    corner(page, 0.48, 0.98)  # from the lower right
    assert layer.locator("text").count() == 1
    corner(page, 0.02, 0.02)
    assert written.input_value().count("\n") == 0
    corner(page, 0.52, 0.02)
    corner(page, 0.98, 0.98)
    boxes = [list(map(int, line.split(", "))) for line in written.input_value().splitlines()]
    for box, expected in zip(boxes, ([12, 6, 276, 288], [312, 6, 276, 288]), strict=True):
        assert all(abs(a - b) <= 3 for a, b in zip(box, expected, strict=True)), boxes
    assert layer.locator("text").all_text_contents() == ["1", "2"]
    choose(page, panel, "Ranked by", "retrieval alone")
    panel.get_by_role("button", name="Recognise").click()
    answer = page.locator("#rar-answer")
    answer.locator("table").wait_for()
    assert answer.locator(".rar-name").all_inner_texts() == ["green", "black"]
    assert answer.locator("tbody tr").first.locator("img[alt^='exemplar ']").count() == 3
    assert page.locator(".rar-status").inner_text() == "2 of 2 boxes recognised"
    answer.get_by_title("On the whole screen").click()
    page.wait_for_function("document.fullscreenElement?.className == 'rar-enlarge'")
    page.keyboard.press("Enter")
    page.wait_for_function("!document.fullscreenElement")
    panel.get_by_label("Remove Image").click()
    page.wait_for_function("!document.querySelector('#rar-boxes textarea').value")
    answer = recognise(page, two(tmp_path, "other.png"))  # no box is left of the other one's
    answer.get_by_text("Candidates, best first").wait_for()


def test_boxes_are_written_from_the_keyboard_and_drawn(ui, page, tmp_path):
    ui.model.answer = named_first("blue")
    panel = turn_to(page, "Recognise")
    add(panel, two(tmp_path))
    written, layer = page.locator("#rar-boxes textarea"), page.locator(".rar-layer text")
    written.focus()
    page.keyboard.type("[[0, 0, 300, 300]]")
    layer.wait_for()
    corner(page, 0.52, 0.02)
    corner(page, 0.98, 0.98)
    first, second = json.loads(written.input_value())
    assert first == [0, 0, 300, 300]
    assert all(abs(a - b) <= 3 for a, b in zip(second, [312, 6, 276, 288], strict=True))
    written.fill("0 0 300 300\nthe black one")
    panel.get_by_role("button", name="Recognise").click()
    answer = page.locator("#rar-answer")
    alert = answer.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith("'the black one' is no box. Write left, top, width and")
    written.fill("0 0 300 300\n900 900 10 10")
    panel.get_by_role("button", name="Recognise").click()
    answer.locator("table").wait_for()
    said = answer.inner_text()
    assert "test-model was asked about 1 box: rank-crop@1, 321+45 tokens" in said
    assert "failed" in said
    answer.get_by_text("What was sent to the model").click()
    assert "1 request to openai:test-model" in answer.inner_text()


def test_names_that_are_markup_are_text(page, photo):
    answer = recognise(page, photo("red", 5), "retrieval alone")
    answer.locator("table").wait_for()
    assert HOSTILE in answer.locator("tbody tr").first.inner_text()
    panel = turn_to(page, "Browse")
    panel.get_by_label("Search").fill("kätzchen")
    panel.get_by_label("Search").press("Enter")
    page.locator(".rar-cards").get_by_text(HOSTILE).wait_for()
    assert page.locator(".rar-cards > li").count() == 1
    turn_to(page, "Prompts").get_by_role("button", name="Compare").click()
    page.locator(".rar-beside").get_by_text(HOSTILE).first.wait_for()
    assert page.evaluate("window.hit") is None


def test_a_long_ranking_is_pending_and_can_be_stopped(ui, page, photo):
    ui.model.answer = lambda request: Reply("A", delay_s=60)
    left = ui.model.left
    answer = recognise(page, photo())
    answer.get_by_text("Recognising, asking test-model").wait_for()
    wait_until(lambda: ui.model.open)
    stop = page.get_by_role("button", name="Stop").filter(visible=True)
    stop.click()
    answer.get_by_text("Stopped.").wait_for()
    wait_until(lambda: ui.model.left == left + 1)  # nobody is asked on in vain
    assert stop.is_disabled()
    ui.model.answer = named_first("blue")
    page.get_by_role("button", name="Recognise").click()
    answer.locator("table").wait_for()


def test_two_users_at_once_get_each_their_own(ui, page_of, photo):
    first, second = page_of(), page_of()
    hold = threading.Event()

    def slow(request):
        hold.wait(20)
        return named_first("blue")(request)

    ui.model.answer = slow
    waiting = recognise(first, photo("green", 77))
    waiting.get_by_text("Recognising").wait_for()
    answered = recognise(second, photo("black", 5, "black.png"), "retrieval alone")
    answered.locator("table").wait_for()
    assert "black" in answered.locator("h3").inner_text()
    assert waiting.get_by_text("Recognising").is_visible()
    hold.set()
    waiting.locator("table").wait_for()
    assert "green" in waiting.locator("h3").inner_text()
    assert "no model was asked" not in waiting.inner_text()


def test_a_category_is_taught_and_the_last_photo_is_answered_anew(page, photo):
    name = "Gelbe Pünktchen <b>&amp;"
    before = recognise(page, photo("yellow", 70), "retrieval alone")
    before.locator("table").wait_for()
    panel = turn_to(page, "Teach")
    choose(page, panel, "Into memory", "a new memory")
    panel.get_by_label("Name of the new memory").fill("neu")
    choose(page, panel, "Into memory", "colours")
    add(panel, *(photo("yellow", seed, f"{seed}.png") for seed in range(3)))
    panel.get_by_label("Name of the category").fill(name)
    panel.get_by_label("Description (optional)").fill("Gelb.")
    panel.get_by_role("button", name="Teach").click()
    taught = page.locator("#rar-taught")
    taught.get_by_text("3 photos learnt").wait_for()
    said = taught.inner_text()
    assert "before " in said
    assert f"now {name}" in said
    assert panel.get_by_label("Name of the category").input_value() == ""
    assert name in page.locator("#rar-answer h3").text_content()
    panel = turn_to(page, "Browse")
    panel.get_by_label("Search").fill("pünktchen")
    panel.get_by_role("button", name="Show").click()
    page.locator(".rar-cards").get_by_text("3 exemplars").wait_for()
    assert page.locator(".rar-cards img").count() == 3


def test_what_goes_wrong_is_a_sentence(ui, page, tmp_path):
    panel = turn_to(page, "Recognise")
    panel.get_by_role("button", name="Recognise").click()
    alert = page.locator("#rar-answer").get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "There is no photo yet. Drop, choose, paste or take one."
    (tmp_path / "broken.png").write_bytes(b"no image")
    answer = recognise(page, tmp_path / "broken.png")
    answer.get_by_text("broken.png").wait_for()
    assert "Traceback" not in page.content()
    ui.model.answer = lambda request: Reply(status=500)
    draw("green", 1).save(tmp_path / "fine.png")
    panel.get_by_label("Remove Image").click()
    answer = recognise(page, tmp_path / "fine.png")
    answer.get_by_text("degraded to the retrieval order").wait_for()


def test_a_photo_that_is_too_large_is_refused_when_it_is_uploaded(page_of, chromium, ui, tmp_path):
    context = chromium.new_context()
    context.request.get(ui.address)
    upload = {"files": {"name": "a.png", "mimeType": "image/png", "buffer": bytes(1_000_001)}}
    refused = context.request.post(f"{root(ui)}/gradio_api/upload", multipart=upload)
    assert refused.status == 413
    context.close()


def test_a_page_that_is_opened_anew_offers_what_is_there_by_now(ui, page):
    shutil.copytree(ui.home / "memories" / "colours", ui.home / "memories" / "colours-2")
    write_next("mine", "rank@1", ui.home)
    page.reload()
    panel = turn_to(page, "Recognise")
    choose(page, panel, "Memory", "colours-2")
    choose(page, panel, "Prompt", "mine@1")


def test_gradio_may_speak_german_and_the_answer_is_english(page_of, photo):
    page = page_of(locale="de-DE")
    answer = recognise(page, photo(), "retrieval alone")
    answer.locator("table").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    assert answer.locator(".prose").get_attribute("lang") == "en"


def test_everything_can_be_done_from_the_keyboard(page, photo):
    add(turn_to(page, "Recognise"), photo())
    page.get_by_role("tab", name="Recognise").focus()
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || "
            "document.activeElement.innerText || document.activeElement.id || '').trim()"
        )
        reached.append(focused)
        if focused == "Recognise":
            break
    order = [name for name in reached if name in ("Memory", "Ranked by", "Prompt", "Recognise")]
    assert order == ["Memory", "Ranked by", "Prompt", "Recognise"], reached
    page.keyboard.press("Enter")
    page.locator("#rar-answer table").wait_for()


def test_a_photo_is_taken_pasted_or_dropped(page_of, photo):
    page = page_of(permissions=["camera", "clipboard-read", "clipboard-write"])
    answer = page.locator("#rar-answer")
    panel = turn_to(page, "Recognise")
    choose(page, panel, "Ranked by", "retrieval alone")
    run = panel.get_by_role("button", name="Recognise")
    shown = panel.locator("img[src*='file=']")

    panel.get_by_label("Capture from camera").click()
    panel.get_by_text("Access Webcam").or_(panel.get_by_title("grant webcam access")).first.click()
    page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    panel.get_by_label("capture photo").click()
    shown.wait_for()
    run.click()
    answer.locator("table").wait_for()
    panel.get_by_label("Remove Image").click()

    page.evaluate(IN_CLIPBOARD, photo_as_bytes(photo("black", 5, "black.png")))
    panel.get_by_label("Paste from clipboard").click()
    shown.wait_for()
    run.click()
    answer.locator("h3").get_by_text("black").wait_for()
    panel.get_by_label("Remove Image").click()

    panel.get_by_label("Upload file").click()
    page.evaluate(DROPPED, photo_as_bytes(photo("orange", 5, "orange.png")))
    shown.wait_for()
    run.click()
    answer.locator("h3").get_by_text("orange").wait_for()


IN_CLIPBOARD = """async bytes => {
  const photo = new Blob([new Uint8Array(bytes)], {type: "image/png"});
  await navigator.clipboard.write([new ClipboardItem({"image/png": photo})]);
}"""
DROPPED = """bytes => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
  const drop = new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true});
  document.querySelector("button.upload-container").dispatchEvent(drop);
}"""


def photo_as_bytes(path):
    return list(path.read_bytes())


def test_a_file_that_was_not_uploaded_is_not_read(ui, page_of, photo, tmp_path):
    """A page that is not ours could ask so."""
    page = page_of(complains=True)
    secret = tmp_path / "secret.png"
    draw("red", 4711).save(secret)

    def swap(route):
        said = route.request.post_data.replace(uploaded, str(secret))
        assert str(secret) in said
        route.continue_(post_data=said)

    panel = turn_to(page, "Recognise")
    with page.expect_response("**/upload?*") as answered:
        add(panel, photo())
    [uploaded] = answered.value.json()
    page.route("**/queue/join*", swap)
    with page.expect_response("**/queue/join*") as answered:
        panel.get_by_role("button", name="Recognise").click()
    assert answered.value.status == 403
    assert page.locator("#rar-answer table").count() == 0
    copies = [file for file in ui.temporary.rglob("*") if file.is_file()]
    assert secret.read_bytes() not in [file.read_bytes() for file in copies]


def test_files_of_others_are_not_had_and_nothing_without_the_token(ui, chromium, tmp_path):
    secret = tmp_path / "secret.png"
    draw("red", 5).save(secret)
    context = chromium.new_context()
    request = context.request
    for path in ("", "config", f"gradio_api/file={secret}", "theme.css", "gradio_api/queue/data"):
        assert request.get(f"{root(ui)}/{path}").status == 401
    assert request.post(f"{root(ui)}/gradio_api/upload", data="x").status == 401
    assert request.get(ui.address).ok
    assert request.get(f"{root(ui)}/gradio_api/file={secret}").status == 403
    assert (
        request.get(f"{root(ui)}/gradio_api/file={ui.home}/memories/colours/CURRENT").status == 403
    )
    elsewhere = {"origin": "http://evil.example"}
    assert (
        request.post(f"{root(ui)}/gradio_api/queue/join", data={}, headers=elsewhere).status == 403
    )
    context.close()


def root(ui):
    return ui.address.partition("/?")[0]


def wait_until(happened, seconds=20):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
