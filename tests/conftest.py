"""What all tests share. No test reaches anything but loopback: see `addopts` in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell started this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch and NumPy are imported
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # also of the processes that tests start

import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings
from PIL import Image, ImageDraw, ImageFilter

from rar_agent import garbage
from rar_agent.encoders import Encoder, load_encoder
from rar_agent.example import example_photo
from rar_agent.models import budget
from rar_agent.settings import Settings, load_settings
from tests.openai_server import OpenAIServer

# The same examples each time, and no speed asserted; --hypothesis-profile=default draws others.
hypothesis_settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis_settings.load_profile("steady")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU, and torch sees none")


def eventually(holds, limit_s=20.0):
    """Wait until something holds, as long as a busy machine may need for it."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


COLOURS = ("red", "green", "blue", "orange", "purple", "black")


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """RAR_HOME of the session, so that the ready memory is made once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(home, tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("RAR_") and name != "RAR_DATA":
            monkeypatch.delenv(name)
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RAR_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RAR_CACHE_MB", "0")  # scripted servers are there to be asked
    budget.of_process.cache_clear()  # what another test spent is none of this one's
    monkeypatch.setattr(garbage, "_keeps", False)  # a command run in this process says otherwise
    monkeypatch.chdir(tmp_path)  # no rar.toml of the developer's is read


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def server(home):
    with OpenAIServer() as running:
        yield running
    shutil.rmtree(home / "models", ignore_errors=True)  # ports come again, with other servers


@pytest.fixture(scope="session")
def builtin() -> Encoder:
    return load_encoder("builtin", Settings(device="cpu"))


@pytest.fixture(scope="session")
def photo() -> Path:
    return example_photo()


def draw(colour: str, seed: int, side: int = 96) -> Image.Image:
    """A seeded picture of one colour's discs: categories that any encoder tells apart."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(0, side, 2)
        r = int(random.integers(8, 24))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.6))


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """A folder of folders: 6 categories of 6 drawings."""
    folder = tmp_path_factory.mktemp("discs")
    for c, colour in enumerate(COLOURS):
        (folder / f"{colour}_discs").mkdir()
        for i in range(6):
            draw(colour, 100 * c + i).save(folder / f"{colour}_discs" / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images, or a skip that says why."""
    place = os.environ.get("RAR_DATA")
    if not place:
        pytest.skip("RAR_DATA is not set: it names a folder with cub100/ and caltech100/")
    folder = Path(place)
    if not folder.is_dir():
        pytest.skip(f"RAR_DATA is {place}, which is no folder")
    return folder.resolve()


@pytest.fixture(scope="module")
def chromium():
    """A headless browser with a camera that shows a test pattern.

    Of a module: where Playwright runs, no test can run an event loop.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra ui-test")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed")
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *camera])
        yield browser
        browser.close()
