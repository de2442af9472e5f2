"""What the parser reads of answers of real shapes, and how much of it has to be repaired.

    python -m benchmarks.repairs

The answers are those of tests/ranking/answers.txt, each with what a careful reader takes from it.
"""

from __future__ import annotations

import sys
from collections import defaultdict

from rar_agent.ranking import parse_ranking
from tests.ranking.answers import Said, load_answers


def main() -> None:
    """Print a table by shape."""
    shapes: dict[str, list[Said]] = defaultdict(list)
    for said in load_answers():
        shapes[said.shape].append(said)
    rows = [_row(shape, answers) for shape, answers in sorted(shapes.items())]
    rows.append(_row("all", [said for answers in shapes.values() for said in answers]))
    sys.stdout.write("| shape | answers | exact | repaired | nothing to read | misread |\n")
    sys.stdout.write("|---|--:|--:|--:|--:|--:|\n")
    sys.stdout.writelines("| " + " | ".join(map(str, row)) + " |\n" for row in rows)


def _row(shape: str, answers: list[Said]) -> tuple[str, int, int, int, int, int]:
    read = [(said, parse_ranking(said.text, said.names)) for said in answers]
    right = [parsed for said, parsed in read if parsed.options == said.options]
    statuses = [parsed.status for parsed in right]
    counts = (statuses.count("exact"), statuses.count("repaired"), statuses.count("failed"))
    return (shape, len(read), *counts, len(read) - len(right))


if __name__ == "__main__":
    main()
