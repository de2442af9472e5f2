"""What should be in a memory, kept beside it in the plainest way, and random changes to both."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from rar_agent.images import admit
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    create_memory,
    merge_categories,
    move_entries,
    open_memory,
    remove_from_memory,
    rename_category,
    update_category,
)
from rar_agent.memory.readers import Sample
from rar_agent.memory.teaching.exemplars import thumbnail
from rar_agent.memory.teaching.learn import with_details
from rar_agent.memory.teaching.texts import content_of, encode_categories
from rar_agent.types import Category
from tests.memory.teaching.tiny import TinyEncoder, png

NAMES = ("ash", "birch", "cedar", "elm", "fir", "oak", "pine")
BRANCHES = ("trees", "conifers", *NAMES[:2])
SHOTS = 5
SIDE = 4  # of thumbnails
POOL = {
    hashlib.sha256(content).hexdigest(): (f"/photos/{name}/{i}.png", content)
    for name in NAMES
    for i in range(SHOTS)
    for content in [png(name, i)]
}


class RefusedError(Exception):
    """A change that has to be refused."""


@dataclass
class Expected:
    """Categories by name, in no order, and what is known of each.

    Attributes:
        categories: Their details.
        images: Source of each image, by its content hash.
        texts: Names of those that have a text.
    """

    names_help: bool = False
    categories: dict[str, Category] = field(default_factory=dict)
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)

    def put(self, category):
        self.categories[category.name] = category
        self.images.setdefault(category.name, {})

    def forget(self, name):
        del self.categories[name], self.images[name]
        self.texts.discard(name)

    def has_entry(self, name):
        return bool(self.images[name]) or name in self.texts

    def below(self, name):
        return [c for c in self.categories.values() if c.parent == name]

    def refuse_cycle(self, name):
        seen, above = {name}, self.categories[name].parent
        while above:
            if above in seen:
                raise RefusedError("cycle")
            seen.add(above)
            above = self.categories[above].parent if above in self.categories else ""

    def drop_empty(self, names):
        empty = {n for n in names if n in self.categories and not self.has_entry(n)}
        bare = {n for n in empty if self.categories[n] == Category(name=n)}
        while gone := [n for n in empty if n in bare or not self.below(n)]:
            self.forget(gone[0])
            empty.discard(gone[0])

    def teach(self, samples):
        new, named, became = set(), set(), set()
        for sample in samples:
            name = sample.category.name
            if name in self.categories:
                self.put(with_details(self.categories[name], sample.category))
            else:
                self.put(sample.category)
                new.add(name)
            if sample.image is None:
                named.add(name)
            else:
                content = hashlib.sha256(sample.image).hexdigest()
                if not self.has_entry(name):
                    became.add(name)
                self.images[name].setdefault(content, sample.source)
        if self.texts:
            self.texts |= new | named | became
        elif named or self.names_help:
            self.texts |= named | {name for name in self.categories if self.images[name]}

    def is_branch(self, name):
        bare = Category(name=name, parent=self.categories[name].parent)
        return self.below(name) and not self.has_entry(name) and self.categories[name] == bare

    def remove(self, names, entries):
        touched, branches = list(names), [name for name in names if self.is_branch(name)]
        for name, what in entries:
            touched.append(name)
            if what == "text":
                self.texts.discard(name)
            else:
                self.images[name].pop(what, None)
        for name in names:
            parent = self.categories[name].parent
            self.forget(name)
            self.put(Category(name=name, parent=parent))
        self.drop_empty(dict.fromkeys(touched))
        if any(self.below(name) for name in branches):
            raise RefusedError("branch")

    def update(self, name, rename=None, **details):
        if name not in self.categories and not self.below(name):
            raise RefusedError("unknown")
        old = self.categories.get(name, Category(name=name))
        metadata = {**old.metadata, **details.pop("metadata", {})}
        details["metadata"] = {k: v for k, v in metadata.items() if v is not None}
        new = old.model_copy(update={**details, "name": rename or name})
        if new.name != name and (new.name in self.categories or self.below(new.name)):
            raise RefusedError("taken")
        below, images, text = self.below(name), self.images.get(name, {}), name in self.texts
        on_record = name in self.categories
        if on_record:
            self.forget(name)
        if on_record or new != Category(name=new.name):
            self.put(new)
            self.images[new.name] = images
        if text:
            self.texts.add(new.name)
        for child in below:
            if child.name != name:
                self.put(child.model_copy(update={"parent": new.name}))
        if new.name in self.categories:
            self.refuse_cycle(new.name)

    def merge(self, merged, into):
        merged = [name for name in merged if name != into]
        if not merged:
            raise RefusedError("itself")
        group = [self.categories[name] for name in (into, *merged)]
        names = {c.name for c in group}
        kept = group[0]
        for gone in group[1:]:
            kept = with_details(
                kept, gone.model_copy(update={"aliases": (gone.name, *gone.aliases), "parent": ""})
            )
        above = [c.parent for c in group if c.parent and c.parent not in names]
        kept = kept.model_copy(update={"parent": above[0] if above else ""})
        for gone in group[1:]:
            for child in self.below(gone.name):
                if child.name not in names:
                    self.put(child.model_copy(update={"parent": into}))
        for gone in group[1:]:
            for content, source in self.images[gone.name].items():
                self.images[into].setdefault(content, source)
            if gone.name in self.texts:
                self.texts.add(into)
            self.forget(gone.name)
        self.put(kept)
        self.refuse_cycle(into)

    def move(self, entries, to):
        became = not self.has_entry(to)
        for name, content in entries:
            if name != to:
                source = self.images[name].pop(content)
                self.images[to].setdefault(content, source)
                if self.texts and became:
                    self.texts.add(to)
        self.drop_empty({name: 0 for name, _ in entries if name != to})

    def compact(self):
        pass

    def state(self):
        """All of it, as one value that can be compared."""
        found = {}
        for name, category in self.categories.items():
            text = content_of(category, ("{}",)) if name in self.texts else ""
            found[name] = [category.model_dump(mode="json"), self.images[name], text]
        return found

    @classmethod
    def of(cls, memory, names_help=False):
        """What is in an opened memory; vectors, sources and thumbnails are checked too."""
        found, templates = cls(names_help), memory.manifest.encoder.templates
        for column, category in enumerate(memory.categories):
            found.put(category)
            rows = memory.entries.rows_of("image", np.array([column]))
            fields = memory.entries.fields(rows)
            images = found.images[category.name]
            for row, one, entry in zip(rows, memory.entries.vectors(rows), fields, strict=True):
                content = bytes(entry["content"]).hex()
                assert content not in images, f"{content} twice in {category.name}"
                images[content] = memory.entries.source(int(row))
                assert images[content] == POOL[content][0]
                assert one.tolist() == vectors()[content]
                side = memory.manifest.thumbnails
                wanted = thumbnail(admit(POOL[content][1]).rgb, side) if side else b""
                assert memory.thumbnail(int(entry["id"])) == wanted
            rows = memory.entries.rows_of("text", np.array([column]))
            if len(rows):
                found.texts.add(category.name)
                assert len(rows) == 1, f"{category.name} has {len(rows)} texts"
                [entry] = memory.entries.fields(rows)
                assert bytes(entry["content"]).hex() == content_of(category, templates)
                assert memory.entries.source(int(rows[0])) == category.name
                right = encode_categories(TinyEncoder(), [category], templates)
                assert np.abs(memory.entries.vectors(rows) - right).max() < 1e-6
        assert len(memory.entries) == sum(map(len, found.images.values())) + len(found.texts)
        return found

    def digest(self):
        text = json.dumps(self.state(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def samples(self):
        """What a memory like this one is created from: those with an image or a text."""
        found = []
        for name, category in self.categories.items():
            for content, source in self.images[name].items():
                found.append(Sample(category, POOL[content][1], source))
            if name in self.texts:
                found.append(Sample(category, None, name))
        return found

    def after_teaching(self, samples):
        """What should be there once they are learnt too."""
        return self.after(Change("teach", (samples,)))

    def after(self, change):
        """What should be there after a change.

        Raises:
            RefusedError: It has to be refused.
        """
        found = deepcopy(self)
        getattr(found, change.kind)(*change.args, **change.options)
        return found


_vectors: dict[str, list[float]] = {}


def vectors():
    """Of all images, by content hash."""
    if not _vectors:
        encoder = TinyEncoder()
        for content, (_, image) in POOL.items():
            _vectors[content] = encoder.encode_images([admit(image).rgb])[0].tolist()
    return _vectors


@dataclass(frozen=True)
class Change:
    """One change of a memory, made by `apply`.

    Attributes:
        kind: teach, remove, update, merge, move or compact.
        args: As `Expected`'s method takes them.
        options: Likewise.
    """

    kind: str
    args: tuple = ()
    options: dict = field(default_factory=dict)

    def apply(self, home: Path, name: str, encoder, fitting="auto"):
        """Make it; entries are looked up by their content."""
        match self.kind, self.args:
            case "teach", (samples,):
                report = add_to_memory(home, name, encoder, samples, fitting=fitting)
                return report.memory
            case "remove", (names, entries):
                ids = _ids(home, name, entries)
                return remove_from_memory(home, name, names, ids, fitting)
            case "update", (category,):
                options = dict(self.options)
                if list(options) == ["rename"]:
                    return rename_category(home, name, category, options["rename"], lambda: encoder)
                return update_category(home, name, category, lambda: encoder, **options)
            case "merge", (merged, into):
                return merge_categories(home, name, merged, into, lambda: encoder, fitting)
            case "move", (entries, to):
                ids = _ids(home, name, entries)
                return move_entries(home, name, ids, to, lambda: encoder, fitting)
            case "compact", ():
                return compact_memory(home, name, fitting).memory
        raise AssertionError(self)


def _ids(home, name, entries):
    memory = open_memory(home, name)
    found = []
    for category, what in entries:
        column = memory.categories.find(category)
        modality = "text" if what == "text" else "image"
        rows = memory.entries.rows_of(modality, np.array([column]))
        found += [
            int(entry["id"])
            for entry in memory.entries.fields(rows)
            if what == "text" or bytes(entry["content"]).hex() == what
        ]
    return found


def some_samples(random: Random, most: int, named: bool) -> list[Sample]:
    """Images, mostly of the right category, with details here and there."""
    found = []
    for _ in range(random.randint(1, most)):
        content = random.choice(sorted(POOL))
        source, image = POOL[content]
        name = source.split("/")[2] if random.random() < 0.8 else random.choice(NAMES)
        found.append(Sample(_details(random, name), image, source))
    if named:
        name = random.choice(NAMES)
        found.append(Sample(_details(random, name), None, name))
    return found


def _details(random: Random, name: str) -> Category:
    category = Category(name=name)
    if random.random() < 0.2:
        branches = [branch for branch in BRANCHES if branch not in NAMES]
        category = category.model_copy(update={"parent": random.choice(branches)})
    if random.random() < 0.1:
        category = category.model_copy(update={"aliases": (random.choice("xyz"),)})
    return category


def some_change(random: Random, now: Expected) -> Change:
    """A change that may be refused, but names only what is there."""
    names = sorted(now.categories)
    entries = [(name, content) for name in names for content in sorted(now.images[name])]
    kinds = ["teach", "teach", "compact"]
    if names:
        kinds += ["remove", "update", "update", "rename", "rename", "merge"]
    if entries:
        kinds += ["move", "forget", "forget"]
    kind = random.choice(kinds)
    if kind == "teach":
        return Change("teach", (some_samples(random, 6, random.random() < 0.15),))
    if kind == "remove":
        return Change("remove", (random.sample(names, min(len(names), random.randint(1, 2))), []))
    if kind == "forget":
        some = random.sample(entries, min(len(entries), random.randint(1, 6)))
        if now.texts and random.random() < 0.3:
            some.append((random.choice(sorted(now.texts)), "text"))
        return Change("remove", ([], some))
    if kind == "rename":
        known = names + sorted({c.parent for c in now.categories.values() if c.parent})
        return Change(
            "update", (random.choice(known),), {"rename": random.choice((*NAMES, *BRANCHES))}
        )
    if kind == "update":
        options = [
            {"aliases": random.sample("uvw", random.randint(0, 2))},
            {"description": random.choice(("", "tall", "small and green"))},
            {"parent": random.choice(("", *BRANCHES))},
            {"metadata": {random.choice("kl"): random.choice((None, 1, "one"))}},
        ]
        chosen = {
            k: v for one in random.sample(options, random.randint(1, 3)) for k, v in one.items()
        }
        if "aliases" in chosen:
            chosen["aliases"] = tuple(chosen["aliases"])
        return Change("update", (random.choice(names),), chosen)
    if kind == "merge":
        some = random.sample(names, min(len(names), random.randint(2, 3)))
        others = some if len(some) == 1 or random.random() < 0.2 else some[1:]
        return Change("merge", (others, some[0]))
    if kind == "move":
        some = random.sample(entries, min(len(entries), random.randint(1, 4)))
        return Change("move", (some, random.choice(names)))
    return Change("compact")


def created(home: Path, name: str, samples, encoder, **options):
    """A memory of samples, and what should be in it."""
    memory = create_memory(home, name, encoder, samples, **options).memory
    return memory, Expected(encoder.names_help).after_teaching(samples)
