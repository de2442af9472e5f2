"""One mutation of a memory's folder, or of an exported one, from a seed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from fuzz import memories_arrays, memories_json
from fuzz.memories_made import DIMENSION, EXPORTED, MADE
from rar_agent.memory.format.categories import name_hash
from rar_agent.memory.format.files import DATA, write_file
from rar_agent.memory.format.manifest import CATEGORY

_OBJECTS = ("link", "link out", "link to a device", "pipe", "folder", "missing")
_WHAT = ("manifest", "manifest", "file", "file", "file", "CURRENT", "object", "other")


@dataclass(frozen=True)
class Mutation:
    """What was done.

    Attributes:
        memory: Which of `MADE`, or `EXPORTED`.
        kind: Of the file and of what was done to it.
        forged: Whether hashes and sizes were computed again, so that all of them are right.
        said: In words, for people.
        names: Any of which an error may name to have named the file.
    """

    memory: str
    kind: str
    forged: bool
    said: str
    names: tuple[str, ...]


def mutate(whole: Path, home: Path, seed: int) -> Mutation:
    """Copy a memory and change it.

    Args:
        whole: Where `make` wrote them.
        home: Where the changed one comes; anything there is removed.
        seed: Decides everything; even seeds forge.
    """
    draw, forged = random.Random(seed), seed % 2 == 0
    name = draw.choice([*MADE, "taught", "indexed", EXPORTED])
    shutil.rmtree(home, ignore_errors=True)
    if name == EXPORTED:
        _copy(whole / EXPORTED, home / EXPORTED)
        return _exported(home / EXPORTED, draw, forged)
    place = home / "memories" / name
    _copy(whole / "memories" / name, place)
    return _memory(place, whole, draw, forged)


def _copy(folder: Path, place: Path) -> None:
    for part, content in _contents(folder).items():
        path = place / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@cache
def _contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def _memory(place: Path, whole: Path, draw: random.Random, forged: bool) -> Mutation:
    current = json.loads((place / "CURRENT").read_bytes())
    manifest = place / "generations" / f"{current['generation']:06d}.json"
    content = manifest.read_bytes()
    what = draw.choice(
        ["manifest", "manifest", "file", "file", "file", "CURRENT", "object", "other"]
    )
    if what == "CURRENT":
        path = place / "CURRENT"
        way = memories_json.mutated if forged else memories_arrays.damaged
        data, said = way(path.read_bytes(), draw)
        path.write_bytes(data)
        return Mutation(place.name, "CURRENT", forged, said, ("CURRENT", "names a generation"))
    if what == "manifest":
        changed, said = content, ""
        for _ in range(draw.choice([1, 1, 1, 2])):
            before, changed = changed, b""
            try:
                changed, more = memories_json.mutated(before, draw)
            except (ValueError, RecursionError):  # the first made it no JSON any more
                changed, more = memories_arrays.damaged(before, draw)
            said = f"{said}, {more}".strip(", ")
        _write_manifest(place, manifest, changed, forged)
        # What a manifest says may be seen to be wrong where a file is not as it says.
        names = ("anifest", ".json", str(place), "format version", "is empty")
        return Mutation(place.name, "manifest", forged, said, names)
    files = sorted((place / DATA).iterdir())
    path = draw.choice([file for file in files if file.name.encode() in content])
    kind = path.suffix[1:]
    if what == "object":
        path = draw.choice([path, path, manifest, place / "CURRENT", place / DATA])
        return _object(place, path, whole, draw)
    if what == "other":
        others = [*(whole / "memories").glob(f"*/{DATA}/*.{draw.choice([kind, '*'])}")]
        other = draw.choice(sorted(others))
        data, said = other.read_bytes(), f"{kind}: that of {other.parents[1].name}"
    elif kind == "jsonl" and forged:
        return _categories(place, manifest, path, draw)
    elif forged and draw.random() < 0.8:
        data, said = memories_arrays.mutated(kind, path.read_bytes(), draw)
    else:
        data, said = memories_arrays.damaged(path.read_bytes(), draw)
    if not forged:
        path.write_bytes(data)
        return Mutation(place.name, f"{kind} damaged", forged, said, (path.name[:12],))
    ref = write_file(place, data, kind)
    changed = _renamed(content, path, ref.name, ref.size)
    _write_manifest(place, manifest, changed, forged)
    return Mutation(place.name, f"{kind} forged", forged, said, (ref.name[:12],))


def _categories(place: Path, manifest: Path, path: Path, draw: random.Random) -> Mutation:
    """Forge a layer of categories: its lines, and the rows that say where they are."""
    content = manifest.read_bytes()
    layer = next(one for one in json.loads(content)["layers"] if one["lines"]["name"] == path.name)
    rows = np.frombuffer((place / DATA / layer["rows"]["name"]).read_bytes(), CATEGORY).copy()
    lines = path.read_bytes().splitlines(keepends=True)
    at = draw.randrange(len(lines))
    if draw.random() < 0.3:  # another place in the tree
        record = json.loads(lines[at])
        names = [json.loads(line)["name"] for line in lines]
        record["parent"] = draw.choice([*names, record["name"], "all", ""])
        line, said = json.dumps(record).encode(), f"parent {record['parent']}"
    else:
        line, said = memories_json.mutated(lines[at], draw)
    lines[at] = line + b"\n"
    sizes = np.array([len(one) for one in lines])
    rows["size"], rows["start"] = sizes, np.cumsum(sizes) - sizes
    try:
        record = json.loads(line)
        name, parent = record.get("name"), record.get("parent", "")
        rows["name"][at] = name_hash(name) if isinstance(name, str) else 0
        rows["parent"][at] = name_hash(parent) if isinstance(parent, str) else 0
    except (ValueError, AttributeError, RecursionError):
        pass
    new_lines = write_file(place, b"".join(lines), "jsonl")
    new_rows = write_file(place, rows.tobytes(), "categories")
    content = _renamed(content, path, new_lines.name, new_lines.size)
    content = _renamed(content, place / DATA / layer["rows"]["name"], new_rows.name, new_rows.size)
    _write_manifest(place, manifest, content, forged=True)
    named = (new_lines.name[:12], new_rows.name[:12])
    return Mutation(place.name, "category forged", True, said, named)


def _object(place: Path, path: Path, whole: Path, draw: random.Random) -> Mutation:
    """Something else than a file in a file's place."""
    way, content = draw.choice(_OBJECTS), path.read_bytes() if path.is_file() else b""
    if path.is_dir():
        path.rename(away := place.parent / "away")
        target = away
    else:
        path.unlink()
        target = place.parent / "outside"
        target.write_bytes(content)
    if way == "link out":
        path.symlink_to(whole if path.suffix == "" else "/etc/passwd")
    elif way == "link":
        path.symlink_to(target)
    elif way == "link to a device":
        path.symlink_to(draw.choice(["/dev/zero", "/dev/full", "/dev/stdin", "/proc/self/mem"]))
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    name = path.name if path.name == DATA else path.name[:12]
    names = (name, "There is no memory", "anifest", "names a generation")
    return Mutation(place.name, f"{path.suffix[1:] or path.name} {way}", False, str(path), names)


