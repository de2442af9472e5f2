"""Which pictures of exemplars a model may be shown."""

import numpy as np
from PIL import Image

from rar_agent.graph.pictures import exemplar_images
from rar_agent.images import Policy
from rar_agent.memory import create_memory, open_memory
from rar_agent.types import Exemplar
from tests.conftest import draw


def exemplars(memory):
    return [
        Exemplar(entry=memory.entries.id_of(row), source=memory.entries.source(row), similarity=1)
        for row in range(len(memory.entries))
    ]


def test_the_thumbnail_or_the_very_file_that_was_learnt(tmp_path, builtin):
    files = {}
    for name in ("red", "blue"):
        files[name] = [tmp_path / f"{name}{i}.png" for i in range(2)]
        for i, file in enumerate(files[name]):
            draw(name, i, 96).save(file)
    for name, side in (("small", 32), ("plain", 0)):
        create_memory(tmp_path, name, builtin, files, thumbnails=side)
    small, plain = (open_memory(tmp_path, name) for name in ("small", "plain"))
    policy = Policy()
    for memory, files_first, sides in (
        (small, False, 32),
        (small, True, 96),
        (plain, False, 96),
    ):
        find = exemplar_images(memory, policy, files_first)
        assert [find(one).size for one in exemplars(memory)] == [(sides, sides)] * 4
    # Where it lies is the memory's word: a client of a graph server may write anything.
    for source in ("/etc/passwd", "red0.png", "", "\0"):
        written = [one.model_copy(update={"source": source}) for one in exemplars(plain)]
        assert all(map(exemplar_images(plain, policy), written))
    # Another image at the same path is not what was learnt, and goes to nobody.
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(files["red"][0])
    files["red"][1].unlink()
    assert [bool(exemplar_images(plain, policy)(one)) for one in exemplars(plain)].count(False) == 2
    found = [exemplar_images(small, policy, files_first=True)(one) for one in exemplars(small)]
    assert sorted(image.size[0] for image in found) == [32, 32, 96, 96]
