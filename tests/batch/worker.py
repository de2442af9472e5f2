"""A process that works on a journal; each item's work is written down apart, as a bill is."""

import os
import sys
import time
from pathlib import Path

from rar_agent.batch import Entry, Journal, run


def main(folder: Path, items: int, pace_s: float) -> None:
    bills = os.open(folder / "bills", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def work(keys):
        for key in keys:
            os.write(bills, f"{key}\n".encode())
            time.sleep(pace_s)
            yield Entry(key, {"square": int(key) ** 2}, failed=int(key) % 10 == 7)

    with Journal(folder / "journal.jsonl", "squares") as journal:
        run(journal, [str(number) for number in range(items)], work, share=8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
