"""Collectors, and what is seen by them."""

import pytest

from rar_agent.recognizer import Recognizer
from tests.collector import Collector


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


@pytest.fixture
def asking(server, settings):
    """A recognizer whose model is always asked."""
    given = {"model": "openai:m", "base_url": server.url, "skip_ranking_at": 1.01}

    def load(**options):
        return Recognizer(settings=settings, **{"model_retries": 0, **given, **options})

    return load