def _exported(place: Path, draw: random.Random, forged: bool) -> Mutation:
    path = draw.choice(sorted(place.iterdir()))
    described = path.name == "memory.json"
    if draw.random() < 0.1:
        return _object(place, path, place.parent, draw)
    if described and forged:
        data, said = memories_json.mutated(path.read_bytes(), draw)
    elif path.suffix == ".npy" and forged and draw.random() < 0.6:
        data, said = _npy(draw)
    else:
        data, said = memories_arrays.damaged(path.read_bytes(), draw)
    path.write_bytes(data)
    if forged and not described:
        about = place / "memory.json"
        says = json.loads(about.read_bytes())
        digest = hashlib.sha256(data).hexdigest()
        says["files"][path.name] = {"sha256": digest, "size": len(data)}
        about.write_text(json.dumps(says))
    names = (path.name,) if not described else (path.name, str(place))
    return Mutation(EXPORTED, path.name, forged, said, names)


def _npy(draw: random.Random) -> tuple[bytes, str]:
    rows = np.random.default_rng(0).normal(size=(116, DIMENSION)).astype("<f4")
    return memories_arrays.header(rows, draw), "header"


def _renamed(manifest: bytes, old: Path, name: str, size: int) -> bytes:
    """A manifest that names another file, of another size, wherever it named one."""
    tree = json.loads(manifest)

    def walk(part: object) -> None:
        if isinstance(part, dict):
            if part.get("name") == old.name:
                part.update(name=name, size=size)
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(tree)
    return json.dumps(tree).encode()


def _write_manifest(place: Path, path: Path, content: bytes, forged: bool) -> None:
    path.write_bytes(content)
    if forged:
        digest = hashlib.sha256(content).hexdigest()
        current = {"generation": int(path.stem), "sha256": digest}
        (place / "CURRENT").write_text(json.dumps(current))
