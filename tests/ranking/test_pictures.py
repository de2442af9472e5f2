"""Pictures are encoded once, and not by the thread that runs an event loop."""

import threading

from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import ListwiseRanker
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category, Exemplar
from tests.conftest import draw
from tests.openai_server import Reply, pictures_of

CANDIDATES = [
    Candidate(
        category=Category(name=name),
        score=-1.0,
        probability=0.3,
        evidence=("image",),
        exemplars=(Exemplar(entry=number, source=f"{name}.png", similarity=0.5),),
    )
    for number, name in enumerate(("red", "green", "blue"))
]


async def test_exemplars_are_encoded_once_whatever_shows_them(server):
    found = []

    def find(exemplar):
        found.append((exemplar.entry, threading.current_thread()))
        return draw("red", exemplar.entry)

    server.script = [Reply("A > B > C")]
    settings = load_settings(model="m", base_url=server.url)
    ranker = ListwiseRanker(
        load_chat_model(settings),
        load_prompt("rank-exemplars@1", settings.home),
        "colours",
        orders=3,
        exemplar_image=find,
    )
    for seed in range(2):
        await ranker.arank(draw("red", 50), CANDIDATES, seed)
    assert len(server.requests) == 6
    assert all(len(pictures_of(request)) == 4 for request in server.requests)
    assert sorted(entry for entry, _ in found) == [0, 1, 2]
    assert threading.main_thread() not in {thread for _, thread in found}
