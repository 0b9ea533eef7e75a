import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.command import TINY, Masquerade, photographs

from masquerade.core.rundir import RunDir

BACKBONE = TINY[4]


def test_a_run_ends_with_the_place_of_its_encoder(
    masquerade: Masquerade, trained: Path, tmp_path: Path
) -> None:
    told = masquerade(
        "pretrain", "simclr", *(w for w in TINY if "mask" not in w), f"out={tmp_path / 'b=1'}"
    )
    assert told.code == 0
    assert told.out == f"{tmp_path / 'b=1'}/encoder.safetensors\n"
    assert "next: masquerade evaluate" in told.err
    assert "epoch 2/2" in told.err


def test_a_finished_run_says_so_and_gives_its_summary_to_machines(
    masquerade: Masquerade, trained: Path
) -> None:
    told = masquerade("pretrain", trained, "--json")
    assert told.code == 0
    assert told.json["steps"] == 10
    assert told.json["run"] == str(trained)
    assert "finished already" in told.err


def test_a_dry_run_says_the_cost_and_leaves_nothing(masquerade: Masquerade, here: Path) -> None:
    told = masquerade("pretrain", "sequential", *TINY, "dry_run=true", "out=a")
    assert told.code == 0
    for word in ("images", "steps", "time", "memory", "run folder", "image cache"):
        assert word in told.out
    assert list(here.iterdir()) == []
    machine = masquerade("pretrain", "sequential", *TINY, "dry_run=true", "--json").json
    assert machine["steps"] == 10 and machine["images"] == 40


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "masquerade pretrain sequential data=photos"),
        (["sequentail"], 2, "Did you mean 'sequential'?"),
        (["sequential", "scale=huge"], 2, "scale must be one of paper, small, smoke, got 'huge'"),
        (["sequential", "epcohs=3", "size=a"], 2, "Did you mean 'epochs'?"),
        (["sequential", "epochs=abc"], 2, "epochs must be a whole number, got 'abc'"),
        (["sequential", "epochs=0"], 2, "epochs must be at least 1, got 0"),
        (["sequential", "data=toybux"], 2, "Did you mean 'toybox'?"),
        (["sequential", "maskers=erasee"], 2, "no masker is called 'erasee'. Did you mean"),
        (["sequential", "maskers.0.gird=4"], 2, "has no setting 'gird'"),
        (["sequential", "backbone.name=resnet19"], 2, "resnet19"),
        (["sequential", "dry_run=perhaps"], 2, "dry_run is true or false"),
        (["sequential", "dryrun=true"], 2, "Did you mean dry_run=?"),
        (["sequential", "simclr"], 2, "'simclr' is one name too many"),
        (["sequential", "out="], 2, "out= must name a folder"),
        (["sequential", "devices=0"], 2, "runtime.devices must be at least 1, got 0"),
        (["sequential", "data=./nowhere"], 2, "there is no folder ./nowhere (looked from "),
        (["sequential", "data=a.txt"], 2, "there is no list a.txt (looked from "),
        (["sequential", "data=a.npy"], 2, "there is no file a.npy (looked from "),
        (["sequential", "data=stl10"], 1, "or try data=toybox"),
        (["sequential", "data=file.png"], 2, "file.png is a file, not a folder of images"),
        (["sequential", "data=empty"], 1, "there is no image below"),
        (["sequential", "data=texts"], 1, "there is no image below"),
        (["sequential", "out=file.png"], 1, "file.png is a file; out= must name a folder"),
        (["sequential", "out=file.png/a"], 1, "file.png"),
        (["sequential", "out=texts"], 1, "texts is not empty (1.txt) and holds no run"),
        (["sequential", "out=/proc/masquerade"], 1, "/proc/masquerade"),
        (["texts"], 2, "masquerade pretrain sequential data=texts"),
        (["broken"], 1, "broken/config.json is not valid JSON"),
        (["other"], 1, "other/config.json cannot be used: epochs must be a whole"),
        (["sequential", "batch=64"], 2, "batch=64 is more than the 40 images"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_an_exit_code(
    masquerade: Masquerade, here: Path, words: list[str], code: int, text: str
) -> None:
    (here / "file.png").write_bytes(b"no image")
    (here / "empty").mkdir()
    for name, content in {
        "texts/1.txt": "hello",
        "broken/config.json": '{"epochs": ',
        "other/config.json": '{"epochs": "many"}',
    }.items():
        (here / name).parent.mkdir()
        (here / name).write_text(content)
    given = {w.partition("=")[0] for w in words}
    source = any(w.startswith("data=") for w in words)
    rest = [w for w in TINY if w.partition("=")[0] not in given]
    rest = [w for w in rest if not (source and w.startswith("data."))]
    if "maskers" in given:
        rest = [w for w in rest if not w.startswith("maskers.")]
    told = masquerade("pretrain", *words, *(rest if words[:1] == ["sequential"] else []))
    assert (told.code, told.out) == (code, "")
    assert text in told.err
    assert "Traceback" not in told.err
    assert not (here / "runs").exists() or not list(here.glob("runs/*/config.json"))


def test_all_mistakes_come_at_once(masquerade: Masquerade) -> None:
    told = masquerade("pretrain", "sequential", "epcohs=3", "sise=4", "batch=x")
    assert told.code == 2
    assert all(word in told.err for word in ("'epcohs'", "'sise'", "batch must be"))


def test_a_folder_of_forty_images_gets_a_batch_it_fills(masquerade: Masquerade, here: Path) -> None:
    photographs(here / "2024")  # a path that reads like a number
    told = masquerade(
        "pretrain", "simclr", "data=2024", "data.holdout=0", BACKBONE, "epochs=1", "out=a"
    )
    assert told.code == 0
    assert "batch=32, because 2024 has only 40 images" in told.err
    again = masquerade(
        "pretrain", "simclr", "data=2024", "data.holdout=0", BACKBONE, "epochs=1", "out=a"
    )
    assert again.code == 0 and "finished already" in again.err


def test_names_with_equals_signs_spaces_and_accents_are_names(
    masquerade: Masquerade, here: Path
) -> None:
    photographs(here / "été=2024" / "mes photos", classes=False)
    told = masquerade(
        "pretrain", "simclr", "data=été=2024/mes photos", BACKBONE, "epochs=1", "out=läufe/a=1"
    )
    assert told.code == 0, told.err
    assert told.out == "läufe/a=1/encoder.safetensors\n"
    assert masquerade("report", "läufe/a=1").out == "läufe/a=1/report.html\n"


def test_another_setting_in_the_same_folder_is_refused_by_its_name(
    masquerade: Masquerade, trained: Path
) -> None:
    told = masquerade("pretrain", trained, "epochs=3")
    assert told.code == 1
    assert "epochs: there 2, now 3" in told.err
    assert masquerade("pretrain", trained, "scale=paper").code == 2


def started(here: Path) -> "subprocess.Popen[str]":
    """A long run in a process of its own, once it has made a few steps."""
    words = [w for w in TINY if not w.startswith("epochs")]
    process = subprocess.Popen(
        [sys.executable, "-m", "masquerade", "pretrain", *words, "epochs=4000", "out=cut"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
    )
    while len(RunDir(here / "cut").lines()) < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_has_its_own_code(
    masquerade: Masquerade, here: Path, number: signal.Signals, code: int
) -> None:
    process = started(here)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    assert "the run is saved. Repeat the command to go on" in err
    assert "Traceback" not in err
    for verb in (["evaluate"], ["export", "timm"], ["predict"]):
        told = masquerade(*verb, "cut", *(["cut"] if verb == ["predict"] else []))
        assert told.code == 1
        assert "cut is not finished" in told.err
        assert "masquerade pretrain cut goes on with it" in told.err
    assert masquerade("report", "cut").code == 0


def test_the_folder_of_a_cut_run_goes_on_with_it(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a")
    for name in ("summary.json", "encoder.json", "encoder.safetensors"):
        Path("a", name).unlink()
    told = masquerade("pretrain", "a")
    assert told.code == 0
    assert "going on with a" in told.err
    before = json.loads((trained / "summary.json").read_text())
    assert json.loads(Path("a/summary.json").read_text())["steps"] == before["steps"]
