"""The verbs that look and change nothing that matters: doctor, cache, list, report, export."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.command import TINY, Masquerade, photographs
from tests.data.hostile import EXPECTED, write

from masquerade.cli import show

BACKBONE = next(w for w in TINY if w.startswith("backbone"))


def test_doctor_is_content_with_a_sound_folder(masquerade: Masquerade, here: Path) -> None:
    photographs(here / "my photos")
    told = masquerade("doctor", "my photos")
    assert told.code == 0
    first, *_, last = told.out.splitlines()
    assert first == "my photos: 40 of 40 images can be used"
    command = "masquerade pretrain sequential data='my photos'"
    assert last == f"Every image can be used: {command}"
    assert "10 classes" in told.out


def test_doctor_groups_files_by_what_pretrain_will_do(masquerade: Masquerade, here: Path) -> None:
    write(here / "bad")
    told = masquerade("doctor", "bad")
    assert told.code == 1
    skip, use, ignore = (
        told.out.index(h) for h in ("skipped by pretraining", "used, but look", "ignored, not")
    )
    place = {"skip": (skip, use), "use": (use, ignore), "ignore": (ignore, len(told.out))}
    for name, (problem, action) in EXPECTED.items():
        start, end = place[action]
        rows = [row for row in told.out[start:end].splitlines() if f"  {name} " in row]
        assert any(problem in row for row in rows), name
    assert told.out.splitlines()[-1].startswith("Repair or remove 15 files, or train without: ")
    assert f"{skipped_of(told.out)} truncated" in told.out


def skipped_of(text: str) -> int:
    """How many rows under the first heading are truncated files."""
    part = text[text.index("skipped by") : text.index("used, but")]
    return sum(" truncated " in row for row in part.splitlines()[1:])


def test_doctor_for_machines_holds_every_finding(masquerade: Masquerade, here: Path) -> None:
    write(here / "bad")
    told = masquerade("doctor", "bad", "--json")
    assert told.code == 1
    found = {(f["file"], f["problem"], f["action"]) for f in told.json["findings"]}
    assert {(name, *fate) for name, fate in EXPECTED.items()} <= found


def test_doctor_names_as_many_files_as_asked(masquerade: Masquerade, here: Path) -> None:
    write(here / "bad")
    told = masquerade("doctor", "bad", "most=2")
    assert "  and 13 more (most=0 names all)" in told.out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "name a folder"),
        (["nowhere"], 2, "there is nothing at nowhere"),
        (["empty"], 1, "There is no image here"),
        (["texts"], 1, "There is no image here"),
        (["texts/a.png"], 1, "Not one image can be used"),
        (["empty", "texts"], 2, "'texts' is one name too many"),
        (["empty", "channels=blue"], 2, "channels is one of rgb, grey, keep, got 'blue'"),
        (["empty", "chanels=rgb"], 2, "Did you mean channels=?"),
    ],
)
def test_doctor_has_an_answer_to_everything(
    masquerade: Masquerade, here: Path, words: list[str], code: int, text: str
) -> None:
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/notes.txt").write_text("hello")
    if words == ["texts/a.png"]:
        Path("texts/a.png").write_text("no image")
    told = masquerade("doctor", *words)
    assert told.code == code
    assert text in told.out + told.err


def test_pretraining_goes_on_with_the_good_ones_unless_strict(
    masquerade: Masquerade, here: Path
) -> None:
    write(here / "bad")
    words = ["pretrain", "simclr", "data=bad", BACKBONE, "epochs=1", "runtime.threads=1"]
    strict = masquerade(*words, "data.strict=true", "out=strict")
    assert strict.code == 1
    skipped = [name for name, (_, action) in EXPECTED.items() if action == "skip"]
    assert all(name in strict.err for name in skipped)
    assert not Path("strict/config.json").exists()
    told = masquerade(*words, "out=a")
    assert told.code == 0
    assert f"{len(skipped)} of " in told.err and "are skipped" in told.err
    assert "batch=16, because bad has only 29 images" in told.err
    assert len(Path("a/digests.txt").read_text().split()) == 29
    assert "are skipped" in " ".join(json.loads(Path("a/summary.json").read_text())["notes"])


def test_the_cache_says_what_it_holds_and_is_cleared(
    masquerade: Masquerade, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASQUERADE_CACHE", str(here / "kept"))
    assert masquerade("cache").out == f"0 MB in 0 sets under {here / 'kept'}\n"
    photographs(here / "photos")
    words = ["pretrain", "simclr", "data=photos", BACKBONE, "dry_run=true"]
    assert masquerade(*words).code == 0
    told = masquerade("cache")
    assert told.out.startswith("photos\t") or "\nphotos\t" in told.out
    assert "next: masquerade cache clear" in told.err
    names = [entry["name"] for entry in masquerade("cache", "--json").json["entries"]]
    assert "photos" in names
    assert masquerade("cache", "clear", "--json").json["freed_bytes"] > 0
    assert masquerade("cache", "--json").json["entries"] == []
    assert masquerade("cache", "clean").code == 2


def test_list_is_one_line_each_for_grep(masquerade: Masquerade, here: Path) -> None:
    told = masquerade("list")
    assert told.code == 0
    rows = [line.split("\t") for line in told.out.splitlines()]
    assert all(len(row) == 3 and all(row) for row in rows)
    assert ["maskers", "erase"] in [row[:2] for row in rows]
    assert {row[0] for row in rows} == {
        *("recipes", "tables", "sources", "maskers", "objectives", "optimizers", "protocols"),
        *("rules", "learners", "networks", "searches", "strategies", "problems", "attacks"),
    }
    assert not any(row[2].lower().startswith(f"{row[1]}:") for row in rows)


def test_list_fits_a_terminal_of_80_columns(
    masquerade: Masquerade, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(show, "results", Console(file=out, force_terminal=True, width=80))
    assert masquerade("list").code == 0
    plain = Console(file=io.StringIO(), width=80)
    plain.print(out.getvalue(), markup=False)
    assert max(len(line) for line in out.getvalue().splitlines() if "\x1b" not in line) <= 80


def test_list_takes_families_and_refuses_other_words(masquerade: Masquerade, here: Path) -> None:
    assert set(masquerade("list", "maskers", "--json").json) == {"maskers"}
    told = masquerade("list", "masker")
    assert told.code == 2 and "Did you mean 'maskers'?" in told.err
    assert masquerade("list", "maskers", "no.such.module").code == 2
    assert masquerade("list", "maskers=erase").code == 2


def test_report_and_export_say_where_they_wrote(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a")
    assert masquerade("report", "a") == (0, "a/report.html\n", "")
    assert masquerade("report", "a", "--json").json == {"report": "a/report.html"}
    told = masquerade("export", "timm", "a", "out=b=c")
    assert (told.code, told.out) == (0, "b=c\n")
    assert sorted(p.name for p in Path("b=c").iterdir()) == [
        *("README.md", "config.json", "model.safetensors")
    ]
    Path("file").write_text("")
    assert masquerade("export", "timm", "a", "out=file").code == 2
    assert masquerade("export", "timm", "nowhere").code == 2
    assert masquerade("report", "a", "nowhere").code == 2
    assert masquerade("report").code == 2
