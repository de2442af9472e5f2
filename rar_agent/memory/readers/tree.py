"""V3Det's category tree: from its nodes to the parents of categories, and the branches above."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import named
from rar_agent.memory.readers.fields import text
from rar_agent.memory.readers.identity import unreadable
from rar_agent.types import Category

_NEEDED = ("categoryid2treeid", "id2name")
_PARENTS = ("child2father", "father2child")


@dataclass(frozen=True)
class CategoryTree:
    """A graph of nodes, some of which are categories.

    A node may have several parents; a category has one: the first listed that is not below it.

    Attributes:
        where: The file, for messages.
        node_of: Node of each category, by the category's id as text.
        fathers: Parents of each node, in the order listed.
        names: Name of each node.
        descriptions: What is said of a node.
        synonyms: Nodes that mean the same.
    """

    where: str
    node_of: Mapping[str, str]
    fathers: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    descriptions: Mapping[str, str]
    synonyms: Mapping[str, Sequence[str]]

    def placed(self, categories: Sequence[Category]) -> tuple[list[Category], list[Category]]:
        """Categories with their parents, and the branches above them that are no categories.

        A branch whose name is also that of a category, or of another branch, has its node behind
        it. A category that is in no node stays as it is.

        Args:
            categories: With their id in the metadata.

        Raises:
            InputError: The tree knows none of them.
        """
        nodes = [self.node_of.get(str(one.metadata.get("id"))) for one in categories]
        if not any(nodes):
            raise InputError(
                f"'{self.where}' knows none of the categories by their ids.",
                "Give the tree that was published with them.",
            )
        parent = self._parents(node for node in nodes if node)
        taken = {one.name for one in categories}
        names: dict[str, str] = {}
        for node, one in zip(nodes, categories, strict=True):
            if node:
                names.setdefault(node, one.name)
        branches = [node for node in parent if node not in names]
        for node in branches:
            name = self.names.get(node) or node
            names[node] = name if name not in taken else f"{name} ({node})"
            taken.add(names[node])
        above = {node: names[father] if father else "" for node, father in parent.items()}
        return [
            self._with(one, node, above[node]) if node else one
            for node, one in zip(nodes, categories, strict=True)
        ], [
            named(
                names[node],
                self.where,
                description=self.descriptions.get(node, ""),
                parent=above[node],
                metadata={"node": node},
            )
            for node in branches
        ]

    def _parents(self, nodes: Iterator[str]) -> dict[str, str]:
        """The one parent of each node and of all above them; empty at the top."""
        parent: dict[str, str] = {}
        waiting = list(dict.fromkeys(nodes))
        for node in waiting:  # which grows meanwhile
            if node in parent:
                continue
            fathers = self.fathers.get(node, ())
            parent[node] = next((one for one in fathers if not _below(one, node, parent)), "")
            if parent[node]:
                waiting.append(parent[node])
        return parent

    def _with(self, category: Category, node: str, parent: str) -> Category:
        same = (self.names.get(one, "") for one in self.synonyms.get(node, ()))
        aliases = dict.fromkeys([*category.aliases, *filter(None, same)])
        aliases.pop(category.name, None)
        return category.model_copy(
            update={
                "parent": parent if parent != category.name else "",
                "aliases": tuple(aliases),
                "description": category.description or self.descriptions.get(node, ""),
                "metadata": {**category.metadata, "node": node},
            }
        )


def read_tree(file: Path) -> CategoryTree:
    """V3Det's tree: `categoryid2treeid`, `id2name` and `child2father` or `father2child` are needed.

    `id2desc` gives descriptions, `id2synonym_list` nodes that mean the same.

    Raises:
        InputError: It cannot be read, or is no such tree.
    """
    where = printable(str(file))
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{where}' is not JSON: {error}.", "Get it again, unzipped.") from error
    keys = found.keys() if isinstance(found, dict) else ()
    lacking = [key for key in _NEEDED if key not in keys]
    if not lacking and not any(key in keys for key in _PARENTS):
        lacking = [_PARENTS[0]]
    if lacking:
        raise InputError(
            f"'{where}' is no category tree: it has no '{lacking[0]}'.",
            "Give a file such as v3det_2023_v1_category_tree.json.",
        )
    parts = {key: _part(found, key, where) for key in keys}
    return CategoryTree(
        where=where,
        node_of={key: text(value, _NEEDED[0]) for key, value in parts[_NEEDED[0]].items()},
        fathers=_fathers(parts),
        names={key: _said(value, "id2name") for key, value in parts["id2name"].items()},
        descriptions={k: _said(v, "id2desc") for k, v in parts.get("id2desc", {}).items()},
        synonyms={
            key: _listed(value, "id2synonym_list")
            for key, value in parts.get("id2synonym_list", {}).items()
        },
    )


def _part(found: Mapping[str, Any], key: str, where: str) -> Mapping[str, object]:
    value = found[key]
    if key in (*_NEEDED, *_PARENTS, "id2desc", "id2synonym_list") and not isinstance(value, dict):
        raise InputError(
            f"'{key}' in '{where}' is a {type(value).__name__}, not an object.",
            "Give a file such as v3det_2023_v1_category_tree.json.",
        )
    return value if isinstance(value, dict) else {}


def _fathers(parts: Mapping[str, Mapping[str, object]]) -> dict[str, list[str]]:
    if "child2father" in parts:
        return {key: _listed(v, "child2father") for key, v in parts["child2father"].items()}
    fathers: dict[str, list[str]] = {}
    for father, children in parts["father2child"].items():
        for child in _listed(children, "father2child"):
            fathers.setdefault(child, []).append(father)
    return fathers


def _listed(value: object, key: str) -> list[str]:
    given = value if isinstance(value, list) else [value]
    return [one for one in (text(part, key) for part in given) if one]


def _said(value: object, key: str) -> str:
    return next(iter(_listed(value, key)), "")


def _below(one: str, node: str, parent: Mapping[str, str]) -> bool:
    """Whether a node is another, or below it, by the parents known so far."""
    while one:
        if one == node:
            return True
        one = parent.get(one, "")
    return False
