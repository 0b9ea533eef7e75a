"""Doctor: every kind of bad file, named, with its reason and what pretraining does with it."""

import warnings
from pathlib import Path

import pytest
from tests.data import standard
from tests.data.hostile import EXPECTED, write

from masquerade.core.errors import BadImages, MissingData
from masquerade.data.doctor import Report, examine
from masquerade.data.sources import folder


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "photos"
    write(root)
    return root


@pytest.fixture(scope="module")
def report(bad: Path) -> Report:
    return examine(bad)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_bad_file_is_named_with_its_problem_and_its_fate(report: Report, name: str) -> None:
    found = {(f.problem, f.action) for f in report.findings if f.file == name}
    assert EXPECTED[name] in found


def test_sound_files_are_not_spoken_of(report: Report) -> None:
    named = {f.file for f in report.findings}
    assert not named & {f"good_{i}.jpg" for i in range(1, 8)}


def test_pretraining_skips_exactly_what_doctor_says(bad: Path, report: Report) -> None:
    images = folder.Config(path=str(bad)).load("all", 32)
    assert len(images) == report.usable
    skipped = {f.file for f in report.skipped}
    assert not skipped & set(images.files)
    (note,) = images.notes
    assert f"{len(skipped)} of " in note
    assert any(name in note for name in skipped)


def test_strict_refuses_and_names_every_file(bad: Path, report: Report) -> None:
    with pytest.raises(BadImages) as raised:
        folder.Config(path=str(bad), strict=True).load("all", 32)
    for found in report.skipped:
        assert found.file in str(raised.value)


def test_no_warning_leaks(bad: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examine(bad, "grey")
        examine(bad, "keep")


def test_keep_reads_what_rgb_cannot(bad: Path) -> None:
    kept = {f.file for f in examine(bad, "keep").findings if f.problem == "not an image"}
    assert "five_channels.tif" not in kept


def test_lines_say_everything_in_text_that_can_be_printed(report: Report) -> None:
    text = "\n".join(report.lines())
    text.encode("utf-8")
    assert all(name in text for name in EXPECTED)
    assert f"{report.usable} of {report.files} images can be used" in text


def test_a_single_file_and_a_list_can_be_examined(bad: Path, tmp_path: Path) -> None:
    assert examine(bad / "empty.jpg").usable == 0
    listed = tmp_path / "some.txt"
    listed.write_text(f"{bad / 'good_1.jpg'}\n{bad / 'gone.jpg'}\n")
    report = examine(listed)
    assert (report.files, report.usable) == (2, 1)
    assert report.skipped[0].reason == "cannot be read: No such file or directory"


def test_nothing_there_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="nothing at"):
        examine(tmp_path / "gone")


def test_a_folder_without_any_image_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    report = examine(tmp_path)
    assert report.files == 0 and report.findings[0].action == "ignore"
    with pytest.raises(MissingData, match="no image below"):
        folder.Config(path=str(tmp_path)).splits()


def test_images_in_shards_are_judged_where_they_lie(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path / "set", (3, 2))
    file = tmp_path / "set" / "photos-000001.tar"
    data = bytearray(file.read_bytes())
    start = data.index(b"\xff\xd8\xff")
    data[start : start + 4] = b"oops"
    file.write_bytes(bytes(data))
    for place, images in ((tmp_path / "set", 5), (file, 2)):
        report = examine(place)
        assert (report.files, report.usable) == (images, images - 1)
        assert [f.file for f in report.skipped] == ["photos-000001/000003.jpg"]
