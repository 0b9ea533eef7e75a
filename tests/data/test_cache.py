"""The cache: built once, whole or not at all, by one process at a time."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from tests.data.hostile import scene

from masquerade.data import cache, compose, workers
from masquerade.data.sources import folder

ORDER = compose.Order("things10", "train", (), 10, 16, 0)
LOAD = """
import sys
from masquerade.data.sources import folder
images = folder.Config(path=sys.argv[1]).load("all", 32)
print(len(images), images.digests()[0], flush=True)
"""
SLOW = """
import sys, time
from masquerade.data import cache
def build(builder):
    builder.array("pixels", "uint8", (4, 8, 8, 3))[:] = 7
    print("half", flush=True)
    time.sleep(60)
cache.prepared("slow", cache.key("slow"), build)
"""


def photos(root: Path, count: int = 12) -> Path:
    root.mkdir()
    for i in range(count):
        scene(seed=i).save(root / f"{i:02}.png")
    return root


def filled(builder: cache.Builder) -> None:
    builder.array("pixels", "uint8", (4, 8, 8, 3))[:] = 7
    builder.about["said"] = "hello"


def large(builder: cache.Builder) -> None:
    builder.array("pixels", "uint8", (100, 1000, 1000, 3))


def test_an_entry_is_built_once_and_read_back(own_cache: Path) -> None:
    calls = []

    def build(builder: cache.Builder) -> None:
        calls.append(1)
        filled(builder)

    for _ in range(2):
        entry = cache.prepared("set", cache.key("a"), build)
        assert entry.about["said"] == "hello"
        assert (entry.arrays["pixels"] == 7).all() and not entry.arrays["pixels"].flags.writeable
    assert calls == [1]
    (listed,) = cache.entries()
    assert listed.name == "set" and listed.size > 4 * 8 * 8 * 3
    assert cache.where() == own_cache


def test_clear_frees_what_entries_takes() -> None:
    cache.prepared("set", cache.key("a"), filled)
    taken = sum(e.size for e in cache.entries())
    assert cache.clear() == taken
    assert cache.entries() == [] and cache.clear() == 0


def test_a_build_that_fails_leaves_nothing() -> None:
    def fail(builder: cache.Builder) -> None:
        filled(builder)
        raise KeyError("x")

    with pytest.raises(KeyError):
        cache.prepared("set", cache.key("a"), fail)
    assert list(cache.images().iterdir()) == []


def test_a_killed_build_leaves_no_entry_and_the_next_one_succeeds(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "half\n"
    assert cache.clear() == 0  # it is being built: left alone
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert cache.entries() == []
    assert [p.name[:4] for p in cache.images().iterdir()] == ["half"]
    entry = cache.prepared("slow", cache.key("slow"), filled)
    assert (entry.arrays["pixels"] == 7).all()
    assert [p.name for p in cache.images().iterdir()] == [cache.key("slow")]


def test_what_a_killed_build_left_is_swept_by_the_next_build_of_anything() -> None:
    left = cache.images() / f"half-{cache.key('other')}"
    left.mkdir(parents=True)
    cache.prepared("set", cache.key("a"), filled)
    assert not left.exists()


def test_two_processes_build_one_cache(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    command = [sys.executable, "-c", LOAD, str(root)]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [child.communicate() for child in children]
    assert said[0][0] == said[1][0] and said[0][0].startswith("12 ")
    assert len(cache.entries()) == 1


def test_changed_content_is_decoded_again_even_if_size_and_time_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    file = root / "a.bmp"
    scene(seed=0).save(file)
    before = file.stat()
    first = folder.Config(path=str(root)).load("all", 32).pixels.copy()
    scene(seed=1).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    time.sleep(0.01)
    assert (folder.Config(path=str(root)).load("all", 32).pixels != first).any()


def test_a_copy_elsewhere_uses_the_same_entry(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    first = folder.Config(path=str(root)).load("all", 32)
    shutil.copytree(root, tmp_path / "copy")
    second = folder.Config(path=str(tmp_path / "copy")).load("all", 32)
    assert first.digests() == second.digests() and len(cache.entries()) == 1
    folder.Config(path=str(root), channels="grey").load("all", 32)
    assert len(cache.entries()) == 2


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(cache.DiskFull, match=r"need 300 MB, and .* has 1 MB free"):
        cache.prepared("big", cache.key("b"), large)
    assert cache.entries() == []


def test_work_in_processes_gives_what_work_here_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    spread = {r: m for part in workers.spread(compose.compose, ORDER, range(80)) for r, m in part}
    here = compose.compose(ORDER, range(80))
    assert all((spread[r].image == here[r].image).all() for r in range(80))


def test_an_error_in_a_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    with pytest.raises(KeyError, match="no such preset"):
        list(workers.spread(compose.compose, ORDER._replace(preset="no such preset"), range(80)))


def test_an_item_that_kills_its_process_costs_that_item(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\n"
        "def job(common, items):\n"
        "    return [os.abort() if item == common else item for item in items]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    deadly = importlib.import_module("deadly")
    done = dict(
        pair
        for part in workers.spread(deadly.job, 33, range(70), lost=lambda i: -i)
        for pair in part
    )
    assert done == {i: -33 if i == 33 else i for i in range(70)}
    with pytest.raises(RuntimeError, match="a worker process died on 33"):
        list(workers.spread(deadly.job, 33, range(70)))
