"""Runs as JSON lines."""

import json

import pytest

from rar_agent.errors import InputError, NotFoundError
from rar_agent.evaluation.export import write_lines


def test_a_line_a_record_and_a_line_a_failure(run):
    lines = [json.loads(line) for line in write_lines(run).read_text().splitlines()]
    assert {line["run"] for line in lines} == {"0123456789abcdef"}
    assert [line.get("right") for line in lines] == [
        {"retrieval": False, "ranked": True},
        {"retrieval": False, "ranked": True},
        {"retrieval": True, "ranked": False},
        None,
    ]
    assert lines[0]["ranking"]["raw"] == '{"ranking": ["B", "A"]}'
    assert lines[3]["sample"] == "test/wren/9.jpg"
    assert lines[3]["error"] == "it is cut off"


def test_what_cannot_be_read_or_written(run, tmp_path):
    with pytest.raises(NotFoundError):
        write_lines(tmp_path)
    with pytest.raises(NotFoundError):
        write_lines(tmp_path / "nowhere")
    journal = (run / "journal.jsonl").read_bytes()
    with pytest.raises(InputError, match="is the run itself"):
        write_lines(run, run / "journal.jsonl")
    assert (run / "journal.jsonl").read_bytes() == journal
    with pytest.raises(InputError, match="No such file"):
        write_lines(run, tmp_path / "nowhere" / "x.jsonl")
