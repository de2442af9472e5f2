"""Records for tests: of answers as they are, and of samples drawn from a known distribution."""

import numpy as np

from rar_agent.evaluation.record import Answer, Ranked, Record


def answer(*names, p=None, accepted=True):
    """An answer; `p` is the first name's probability, the others share the rest."""
    rest = () if p is None else (p, *[(1 - p) / max(1, len(names) - 1)] * (len(names) - 1))
    return Answer(names=names, probabilities=rest, accepted=accepted)


def record(sample, truth, cell="1-shot, seed 1", **parts):
    """A record; ways are given as answers, or as a first name."""
    given = {
        key: answer(*value.split(",")) if isinstance(value, str) else value
        for key, value in parts.items()
    }
    return Record(cell=cell, sample=sample, truth=truth, sha256=sample, **given)


def judged(rights, cell="1-shot, seed 1", way="retrieval", ps=None):
    """Records of one way that is right or wrong, of the category `yes`."""
    ps = [None] * len(rights) if ps is None else ps
    return [
        record(f"{i}.jpg", "yes", cell, **{way: answer("yes" if ok else "no", "maybe", p=p)})
        for i, (ok, p) in enumerate(zip(rights, ps, strict=True))
    ]


def ranked(right_before, right_after, cost=0.0, tokens=100, seed=1):
    """Records of retrieval and ranking, right or wrong."""
    usage = {"input_tokens": tokens, "output_tokens": 10, "cost": cost}
    return [
        record(
            f"{i}.jpg",
            "yes",
            f"4-shot, seed {seed}",
            retrieval="yes,no" if before else "no,yes",
            ranked="yes,no" if after else "no,yes",
            ranking=Ranked(model="m", calls=1, parse_status="exact", usage=usage),
        )
        for i, (before, after) in enumerate(zip(right_before, right_after, strict=True))
    ]


def crossed(random, images, seeds, share=0.7, of_image=1.0, of_seed=0.1):
    """(images, seeds) whether right: images are harder or easier, seeds draw better or worse."""
    level = np.log(share / (1 - share))
    logits = (
        level + of_image * random.normal(size=(images, 1)) + of_seed * random.normal(size=seeds)
    )
    return random.random((images, seeds)) < 1 / (1 + np.exp(-logits))


def by_name(metrics, cell=None):
    """Metrics by way and name."""
    return {(m.way, m.name): m for m in metrics if cell in (None, m.cell)}
