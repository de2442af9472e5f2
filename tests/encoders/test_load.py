import subprocess
import sys
import threading

import pytest

from rar_agent.encoders import load_encoder
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.settings import Settings


def test_an_encoder_is_loaded_once_by_many_threads(builtin):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(load_encoder("builtin", Settings(device="cpu")))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(encoder) for encoder in found} == {id(builtin)}


@pytest.mark.parametrize("name", ["", "clip", "builtin:x", "open_clip", "open_clip:"])
def test_unknown_names(name):
    with pytest.raises(InputError, match="names no encoder"):
        load_encoder(name, Settings())


def test_a_device_that_is_not_there():
    with pytest.raises(ConfigurationError, match="RAR_DEVICE"):
        load_encoder("builtin", Settings(device="cuda:7"))


@pytest.mark.parametrize("order", ["faiss, torch", "torch, faiss"])
def test_torch_and_faiss_work_in_either_order(order):
    code = (
        f"import {order}\nimport numpy as np\n"
        "x = np.random.default_rng(0).random((2000, 64), np.float32)\n"
        "i = faiss.IndexFlatIP(64); i.add(x)\n"
        "t = torch.from_numpy(x)\n"
        "assert ((t @ t.T).topk(1).indices[:, 0].numpy() == i.search(x, 1)[1][:, 0]).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
