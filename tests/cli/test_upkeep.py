"""`memory fit` with a prior, and names from annotation files, at the command line."""

from rar_agent.memory import open_memory
from tests.memory.readers.test_annotations import LVIS, written
from tests.memory.readers.test_tree import given_files


def test_a_prior_is_asked_for_and_taken_away(rar, colours):
    done = rar("memory", "fit", "colours", "--prior", "letters", "--prior-weight", 1)
    assert done.status == 0, done.err
    assert "prior by letters, weight 1" in done.out
    assert open_memory(colours, "colours").manifest.prior.weight == 1
    assert "prior by letters" in rar("memory", "show", "colours").out
    assert "prior by letters" in rar("memory", "fit", "colours").out
    assert "prior" not in rar("memory", "fit", "colours", "--no-prior").out
    assert open_memory(colours, "colours").calibrated


def test_options_that_make_no_prior(rar, colours):
    for options, says in (
        (("--prior-weight", 1), "--prior-weight 1 is of no prior"),
        (("--prior", "letters", "--no-prior"), "--no-prior goes with no other"),
        (("--prior", "letters", "--prior-weight", 0), "weight 0 is not valid"),
        (("--prior", "letters", "--prior-weight", "nan"), "weight nan is not valid"),
        (("--prior", "sound"), "has a count under 'sound'"),
    ):
        done = rar("memory", "fit", "colours", *options)
        assert done.status == 2
        assert says in done.err
    assert open_memory(colours, "colours").manifest.prior is None


def test_a_memory_of_an_annotation_file(rar, tmp_path, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    file, tree = given_files(tmp_path)
    done = rar("memory", "create", "v3det", "--names", file, "--tree", tree)
    assert done.status == 0, done.err
    assert "4 categories" in done.out
    shown = rar("memory", "show", "v3det", "--tree").out
    assert "crane (n3)" in shown
    done = rar("memory", "create", "lvis", "--names", written(tmp_path, LVIS))
    assert done.status == 0, done.err
    assert "alarm_clock" in rar("memory", "show", "lvis", "--category", "alarm_clock").out
    names = tmp_path / "names.txt"
    names.write_text("robin\n", encoding="utf-8")
    for options, says in (
        (("--names", names, "--tree", tree), "a list without any"),
        (("--images", tmp_path, "--tree", tree), "no names are given"),
        (("--names", file, "--tree", file), "is no category tree"),
    ):
        done = rar("memory", "create", "other", *options)
        assert done.status == 2
        assert says in done.err
