"""The soak: each kind of step once, and that it sees what it is there to see."""

import json
import sys
import threading
from contextlib import contextmanager
from random import Random

import pytest

from rar_agent import Recognizer
from tests.conftest import eventually

soak = pytest.importorskip("fuzz.soak", reason="not of the package", exc_type=ImportError)
from fuzz import soak_killed, soak_recognising, soak_teaching  # noqa: E402
from fuzz.soak_faults import FAULTS, outcome  # noqa: E402
from fuzz.soak_ground import made  # noqa: E402
from fuzz.soak_totals import SERIES, Ledger, Run, Totals, growing, report, trend  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

QUICK = (
    "one image",
    "batch",
    "stream left",
    "together",
    "threads",
    "tool",
    "with a model",
    "teach",
    "forget",
    "forget an exemplar",
    "rename",
    "compact",
    "two writers",
)
"""The others start processes, or wait for what is slow."""


@pytest.fixture(scope="module")
def ground():
    with soak.folder() as place, made(place, Ledger(Totals(runs=[Run(0)]))) as found:
        yield found


@pytest.fixture
def totals(ground):
    ground.ledger.totals = Totals(runs=[Run(0)])
    return ground.ledger.totals


def did_well(ground, totals, kinds):
    for kind in kinds:
        soak.do(ground, kind, Random(kind))
    assert totals.findings == []
    assert totals.clean
    assert totals.operations == dict.fromkeys(kinds, 1)
    assert totals.requests == totals.results > 0


def test_quick_steps_find_nothing(ground, totals):
    did_well(ground, totals, QUICK)
    assert sum(count for name, count in totals.faults.items() if name.startswith("model: "))
    assert len(soak.sample(ground)) == len(SERIES)


@pytest.mark.long
def test_slow_steps_find_nothing(ground, totals):
    did_well(ground, totals, sorted(soak.STEPS.keys() - set(QUICK)))


class Planted(Recognizer):
    """Recognises as it should, and then spoils a batch."""

    def __init__(self, real, spoil):
        super().__init__(settings=real.settings)
        self._spoil = spoil

    def stream(self, images, **asked):
        return iter(self._spoil(list(super().stream(images, **asked))))

    async def arecognize_batch(self, images, **asked):
        return self._spoil(await super().arecognize_batch(images, **asked))


@pytest.mark.parametrize(
    ("spoil", "lost", "duplicated"),
    [
        (lambda results: results[:-1], 1, 0),
        (lambda results: [*results, results[-1]], 0, 1),
        (lambda results: results[::-1], 0, 0),
    ],
)
def test_what_is_planted_in_a_batch_is_noticed(
    ground, totals, monkeypatch, spoil, lost, duplicated
):
    for whose in ("steady", "isolated"):
        monkeypatch.setattr(ground, whose, Planted(ground.steady, spoil))
    soak.do(ground, "batch", Random(31))  # four images
    assert (totals.lost, totals.duplicated) == (lost, duplicated)
    assert totals.findings[0]["kind"] == "batch"
    assert not totals.clean


def test_what_is_planted_in_a_journal_is_noticed(tmp_path):
    def line(key):
        return json.dumps({"key": key, "failed": False, "result": {"n": key}}) + "\n"

    totals, journal = Totals(), tmp_path / "journal.jsonl"
    journal.write_text("{}\n" + line("a") + line("b") + line("b"))
    found = soak_killed.journalled(Ledger(totals), journal, ["a", "b", "c"])
    assert (totals.lost, totals.duplicated) == (1, 1)
    assert found == {"a": {"n": "a"}, "b": {"n": "b"}}


@pytest.mark.parametrize("kind", ["forget", "forget an exemplar"])
def test_what_is_not_forgotten_is_noticed(ground, totals, monkeypatch, kind):
    monkeypatch.setattr(soak_teaching, "remove_from_memory", lambda *_, **__: None)
    soak.do(ground, kind, Random(1))
    assert totals.wrong >= 2  # it is answered, and it is counted
    soak.do(ground, "compact", Random(1))
    assert totals.findings[-1]["kind"] == kind  # what was found once is found once


def test_what_is_not_taught_is_noticed(ground, totals, monkeypatch):
    teach = soak_teaching.add_to_memory
    monkeypatch.setattr(
        soak_teaching,
        "add_to_memory",
        lambda home, name, encoder, images: teach(
            home, name, encoder, {c: some[:-1] for c, some in images.items()}
        ),
    )
    ground.begin_growing_again()
    soak.do(ground, "teach", Random(0))  # more than one drawing
    assert totals.wrong


