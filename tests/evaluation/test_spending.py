"""A run whose money is spent stops, and goes on with what it had."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest

from rar_agent.errors import BudgetError
from rar_agent.evaluation.run import prepare_run, read_run
from rar_agent.evaluation.suite import Suite
from rar_agent.settings import load_settings
from tests.openai_server import Reply, options_of, pictures_of


def costly(drawings, server, tmp_path, ways, **options):
    """A run of 12 images, by dollars that it may spend; each call costs one."""
    orders = options.pop("orders", 1)
    suite = Suite(
        name="costly",
        dataset={"images": str(drawings.test[0].file.parents[2])},
        protocol={"shots": [1], "seeds": [1]},
        memory={"encoder": "builtin"},
        k=3,
        ranker={"model": "openai:test-model", "base_url": server.url, "orders": orders},
        ways=["retrieval", *ways],
        limit=12,
    )

    def run(dollars):
        settings = load_settings(
            home=tmp_path / "home",
            device="cpu",
            prices={"openai:test-model": {"input": 10_000, "output": 1}},
            max_cost=dollars,
            **options,
        )
        return prepare_run(suite, settings, tmp_path / "out")

    return run


def answer(request):
    if options_of(request):
        return Reply('{"ranking": ["A", "B", "C"]}', usage=(100, 0))
    return Reply('{"names": ["red", "blue"]}', usage=(100, 0))


@pytest.mark.parametrize("way", ["ranked", "alone"])
def test_nothing_is_written_down_that_was_not_paid_for(drawings, server, tmp_path, way):
    server.answer = answer
    cached = 10  # as it is outside tests
    run = costly(drawings, server, tmp_path, [way], model_requests=1, cache_mb=cached)
    with pytest.raises(BudgetError):
        run(5.0).go_on()
    asked = len(server.requests)
    assert 4 <= asked <= 6
    _, records, failed = read_run(tmp_path / "out")
    assert failed == []
    assert not any(record.ranking and record.ranking.degraded for record in records)
    outcome = run(100.0).go_on()
    assert (outcome.failed, outcome.known) == (0, len(records))
    assert len(server.requests) == 12  # nothing was paid for twice
    _, records, _ = read_run(tmp_path / "out")
    assert len(records) == 12
    assert not any(record.ranking and record.ranking.degraded for record in records)


@pytest.mark.parametrize("ways", [["ranked"], ["alone"], ["ranked", "alone"]])
def test_what_was_paid_for_is_written_down(drawings, server, tmp_path, ways):
    """No answer is kept but in the run; one comes after others were refused for want of money."""
    cheap = 14 if len(ways) == 2 else 2  # then four at once, which cost more than was held
    numbers, late = count(), []

    def said(request):
        number = next(numbers)
        if number == cheap:
            late.append(request)
        delay_s = 0.0 if number < cheap else 1.5 if number == cheap else 0.3
        return replace(answer(request), usage=(25 if number < cheap else 120, 0), delay_s=delay_s)

    server.answer = said
    run = costly(drawings, server, tmp_path, ways, model_requests=4, cache_mb=0)
    with pytest.raises(BudgetError):
        run(0.25 * cheap + 4.1).go_on()
    assert len(server.requests) == cheap + 4
    _, records, failed = read_run(tmp_path / "out")
    assert failed == []
    paid = {True: set(), False: set()}
    for one in server.requests:
        paid[bool(options_of(one))].add(pictures_of(one)[-1])
    paid = paid[True] & paid[False] if len(ways) == 2 else paid[True] | paid[False]
    assert pictures_of(late[0])[-1] in paid
    assert len(records) == len(paid)
    run(100.0).go_on()
    assert len(read_run(tmp_path / "out")[1]) == 12


def test_an_image_that_was_asked_about_in_part_is_left(drawings, server, tmp_path):
    server.answer = answer
    run = costly(drawings, server, tmp_path, ["ranked"], orders=2, model_requests=1, cache_mb=10)
    with pytest.raises(BudgetError):
        run(5.0).go_on()
    assert len(server.requests) == 5  # so that one image has one answer of two
    _, records, _ = read_run(tmp_path / "out")
    asked = Counter(pictures_of(one)[-1] for one in server.requests)
    assert [record.ranking.calls for record in records] == [2] * list(asked.values()).count(2)
    run(100.0).go_on()
    _, records, _ = read_run(tmp_path / "out")
    assert [record.ranking.calls for record in records] == [2] * 12
    assert len(server.requests) == 24  # nothing was paid for twice
