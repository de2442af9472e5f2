"""The formulas of docs/scale.md, and that it shows what they give."""

from pathlib import Path

import pytest

from benchmarks.extrapolate import (
    KINDS,
    by_own,
    by_provider,
    checks,
    constants,
    described,
    entries,
    images,
    most_entries,
    node_bytes,
    shown,
    tables,
)

KNOWN = constants()
PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text("utf-8")


@pytest.mark.parametrize("name", [name for name, _ in tables(KNOWN)])
def test_the_page_has_the_table(name):
    assert dict(tables(KNOWN))[name] in PAGE, "put in what python -m benchmarks.extrapolate prints"


def test_each_constant_says_where_it_is_from():
    for name, one in described().items():
        assert one["basis"] in ("measured", "published", "assumed"), name
        assert one["unit"], name
        assert one["source"], name
        if one["basis"] == "published":
            assert "https://" in one["source"] or "same" in one["source"], name


def test_what_was_measured_is_reckoned_within_a_third():
    for what, reckoned, found in checks(KNOWN):
        assert 0.66 < reckoned / found < 1.5, what


@pytest.mark.parametrize("kind", KINDS)
def test_machines_share_entries_evenly(kind):
    one, eight = (entries(KNOWN, kind, 10**8, machines=machines) for machines in (1, 8))
    assert eight.disk == pytest.approx(one.disk / 8, rel=0.05)
    assert eight.ram == pytest.approx(one.ram / 8, rel=0.05)
    assert eight.build <= one.build / 8  # an index of less is quicker built, too
    assert entries(KNOWN, kind, 10**8, cores=16).build == pytest.approx(one.build / 8)


def test_ram_is_what_is_known_of_each_kind():
    rows, row = 10**7, 4 * 512
    assert entries(KNOWN, "exact", rows).ram == pytest.approx(rows * row / 1e9)
    assert entries(KNOWN, "hnsw", rows).ram == pytest.approx(rows * (row + 8 * 24 + 16) / 1e9)
    assert entries(KNOWN, "diskann", rows).ram == pytest.approx(rows * row * 0.225 / 1e9)
    assert 64 * rows / 1e9 < entries(KNOWN, "ivf-pq", rows).ram < 80 * rows / 1e9


def test_an_exact_search_reads_all():
    one, ten = (entries(KNOWN, "exact", count).latency for count in (10**6, 10**7))
    assert ten == pytest.approx(10 * one)


@pytest.mark.parametrize(
    ("dimension", "size"),
    [(512, 4_096), (128, 4_096 / 5), (200, 4_096 / 3), (1_024, 8_192), (2_048, 12_288)],
)
def test_a_node_takes_whole_sectors_or_shares_one(dimension, size):
    """4 bytes for each number, and for 56 links and how many there are."""
    assert node_bytes(KNOWN, dimension) == size


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_fit_as_memory_is_needed_for(kind):
    most = most_entries(KNOWN, kind, 24)
    assert entries(KNOWN, kind, most).ram <= 24
    assert entries(KNOWN, kind, 1.01 * most).ram > 24


def test_the_slower_of_cores_and_gpus_is_waited_for():
    starved = images(KNOWN, 10**6, 1, 5_000, 0.019)
    assert starved.hours == pytest.approx(starved.core_hours / 16)
    assert starved.hours > starved.gpu_hours
    assert starved.fed == pytest.approx(5_000 * (0.019 + KNOWN["recognise_s"]))
    busy = images(KNOWN, 10**6, 1, 100, 0.019)
    assert busy.hours == pytest.approx(busy.gpu_hours) == pytest.approx(10**6 / 100 / 3_600)
    assert images(KNOWN, 10**6, 8, 100, 0.019).hours == pytest.approx(busy.hours / 8)
    assert images(KNOWN, 10**6, 8, 100, 0.019).gpu_hours == busy.gpu_hours


def test_without_a_gpu_two_cores_do_all():
    alone = images(KNOWN, 3_600, 0, 0, 0.019)
    assert alone.core_hours == pytest.approx(0.019 + KNOWN["encode_cpu_s"] + KNOWN["recognise_s"])
    assert alone.hours == alone.core_hours / 2
    assert alone.gpu_hours == 0


def test_a_provider_is_paid_for_what_is_asked():
    every, fifth = (by_provider(KNOWN, 10**6, share) for share in (1.0, 0.2))
    assert every.dollars == pytest.approx(180)
    assert fifth.dollars == pytest.approx(36)
    assert fifth.tokens == pytest.approx(0.2 * 559e6)
    assert every.hours == pytest.approx(559e6 / 10e6 / 60)


def test_a_model_of_ones_own_costs_its_hours_however_many_share_them():
    one, eight = (by_own(KNOWN, 10**6, 1.0, gpus) for gpus in (1, 8))
    assert one.dollars == eight.dollars == pytest.approx(2.5 * one.gpu_hours)
    assert eight.hours == pytest.approx(one.hours / 8)
    read = 2 * 7.6e9 * 470 / (989e12 * 0.4)
    assert one.gpu_hours == pytest.approx(10**6 * (read + 12 / 5777) / 3600)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.012"), (9.96, "10"), (55.2, "55"), (1_234, "1,230"), (99.9, "100"), (99.4, "99")],
)
def test_two_digits_are_shown(value, text):
    assert shown(value) == text
