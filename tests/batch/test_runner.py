"""Each item once: alone, together, and when processes die."""

import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from rar_agent.batch import Entry, Journal, Outcome, run

ITEMS = 120


def square(keys):
    for key in keys:
        yield Entry(key, {"square": int(key) ** 2})


def keys(count=ITEMS):
    return [str(number) for number in range(count)]


def test_all_is_done_and_told(tmp_path):
    told = []
    with Journal(tmp_path / "j.jsonl", "c") as journal:
        outcome = run(journal, keys(), square, lambda *progress: told.append(progress), share=50)
        assert outcome == Outcome(ITEMS, 0, 0)
        assert told == [(number + 1, ITEMS) for number in range(ITEMS)]
        assert run(journal, keys(), square) == Outcome(0, 0, ITEMS)


def test_what_failed_is_tried_again_by_the_next_run(tmp_path):
    asked = Counter()

    def flaky(taken):
        for key in taken:
            asked[key] += 1
            yield Entry(key, {}, failed=key == "3" and asked[key] < 3)

    with Journal(tmp_path / "j.jsonl", "c") as journal:
        outcomes = [run(journal, keys(5), flaky) for _ in range(4)]
    assert [outcome.failed for outcome in outcomes] == [1, 1, 0, 0]
    assert asked == {"0": 1, "1": 1, "2": 1, "3": 3, "4": 1}


def test_an_interrupt_keeps_what_was_done(tmp_path):
    def interrupted(taken):
        yield from square(taken[:3])
        raise KeyboardInterrupt

    with Journal(tmp_path / "j.jsonl", "c") as journal:
        with pytest.raises(KeyboardInterrupt):
            run(journal, keys(), interrupted)
        assert run(journal, keys(), square) == Outcome(ITEMS - 3, 0, 3)


class Workers:
    def __init__(self, folder, pace_s):
        self.folder = folder
        self.command = [sys.executable, "-m", "tests.batch.worker", str(folder), str(ITEMS)]
        self.command.append(str(pace_s))

    def start(self, root):
        return subprocess.Popen(self.command, cwd=root)

    def bills(self):
        file = self.folder / "bills"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def check(self, most):
        with Journal(self.folder / "journal.jsonl", "squares") as journal:
            found = {key: entry.result["square"] for key, entry in journal.entries.items()}
        assert found == {key: int(key) ** 2 for key in keys()}
        lines = (self.folder / "journal.jsonl").read_text().splitlines()
        assert len([line for line in lines if '"failed": false' in line]) == ITEMS - ITEMS // 10
        # Who starts late tries again what failed before it started, so those may be billed twice.
        assert sum(bill for key, bill in self.bills().items() if int(key) % 10 != 7) <= most


def test_several_processes_share_a_run(tmp_path, pytestconfig):
    workers = Workers(tmp_path, 0.005)
    running = [workers.start(pytestconfig.rootpath) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    workers.check(most=ITEMS - ITEMS // 10)


@pytest.mark.slow
def test_kill_minus_nine_at_random_points(tmp_path, pytestconfig):
    """No item is lost or done twice; only what was being worked on is worked on again."""
    workers, random, kills = Workers(tmp_path, 0.01), Random(0), 0
    while kills < 8:
        running = [workers.start(pytestconfig.rootpath) for _ in range(2)]
        goal = sum(workers.bills().values()) + random.randint(5, 14)
        while sum(workers.bills().values()) < goal and running[0].poll() is None:
            pass
        for process in running:
            process.kill()
            process.wait()
            kills += 1
    process = workers.start(pytestconfig.rootpath)
    assert process.wait(60) == 0
    workers.check(most=ITEMS - ITEMS // 10 + kills)
