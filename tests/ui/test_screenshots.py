"""The pictures in docs/ui.md: UPDATE_SCREENSHOTS=1 pytest -n0 tests/ui/test_screenshots.py."""

import io
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from rar_agent.memory import create_memory
from rar_agent.types import Category
from tests.ui.conftest import named_first

pytestmark = pytest.mark.skipif(
    not os.environ.get("UPDATE_SCREENSHOTS"), reason="writes docs/images; UPDATE_SCREENSHOTS=1"
)
IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 150_000  # bytes
TAUGHT = {  # photos that ship in scikit-image, CC0 or in the public domain
    "cat": ("chelsea.png", "A domestic cat."),
    "coffee": ("coffee.png", "A cup of espresso, with its spoon."),
    "rocket": ("rocket.jpg", "Seen from afar, on its launch pad."),
    "galaxies": ("hubble_deep_field.jpg", "Seen by the Hubble telescope."),
}


@pytest.fixture
def data():
    return Path(find_spec("skimage").submodule_search_locations[0]) / "data"


@pytest.fixture
def page_of(ui, chromium, data, builtin):
    """Opens a page where the memory `things` was taught."""
    things = [
        (Category(name=name, description=said), [data / file])
        for name, (file, said) in TAUGHT.items()
    ]
    if not (ui.home / "memories" / "things").exists():
        create_memory(ui.home, "things", builtin, things, domain="things", thumbnails=160)
    ui.model.answer = named_first("cat")

    def opened(width, height, scheme):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(ui.address)
        page.get_by_role("tab", name="Recognise").wait_for()
        return page

    return opened


@pytest.fixture
def kitten(data, tmp_path):
    """The cat once more, cut and mirrored."""
    path = tmp_path / "kitten.png"
    whole = Image.open(data / "chelsea.png").convert("RGB")
    whole.crop((60, 0, 420, 300)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    return path


def turn_to(page, tab):
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def choose(page, panel, label, value):
    panel.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def recognise(page, photo):
    panel = turn_to(page, "Recognise")
    panel.locator("input[type=file]").first.set_input_files(photo)
    panel.locator("img[src*='file=']").wait_for()
    choose(page, panel, "Memory", "things")
    panel.get_by_role("button", name="Recognise").click()
    page.locator("#rar-answer table").wait_for()


def keep(page, name, **options):
    page.wait_for_timeout(400)
    taken = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    IMAGES.mkdir(exist_ok=True)
    file = IMAGES / name
    for colours in (256, 128, 64):
        taken.quantize(colours).save(file, optimize=True)
        if file.stat().st_size < LARGEST:
            return
    raise AssertionError(f"{name}: {file.stat().st_size} bytes")


def test_recognise_on_a_screen_and_on_a_phone(page_of, kitten):
    page = page_of(1000, 1000, "light")
    recognise(page, kitten)
    keep(page, "ui-recognise.png")
    page = page_of(390, 800, "dark")
    recognise(page, kitten)
    page.locator("#rar-answer").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#rar-answer').scrollIntoView()")
    keep(page, "ui-phone.png")


def test_boxes(page_of, data, tmp_path):
    """A cup and a cat in one photo."""
    photo = tmp_path / "table.png"
    coffee = Image.open(data / "coffee.png").convert("RGB").resize((600, 400))
    coffee = coffee.crop((90, 60, 480, 380)).resize((488, 400))
    cat = Image.open(data / "chelsea.png").convert("RGB").crop((60, 0, 420, 300)).resize((480, 400))
    whole = Image.new("RGB", (968, 400))
    whole.paste(coffee, (0, 0))
    whole.paste(cat, (488, 0))
    whole.save(photo)
    page = page_of(1300, 980, "light")
    panel = turn_to(page, "Recognise")
    panel.locator("input[type=file]").first.set_input_files(photo)
    panel.locator("img[src*='file=']").wait_for()
    choose(page, panel, "Memory", "things")
    choose(page, panel, "Ranked by", "retrieval alone")
    page.locator("#rar-boxes textarea").fill("40, 20, 420, 350\n530, 10, 420, 380")
    page.locator(".rar-layer text").nth(1).wait_for()
    panel.get_by_role("button", name="Recognise").click()
    page.locator("#rar-answer .rar-enlarge").wait_for()
    page.evaluate("document.activeElement.blur()")
    keep(page, "ui-boxes.png")


def test_teach(page_of, data, tmp_path):
    page = page_of(1000, 800, "light")
    photo = tmp_path / "astronaut.png"
    whole = Image.open(data / "astronaut.png").convert("RGB")
    whole.crop((40, 0, 440, 400)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo)
    choose(page, turn_to(page, "Recognise"), "Ranked by", "retrieval alone")
    recognise(page, photo)
    panel = turn_to(page, "Teach")
    choose(page, panel, "Into memory", "things")
    panel.locator("input[type=file]").first.set_input_files(data / "astronaut.png")
    panel.locator(".file-preview").wait_for()
    panel.get_by_label("Name of the category").fill("astronaut")
    panel.get_by_label("Description (optional)").fill("A person in an orange space suit.")
    panel.get_by_label("Parent (optional)").fill("people")
    panel.get_by_role("button", name="Teach").click()
    page.locator("#rar-taught").get_by_text("1 photo learnt").wait_for()
    keep(page, "ui-teach.png")


def test_browse(page_of):
    page = page_of(1000, 800, "light")
    panel = turn_to(page, "Browse")
    choose(page, panel, "Memory", "things")
    panel.get_by_role("button", name="Show").click()
    page.locator(".rar-cards img").first.wait_for()
    keep(page, "ui-browse.png")


def test_prompts(page_of, kitten):
    page = page_of(1000, 1100, "light")
    recognise(page, kitten)
    panel = turn_to(page, "Prompts")
    choose(page, panel, "Memory", "things")
    choose(page, panel, "Beside it", "choice@1")
    panel.get_by_role("button", name="Compare").click()
    page.locator(".rar-beside").wait_for()
    keep(page, "ui-prompts.png")