def test_a_request_that_is_not_sent_again_is_noticed(ground, totals, monkeypatch):
    impatient = Recognizer(settings=ground.asking.settings, model_retries=0)
    monkeypatch.setattr(ground, "asking", impatient)
    monkeypatch.setattr(soak_recognising, "FAULTS", {"500": FAULTS["500"]})
    soak.do(ground, "with a model", Random(1))
    assert totals.wrong
    assert "requests" in totals.findings[0]["what"]


def test_what_a_plan_leads_to():
    assert outcome([]) == ("exact", 1)
    assert outcome(["429"]) == ("exact", 2)
    assert outcome(["429", "reset"]) == ("degraded", 2)
    assert outcome(["reset", "a letter twice"]) == ("repaired", 2)
    assert outcome(["null", "429"]) == ("degraded", 1)


def samples(rises, minutes=125, noise=2.0):
    """Of a process whose series rise by so much an hour; memory fills in the first minutes."""
    random, found = Random(0), []
    for second in range(0, minutes * 60, 30):
        fills = min(second, 400)
        values = [1_000 + fills + random.gauss(0, noise), 700, 40, 30, 2, 0, 20, 300, 900_000]
        rise = {SERIES.index(name): rate * second / 3_600 for name, rate in rises.items()}
        found.append([float(second), *(v + rise.get(n, 0) for n, v in enumerate(values))])
    return found


@pytest.mark.parametrize(
    ("rises", "grow"),
    [
        ({}, []),
        ({"rss_mb": 10}, []),  # under 1 % of 1,400
        ({"rss_mb": 40}, ["rss_mb"]),
        ({"descriptors": 2}, ["descriptors"]),
        ({"temporary": 3, "threads": 1}, ["threads", "temporary"]),
    ],
)
def test_what_grows(rises, grow):
    totals = Totals(runs=[Run(0, 0.0, samples({"rss_mb": 90}, 20)), Run(9, 0.0, samples(rises))])
    assert [one.split()[0] for one in growing(totals)] == grow
    assert ("| grows |" in report(totals)) == bool(grow)


def test_noise_is_no_growth_and_a_short_run_says_nothing():
    assert not trend(samples({"rss_mb": 20}, noise=60), "rss_mb").grows
    assert trend(samples({"rss_mb": 900}, 25), "rss_mb") is None


@pytest.fixture
def counting(ground, monkeypatch):
    """Steps that only count; what is told is told of each."""
    steps, told = [], []

    def step(ground, random):
        steps.append(1)
        for one in told:
            one()

    @contextmanager
    def on_it(place, ledger):
        ground.ledger = ledger
        yield ground

    monkeypatch.setattr(soak, "STEPS", {"step": (step, 1)})
    monkeypatch.setattr(soak, "made", on_it)  # made once for all tests
    return steps, told


def test_a_run_goes_on_where_the_last_one_was_ended(tmp_path, counting):
    state, (steps, told) = tmp_path / "state" / "soak.json", counting
    for runs in (1, 2):
        running = soak.Soak(Totals.load(state), 10, state=state)
        told[:] = [running.end]  # as a signal does, in the middle of a step
        running.run()
        totals = Totals.load(state)
        assert len(totals.runs) == runs
        assert totals.next_step == totals.operations["step"] == len(steps) == runs
    assert totals.runs[1].first == 1
    assert totals.seconds == pytest.approx(sum(run.seconds for run in totals.runs))
    assert totals.busy_s <= totals.seconds


def test_a_pause_is_no_soak(tmp_path, counting, monkeypatch):
    monkeypatch.setattr(soak, "_PAUSE_S", 0.01)
    quiet = tmp_path / "quiet"
    quiet.touch()
    totals = Totals()
    running = soak.Soak(totals, 0.001, state=tmp_path / "soak.json", pause_while=quiet)
    thread = threading.Thread(target=running.run)
    thread.start()
    eventually((tmp_path / "soak.json").exists)  # it is paused, and has saved
    assert (totals.seconds, counting[0]) == (0, [])
    quiet.unlink()
    thread.join(60)
    assert counting[0]
    assert totals.seconds > 0
