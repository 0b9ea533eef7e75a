import csv
import shutil
from pathlib import Path

import pytest
from tests.cli.command import Masquerade, photographs

from masquerade.data import cache


def test_every_image_of_a_folder_gets_a_line(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    photographs(here / "photos")
    told = masquerade("predict", trained, "photos")
    assert told.code == 0
    header, *rows = [line.split("\t") for line in told.out.splitlines()]
    assert header == ["file", "label", "score"]
    assert len(rows) == 40  # no class folder is held out, no batch left over
    assert all(Path("photos", file).exists() and 0 <= float(p) <= 1 for file, _, p in rows)


@pytest.mark.parametrize("head", ["linear", "knn"])
def test_one_image_file_gets_the_label_it_gets_in_its_folder(
    masquerade: Masquerade, trained: Path, here: Path, head: str
) -> None:
    photographs(here / "a=b", classes=False, count=3)
    whole = masquerade("predict", trained, "./a=b", f"with={head}", "--json").json
    hint = masquerade("predict", trained, "a=b")
    assert hint.code == 2 and "A file or folder of that name is written ./a=b" in hint.err
    before = len(cache.entries())
    single = masquerade("predict", trained, "./a=b/001.jpg", f"with={head}", "--json").json
    assert len(cache.entries()) == before  # one file leaves nothing behind
    assert len(single) == 1
    assert single[0]["label"] == whole[1]["label"]
    assert single[0]["score"] == pytest.approx(whole[1]["score"], abs=0.02)  # bf16, other batch


def test_out_is_a_table_for_spreadsheets(masquerade: Masquerade, trained: Path, here: Path) -> None:
    photographs(here / "new", classes=False, count=3)
    told = masquerade("predict", trained, "new", "out=labels.csv")
    assert (told.code, told.out) == (0, "labels.csv\n")
    rows = list(csv.DictReader(Path("labels.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == ["000.jpg", "001.jpg", "002.jpg"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "name the images too"),
        (["new", "old"], 2, "'old' is one name too many"),
        (["new", "with=svm"], 2, "with must be one of linear, knn, finetune, finetune_sgd, got"),
        (["new", "wiht=knn"], 2, "Did you mean with=?"),
        (["new", "split=half"], 2, "no split 'half'"),
        (["nowhere.jpg"], 2, "there is nothing at nowhere.jpg"),
        (["nowhere/x"], 2, "there is nothing at nowhere/x"),
        (["nowhere"], 2, "no image source or folder is called 'nowhere'"),
        (["text.png"], 1, "text.png is not an image"),
        (["digits"], 2, "the encoder takes images of 3 channels"),
        (["new", "out=text.png/a.csv"], 1, "text.png"),
    ],
)
def test_what_cannot_be_labelled_is_one_message_and_an_exit_code(
    masquerade: Masquerade, trained: Path, here: Path, words: list[str], code: int, text: str
) -> None:
    photographs(here / "new", classes=False, count=3)
    Path("text.png").write_text("no image")
    told = masquerade("predict", trained, *words)
    assert (told.code, told.out) == (code, ""), told
    assert text in told.err


def test_a_run_that_was_not_measured_says_how_to(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a", ignore=shutil.ignore_patterns("eval"))
    photographs(here / "new", classes=False, count=3)
    told = masquerade("predict", "a", "new")
    assert told.code == 1
    assert "masquerade evaluate a fits one" in told.err and "data=LABELLED_FOLDER" in told.err


def test_a_damaged_head_is_a_sentence(masquerade: Masquerade, trained: Path, here: Path) -> None:
    shutil.copytree(trained, "a")
    Path("a/eval/linear.safetensors").write_bytes(b"half")
    photographs(here / "new", classes=False, count=3)
    told = masquerade("predict", "a", "new")
    assert told.code == 1
    assert "linear.safetensors is no safetensors file" in told.err
