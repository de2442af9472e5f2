"""A YAML document that knows on which line each of its keys stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml


@dataclass(frozen=True, order=True)
class Problem:
    """Something about a prompt file.

    Attributes:
        line: Where, from 1.
        message: What it is, with the value; no full stop.
        fix: What to do about it.
        warning: Whether the prompt can be used as it is.
    """

    line: int
    message: str
    fix: str = ""
    warning: bool = False


class Document:
    """A YAML document: its data, and the lines of it.

    Args:
        data: The file, UTF-8.

    Raises:
        UnreadableError: It is no YAML.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UnreadableError(Problem(line, "is not UTF-8", "Save it as UTF-8.")) from error
        try:
            loader = yaml.SafeLoader(self.text)
            self.root = loader.get_single_node()
            self.data: object = loader.construct_document(self.root) if self.root else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = f"is not YAML: {error.problem or error.context}"
            line = mark.line + 1 if mark else 1
            raise UnreadableError(Problem(line, what, "Correct it.")) from error
        except yaml.reader.ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            what = f"is not YAML: character #x{ord(self.text[error.position]):04x} is not allowed"
            raise UnreadableError(Problem(line, what, "Remove it.")) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            what = f"is not YAML: {error or type(error).__name__}"
            raise UnreadableError(Problem(1, what, "Correct it.")) from error

    def line(self, place: Sequence[str | int]) -> int:
        """Line of the key or item at a place; of what is above it, where it is not there."""
        line, node = 1, self.root
        for step in place:
            found = next(((key, value) for name, key, value in _below(node) if name == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def line_within(self, place: Sequence[str | int], piece: str, earlier: int) -> int:
        """Line of a piece of a text; of the text, where it is written otherwise in the file.

        Args:
            place: Of the text.
            piece: Part of it.
            earlier: How often the same piece stands before it in the text.
        """
        node = self.node(place)
        if node is None:
            return self.line(place)
        begin, end = node.start_mark.index, node.end_mark.index
        at = begin - 1
        for _ in range(earlier + 1):
            at = self.text.find(piece, at + 1, end)
            if at < 0:
                return self.line(place)
        return self.text.count("\n", 0, at) + 1

    def node(self, place: Sequence[str | int]) -> yaml.Node | None:
        """What stands at a place."""
        node = self.root
        for step in place:
            node = next((value for name, _, value in _below(node) if name == step), None)
        return node

    def repeated(self, place: Sequence[str | int] = ()) -> Iterator[Problem]:
        """Keys that a mapping has twice: YAML would take the last one and say nothing."""
        first: dict[str | int, int] = {}
        for name, key, _ in _below(self.node(place)):
            line = key.start_mark.line + 1
            if name in first:
                yield Problem(line, f"has '{name}' again, after line {first[name]}", "Keep one.")
            first.setdefault(name, line)


class UnreadableError(ValueError):
    """No YAML; its problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _below(node: yaml.Node | None) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    """Of each thing below a node: its key or number, the node that names it, and it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, key, value
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield number, item, item
