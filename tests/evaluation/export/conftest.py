"""A run's folder, without images."""

import json

import pytest

from rar_agent.batch import Entry, Journal
from rar_agent.evaluation.record import Ranked, Seen
from tests.evaluation.records import record

HASH = "0123456789abcdef"


@pytest.fixture
def run(tmp_path):
    """Three records of 4: of which the model had one wrong; and a failure."""
    folder = tmp_path / "run"
    folder.mkdir()
    said = '{"ranking": ["B", "A"]}'
    usage = {"input_tokens": 300, "output_tokens": 12, "cost": 0.01}
    asked = Ranked(
        model="openai:m", prompt="rank@1", calls=1, parse_status="exact", usage=usage, raw=said
    )
    records = [
        record(
            f"test/{truth}/{at}.jpg",
            truth,
            retrieval="wren,robin",
            ranked="robin,wren",
            ranking=asked,
            seen=(Seen(name="wren", source="train/wren/7.jpg", similarity=0.5),),
            timings_ms={"total": 250.0},
        )
        for at, truth in enumerate(("robin", "wren", "robin"))
    ]
    lost = {"error": "it is cut off", "kind": "ImageError"}
    entries = [Entry(f"1-shot-seed1/{r.sample}", r.model_dump(mode="json")) for r in records]
    with Journal(folder / "journal.jsonl", HASH) as journal:
        journal.append([*entries, Entry("1-shot-seed1/test/wren/9.jpg", lost, failed=True)])
    described = {
        "suite": {
            "name": "birds",
            "title": "Birds",
            "description": "Two birds.",
            "dataset": {"images": str(tmp_path / "photos")},
            "limit": None,
            "ranker": {"model": "openai:m"},
            "smoke": False,
        },
        "configuration": {"suite": {}},
        "configuration_hash": HASH,
        "dataset": {"name": "birds", "caution": "Only two."},
        "cells": {"1-shot-seed1": {"name": "1-shot, seed 1", "known": 2, "test": 5}},
        "versions": {"rar-agent": "0.1"},
        "machine": "here",
        "began": "2026-01-02T03:04:05Z",
    }
    (folder / "run.json").write_text(json.dumps(described))
    return folder
