import json
import shutil
from pathlib import Path

import pytest
from tests.cli.command import TINY, Masquerade, photographs


def test_a_table_for_each_protocol_with_what_it_is(
    masquerade: Masquerade, trained: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "a")
    told = masquerade("evaluate", run, "knn", "masks", "knn.k=5")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].startswith("knn, fitted on toybox")
    assert lines[1].split("  ")[-1].strip() == "seen top-5"
    assert [line.split()[0] for line in lines[2:5]] == ["trained", "untrained", "pixels"]
    assert "balanced" not in told.out  # classes of one size: it is top-1 again
    assert lines[5].startswith("kNN, k = 5, cosine")
    assert lines[6].startswith("masks: overlap")
    assert [line.split("  ")[0].strip() for line in lines[8:10]][1] == "centred square"


def test_without_names_everything_that_makes_sense_is_measured(
    masquerade: Masquerade, trained: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "a")
    told = masquerade("evaluate", run, "--json", "baselines=false", "embedding.images=40")
    assert set(told.json) == {"knn", "linear", "embedding", "masks"}
    assert set(told.json["knn"]["rows"]) == {"trained"}
    assert (run / "eval" / "masks.json").exists()


def test_images_without_labels_are_one_sentence_and_a_map(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    photographs(here / "flat", classes=False)
    shutil.copytree(trained, "a")
    told = masquerade("evaluate", "a", "data=flat")
    assert told.code == 0
    sentences = [line for line in (told.out + told.err).splitlines() if "no labels" in line]
    assert len(sentences) == 1
    assert Path("a/eval/embedding.npz").stat().st_mtime > Path("a/config.json").stat().st_mtime
    assert "flat" in Path("a/eval/embedding.json").read_text()


def test_a_protocol_that_needs_labels_and_finds_none_is_one_sentence_and_no_success(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    photographs(here / "flat", classes=False)
    shutil.copytree(trained, "a")
    told = masquerade("evaluate", "a", "linear", "data=flat")
    assert (told.code, told.out) == (1, "")
    assert "flat has no labels, and linear needs them" in told.err
    both = masquerade("evaluate", "a", "knn", "linear", "data=flat")
    assert both.code == 1 and "flat has no labels, and knn and linear need them" in both.err


def test_batch_norm_is_recalibrated_said_written_down_and_used_by_predict(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a")
    photographs(here / "new", classes=False, count=12)
    words = ["knn", "linear", "baselines=false"]
    before = masquerade("evaluate", "a", *words, "--json").json
    assert before["knn"]["protocol"]["bn"] == "trained" and "bn" not in before["knn"]
    usual = masquerade("predict", "a", "new", "with=knn", "--json").json
    told = masquerade("evaluate", "a", *words, "bn=recalibrate")
    assert "batch-norm statistics re-estimated on 40 clean images of toybox" in told.out
    found = json.loads(Path("a/eval/knn.json").read_text())
    assert found["protocol"]["bn"] == "recalibrate"
    assert found["bn"]["images"] == 40 and found["bn"]["drift"] > 0 < found["bn"]["spread"]
    other = masquerade("predict", "a", "new", "with=knn", "--json").json
    assert [row["score"] for row in other] != [row["score"] for row in usual]
    masquerade("evaluate", "a", *words)
    again = masquerade("predict", "a", "new", "with=knn", "--json").json
    assert again == usual
    assert masquerade("evaluate", "a", "knn", "bn=maybe").code == 2


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "name the folder of a run"),
        (["nowhere"], 2, "nowhere does not exist (looked from "),
        (["file"], 2, "file is a file, not the folder of a run"),
        (["empty"], 2, "empty is no run: the folder holds no config.json"),
        (["demo"], 2, "demo is a demo of several runs; name one: demo/simclr"),
        (["a", "knnn"], 2, "Did you mean 'knn'?"),
        (["a", "knn", "knn.kk=3"], 2, "has no setting 'kk'"),
        (["a", "baselines=maybe"], 2, "baselines"),
        (["a", "data=empty"], 1, "there is no image below"),
        (["a", "data=digits"], 2, "the encoder takes images of 3 channels"),
        (["a", "tests=[\"nope\"]"], 2, "no split 'nope'"),
        (["a", "out=x"], 2, "has no setting 'out'"),
        (["short"], 1, "encoder.safetensors is not a whole .safetensors file"),
        (["heads"], 1, "heads.safetensors is not a whole .safetensors file"),
        (["card"], 1, "encoder.json is not valid JSON"),
        (["lost"], 1, "holds no heads.safetensors"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_one_message_and_an_exit_code(
    masquerade: Masquerade, trained: Path, here: Path, words: list[str], code: int, text: str
) -> None:
    Path("file").write_text("")
    Path("empty").mkdir()
    for name in {"a", *words} & {"a", "short", "heads", "card", "lost"}:
        shutil.copytree(trained, name)
    Path("demo/simclr").mkdir(parents=True)
    Path("demo/demo.json").write_text("{}")
    Path("demo/simclr/config.json").write_text("{}")
    if words == ["short"]:
        halve(Path("short/encoder.safetensors"))
    if words == ["heads"]:
        halve(Path("heads/heads.safetensors"))
    if words == ["card"]:
        halve(Path("card/encoder.json"))
    if words == ["lost"]:
        Path("lost/heads.safetensors").unlink()
    told = masquerade("evaluate", *words)
    assert (told.code, told.out) == (code, ""), told
    assert text in told.err
    assert "Traceback" not in told.err


def halve(place: Path) -> None:
    """Leave the first half of a file, as a full disk or a cut copy does."""
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])


def test_grey_images_are_measured_by_an_encoder_of_grey_images(
    masquerade: Masquerade, here: Path
) -> None:
    photographs(here / "photos")
    backbone, *_ = [w for w in TINY if w.startswith("backbone")]
    words = ["data=photos", "data.channels=grey", backbone, "epochs=1", "out=a"]
    assert masquerade("pretrain", "simclr", *words).code == 0
    told = masquerade("evaluate", "a", "knn")
    assert told.code == 0 and "test top-1" in told.out
    labels = masquerade("predict", "a", "photos")  # read as grey without being told
    assert labels.code == 0 and len(labels.out.splitlines()) == 41
