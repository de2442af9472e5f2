"""Images that are kept, and the seals that give them back."""

import hmac
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from rar_agent.agents.kept import KeptImages
from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.images import admit
from tests.conftest import draw

RED = admit(draw("red", 11))
GREEN = admit(draw("green", 11))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "images"


def opened(place):
    """As another process opens it."""
    return KeptImages(place, 10, 30)


def test_what_was_given_gives_it_back(place):
    given = opened(place).put(RED)
    assert set(given) == {"sha256", "seal"}
    assert opened(place).put(RED) == given  # so the same image is the same, wherever it came
    assert opened(place).put(GREEN)["seal"] != given["seal"]
    assert opened(place).get(**given).rgb.tobytes() == RED.rgb.tobytes()


def test_another_process_goes_on_with_it(place):
    given = opened(place).put(RED)
    code = (
        "import sys; from pathlib import Path; from rar_agent.agents.kept import KeptImages\n"
        "place, sha256, seal = sys.argv[1:]\n"
        "print(KeptImages(Path(place), 10, 30).get(sha256, seal).sha256)"
    )
    command = [sys.executable, "-c", code, place, given["sha256"], given["seal"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == RED.sha256


@pytest.mark.parametrize("seal", ["", "0" * 64, RED.sha256, "é", "\ud800"])
def test_a_hash_alone_gives_nothing(place, seal):
    kept = opened(place)
    kept.put(RED)
    other = kept.put(GREEN)["seal"]
    for forged in (seal, other):
        with pytest.raises(NotFoundError) as refused:
            kept.get(RED.sha256, forged)
    with pytest.raises(NotFoundError) as absent:
        kept.get("0" * 64, seal)
    assert str(absent.value) == str(refused.value)  # so nobody learns that it is there


def test_each_folder_has_its_own_seals(tmp_path):
    first, second = opened(tmp_path / "a"), opened(tmp_path / "b")
    given = first.put(RED)
    second.put(RED)
    with pytest.raises(NotFoundError):
        second.get(**given)


def test_the_secret_is_for_its_user_alone(place):
    opened(place).put(RED)
    secret = place / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_bytes()) == 32


def test_many_begin_at_once(place):
    for attempt in range(5):
        folder, begin = place / str(attempt), Barrier(8)

        def put(_, folder=folder, begin=begin):
            kept = opened(folder)
            begin.wait()
            return kept.put(RED)["seal"]

        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(put, range(8)))) == 1


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_secret_that_is_none_seals_nothing(place, content):
    opened(place).put(RED)
    (place / "secret").write_bytes(content)
    forged = hmac.new(content, RED.sha256.encode(), "sha256").hexdigest()
    with pytest.raises(NotFoundError):
        opened(place).get(RED.sha256, forged)
    given = opened(place).put(RED)
    assert opened(place).get(**given).sha256 == RED.sha256


def test_a_folder_that_is_emptied(place):
    kept = opened(place)
    given = kept.put(RED)
    for file in place.iterdir():
        file.unlink()
    with pytest.raises(NotFoundError):
        kept.get(**given)
    assert not list(place.iterdir())  # a home that may only be read is enough to look
    again = kept.put(RED)
    assert opened(place).get(**again).sha256 == RED.sha256


def test_a_full_disk(place):
    opened(place).put(RED)
    (place / "secret").unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        with pytest.raises(ConfigurationError, match="cannot be kept in"):
            opened(place).put(RED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (place / "secret").exists()
    assert not list(place.glob("*.tmp"))
