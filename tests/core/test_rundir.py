import os
import signal
import subprocess
import sys
import textwrap

import pytest

from masquerade.core.errors import CannotResume, MissingData
from masquerade.core.rundir import RunDir, differing


def test_a_failed_write_leaves_the_whole_file_and_nothing_else(tmp_path):
    run = RunDir(tmp_path)
    run.write_text("a.txt", "whole")

    def half(out):
        out.write(b"ha")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        run.write("a.txt", half)
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_in_the_middle_of_a_write_leaves_the_whole_file(tmp_path):
    RunDir(tmp_path).write_text("a.txt", "whole")
    code = f"""
        import os, signal
        from masquerade.core.rundir import RunDir
        def half(out):
            out.write(b"ha"); out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        RunDir({str(tmp_path)!r}).write("a.txt", half)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_folder_goes_on_only_with_equal_settings(tmp_path):
    run = RunDir(tmp_path / "a")
    config = {"epochs": 3, "maskers": [{"kind": "erase", "grid": 6}]}
    assert not run.start(config)
    assert run.start(config)
    with pytest.raises(CannotResume, match=r"maskers.0.grid: there 6, now 4"):
        run.start({"epochs": 3, "maskers": [{"kind": "erase", "grid": 4}]})


def test_a_run_of_an_older_version_goes_on_when_newer_fields_have_their_defaults(tmp_path):
    run = RunDir(tmp_path / "a")
    run.start({"epochs": 3})
    assert run.start({"epochs": 3, "limit": 0}, lambda old: {"limit": 0, **old})


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(CannotResume, match=r"not empty \(thesis.tex\) and holds no run"):
        RunDir(tmp_path).start({})


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(CannotResume, match="is a file"):
        RunDir(tmp_path / "a").start({})


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (
        RunDir(tmp_path).locked(),
        pytest.raises(CannotResume, match="another process"),
        RunDir(tmp_path).locked(),
    ):
        pass


def test_a_refused_run_leaves_no_folder_behind(tmp_path):
    run = RunDir(tmp_path / "runs" / "a")
    with pytest.raises(ValueError, match="not divisible"), run.locked():
        raise ValueError("30 is not divisible by 16")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_leaves_what_was_there_before(tmp_path):
    (tmp_path / "mine").mkdir()
    other = RunDir(tmp_path / "runs" / "b")
    other.write_json("config.json", {})
    for path in (tmp_path / "mine", tmp_path / "runs" / "a"):
        with pytest.raises(ValueError, match="no"), RunDir(path).locked():
            raise ValueError("no")
    assert (tmp_path / "mine").is_dir() and other.has("config.json")
    assert not (tmp_path / "runs" / "a").exists()


def test_a_run_that_wrote_something_is_kept_when_it_fails(tmp_path):
    run = RunDir(tmp_path / "a")
    with pytest.raises(ValueError, match="late"), run.locked():
        run.write_json("config.json", {})
        raise ValueError("late")
    assert run.has("config.json")


def test_broken_json_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(MissingData, match="not valid JSON"):
        RunDir(tmp_path).read_json("config.json")
    with pytest.raises(MissingData, match="is it a run folder"):
        RunDir(tmp_path).read_json("other.json")


def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n{"ste')
    assert RunDir(tmp_path).lines() == [{"step": 0}, {"step": 1}]


def test_every_differing_key_is_named():
    old, new = {"a": 1, "b": {"c": [1, 2]}, "d": 4}, {"a": 1, "b": {"c": [1, 3]}, "e": 5}
    assert list(differing(old, new)) == [("b.c.1", 2, 3), ("d", 4, None), ("e", None, 5)]
