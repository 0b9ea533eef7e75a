import json
import shutil
from pathlib import Path

import pytest
from tests.cli.command import Masquerade, photographs

import masquerade as mq


def test_masks_of_a_folder_lie_where_the_command_says(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    photographs(here / "photos", count=5)
    told = masquerade("masks", trained, "photos", "out=found")
    assert (told.code, told.out) == (0, "found\n")
    assert "5 images, 2 masks each, which may overlap; found/masks.json lists them" in told.err
    listed = json.loads(Path("found/masks.json").read_text())["images"]
    assert len(listed) == 5
    assert all(Path("found", file).is_file() for row in listed for file in row["files"].values())
    machine = masquerade("masks", trained, "photos", "out=found", "hard=false", "--json").json
    assert machine["complete"] and "labels" not in machine["images"][0]["files"]


def test_python_gives_the_same_files(trained: Path, here: Path) -> None:
    photographs(here / "photos", count=2)
    run = mq.Run(shutil.copytree(trained, "a"))
    found = run.masks("photos")
    assert found.folder == Path("a/masks/photos")
    assert found.images[1].masks[0].is_file() and len(found.images) == 2
    assert run.report.is_file()  # the folder of masks is nothing to the page


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "name the images too: masquerade masks RUN IMAGES"),
        (["new", "old"], 2, "'old' is one name too many"),
        (["new", "hard=perhaps"], 2, "hard is true or false"),
        (["new", "masker=x"], 2, "masker is a whole number"),
        (["new", "masker=1"], 2, "has learned masker=0 (sequential), got masker=1"),
        (["new", "maskr=1"], 2, "Did you mean masker=?"),
        (["nowhere.jpg"], 2, "there is nothing at nowhere.jpg (looked from "),
        (["nowhere"], 2, "no image source or folder is called 'nowhere'"),
        (["text.png"], 1, "text.png is not an image"),
        (["digits"], 2, "the masker takes images of 3 channels"),
        (["new", "out=text.png"], 1, "text.png is a file; out= must name a folder"),
        (["new", "out=new"], 1, "new is not empty (000.jpg) and holds no masks"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_an_exit_code(
    masquerade: Masquerade, trained: Path, here: Path, words: list[str], code: int, text: str
) -> None:
    photographs(here / "new", classes=False, count=3)
    Path("text.png").write_text("no image")
    told = masquerade("masks", trained, *words)
    assert (told.code, told.out) == (code, ""), told
    assert text in told.err and "Traceback" not in told.err


def test_a_masker_is_taken_away(masquerade: Masquerade, trained: Path, here: Path) -> None:
    told = masquerade("export", "masker", trained, "out=masker")
    assert (told.code, told.out) == (0, "masker\n")
    assert mq.load_masker("masker").masker is not None
    unknown = masquerade("export", "tflite", trained)
    assert unknown.code == 2
    assert (
        "nothing can be exported as 'tflite'. There are: timm, torchvision, hub, onnx, masker"
        in unknown.err
    )
