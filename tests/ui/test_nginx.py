"""The page behind nginx, as docs/serving.md prints it, in a browser that knows it by its name."""

import shutil
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw
from tests.nginx import Nginx, printed
from tests.ui.conftest import named_first
from tests.ui.test_page import recognise

pytestmark = pytest.mark.slow

NAME = "page.example.org"
OPTIONS = ("--name", NAME)
VARIABLES = {"RAR_MAX_BYTES": "9000000"}


@pytest.fixture(scope="module")
def nginx(ui, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "htpasswd").write_text("ann:{PLAIN}of a test\n")
    [configuration] = [block for block in printed("serving.md") if NAME in block]
    changes = {
        "/etc/nginx/rar-agent.htpasswd": str(folder / "htpasswd"),
        "http://127.0.0.1:7860": f"http://{urlsplit(ui.address).netloc}",
    }
    with Nginx(folder, configuration, changes, NAME) as nginx:
        yield nginx


@pytest.fixture
def page(nginx):
    """A user's browser; in the end looks at where it went and what it complained of."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra ui-test")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed")
    there = f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{nginx.port}"
    complaints, asked = [], set()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", there])
        context = browser.new_context(
            ignore_https_errors=True,
            http_credentials={"username": "ann", "password": "of a test"},
        )
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on(
            "request", lambda one: asked.add("{0.scheme}://{0.netloc}".format(urlsplit(one.url)))
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        yield page
        browser.close()
    assert asked <= {f"https://{NAME}", "data://", "blob://"}
    assert complaints == []


def test_a_photo_is_recognised(ui, page, tmp_path):
    """A large one; a model ranks, and the page is opened a second time."""
    ui.model.answer = named_first("blue")
    large = np.asarray(draw("green", 77).resize((1_200, 1_200)))
    grain = np.random.default_rng(0).integers(0, 4, large.shape, np.uint8)
    Image.fromarray(large ^ grain).save(tmp_path / "photo.png")
    assert (tmp_path / "photo.png").stat().st_size > 2**20  # nginx's own limit
    for _ in range(2):
        page.goto(f"https://{NAME}/?{urlsplit(ui.address).query}")
        page.get_by_role("tab", name="Recognise").wait_for()
    answer = recognise(page, tmp_path / "photo.png", "test-model")
    answer.locator("table").wait_for()
    assert "ranked by test-model" in answer.inner_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic YW5uOndyb25n"}, 401),
        ({"Authorization": "Basic YW5uOm9mIGEgdGVzdA==", "Host": "rebound.example"}, 421),
    ],
)
def test_who_has_the_address_needs_a_password_too(ui, nginx, headers, status):
    address = f"/?{urlsplit(ui.address).query}"
    assert httpx.get(ui.address).status_code == 303  # it is the right one
    with nginx.client(headers) as client:
        found = client.get(address)
    assert found.status_code == status
    assert "set-cookie" not in found.headers
