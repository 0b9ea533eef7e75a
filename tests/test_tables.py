"""Tables cell by cell: what is run, kept, said and put beside the paper's numbers."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from tests.jobs.small import MASKED, PLAIN

from masquerade import tables
from masquerade.core.errors import CannotResume, Interrupted, MissingData
from masquerade.data.sources import stl10, toybox
from masquerade.evaluate import knn, linear
from masquerade.jobs import pretrain as training
from masquerade.recipes.base import Cell, Published, Table
from masquerade.report import paper_table

HOW = {"linear": linear.Config(), "knn": knn.Config(k=5)}
FEW = toybox.Config(per_class=4, per_class_test=4, pixels=32)
SHORT = PLAIN.replace(epochs=1, data=FEW)
TWO = Table(
    "Two methods",
    "A paper, 2022",
    (
        Cell("plain", "toys", SHORT, HOW, published=Published(50, 1), paper_column="photos"),
        Cell(
            "masked",
            "toys",
            MASKED.replace(epochs=1, data=FEW),
            HOW,
            published=Published(53.5, 0.25),
        ),
    ),
    ("Not the same images.",),
)


def wanted(**changes: Any) -> tables.Wanted:
    return tables.Wanted("paper.two", "smoke", **{"seeds": 2, **changes})


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "table", lambda name, scale: TWO)


def silent(text: str) -> None:
    pass


@pytest.mark.usefixtures("two")
def test_a_cut_table_goes_on_and_no_finished_run_is_touched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after = 3
    trained: list[str] = []
    real = training.run

    def run(config: Any, path: Path, say: Any) -> Any:
        if len(trained) == stop_after:
            raise Interrupted("stopped", 2)
        trained.append("/".join(Path(path).parts[-2:]))
        return real(config, path, say, quiet=True)

    monkeypatch.setattr(training, "run", run)
    with pytest.raises(Interrupted):
        tables.run(wanted(), tmp_path / "t", silent)
    # a whole table of one seed before the second seed
    assert trained == ["plain-toys/seed-0", "masked-toys/seed-0", "plain-toys/seed-1"]
    content = json.loads((tmp_path / "t" / "table.json").read_text())
    assert [len(c["runs"]) for c in content["cells"]] == [2, 1]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "t").glob("*/*/e*/*")}
    assert len(before) >= 6
    stop_after = 99
    tables.run(wanted(), tmp_path / "t", silent)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    content = json.loads((tmp_path / "t" / "table.json").read_text())
    assert [len(c["runs"]) for c in content["cells"]] == [2, 2]


@pytest.mark.usefixtures("two")
def test_a_table_has_mean_spread_and_paired_gains_of_all_runs(tmp_path: Path) -> None:
    folder = tables.run(wanted(), tmp_path / "t", silent)
    content = folder.read_json("table.json")
    shares = {}
    for row in ("plain", "masked"):
        runs = [folder.path / f"{row}-toys" / f"seed-{k}" for k in (0, 1)]
        found = [json.loads((r / "eval" / "linear.json").read_text()) for r in runs]
        shares[row] = [100 * f["rows"]["trained"]["test/top1"] for f in found]
        assert json.loads((runs[1] / "config.json").read_text())["seed"] == 1
    plain, masked = content["cells"]
    ours = masked["ours"]["linear"]
    assert ours["mean"] == mean(shares["masked"]) and ours["sd"] == stdev(shares["masked"])
    assert (ours["low"], ours["high"]) == (min(shares["masked"]), max(shares["masked"]))
    assert plain["ours"]["knn"]["values"].keys() == {"seed-0", "seed-1"}
    (gain,) = content["gains"]
    assert gain["published"] == 3.5
    differences = [m - p for m, p in zip(shares["masked"], shares["plain"], strict=True)]
    assert gain["ours"]["mean"] == pytest.approx(mean(differences))
    assert gain["ours"]["sd"] == pytest.approx(stdev(differences))
    grid = paper_table.grid(content)
    assert grid.heads == ["", "toys, paper", "toys, ours", "toys, kNN"]
    assert grid.rows[0][:2] == ["plain", "50.00 ± 1.00"]
    assert grid.rows[1][2] == f"{mean(shares['masked']):.2f} ± {stdev(shares['masked']):.2f}"
    text = (folder.path / "table.md").read_text()
    assert "| masked | 53.50 ± 0.25 |" in text and "Not the same images." in text
    assert "masked against plain +3.50 in the paper, " in text
    page = (folder.path / "table.html").read_text()
    assert "53.50 ± 0.25" in page and "src=" not in page and "plain-toys/seed-1" in page


@pytest.mark.usefixtures("two")
def test_more_seeds_are_added_and_another_protocol_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "t"
    tables.run(wanted(seeds=1, only="plain"), out, silent)
    content = json.loads((out / "table.json").read_text())
    assert content["cells"][0]["ours"]["linear"]["sd"] is None
    assert "(1 seed)" in paper_table.grid(content).rows[0][2]
    assert content["cells"][1]["ours"]["linear"] is None
    old = (out / "plain-toys" / "seed-0" / "eval" / "linear.json").read_bytes()
    changed = TWO.cells[0]._replace(protocols={**HOW, "knn": knn.Config(k=3)})
    monkeypatch.setattr(tables, "table", lambda name, scale: TWO._replace(cells=(changed,)))
    tables.run(wanted(seeds=2), out, silent)
    run = out / "plain-toys" / "seed-0" / "eval"
    assert json.loads((run / "knn.json").read_text())["protocol"]["k"] == 3
    assert (run / "linear.json").read_bytes() == old
    content = json.loads((out / "table.json").read_text())
    assert len(content["cells"][0]["ours"]["linear"]["values"]) == 2


def test_cells_without_their_images_are_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = SHORT.replace(data=stl10.Config(root="/nowhere"))
    cells = (TWO.cells[0], Cell("plain", "STL-10", lost, HOW))
    monkeypatch.setattr(tables, "table", lambda name, scale: TWO._replace(cells=cells))
    said: list[str] = []
    folder = tables.run(wanted(seeds=2), tmp_path / "t", said.append)
    assert sum("left out: no train_X.bin" in s or "left out: no " in s for s in said) == 1
    text = (folder.path / "table.md").read_text()
    assert "plain, STL-10 was left out: no " in text and "data.root=FOLDER" in text
    monkeypatch.setattr(tables, "table", lambda name, scale: TWO._replace(cells=cells[1:]))
    with pytest.raises(MissingData, match=r"stl10_binary\.tar\.gz"):
        tables.run(wanted(seeds=2), tmp_path / "u", silent)


@pytest.mark.usefixtures("two")
def test_a_folder_of_another_table_or_with_other_settings_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "t"
    tables.run(wanted(seeds=1, only="plain", settings=("epochs=1",)), out, silent)
    with pytest.raises(CannotResume, match=r"settings \['epochs=1'\], now \[\]"):
        tables.run(wanted(seeds=1), out, silent)
    with pytest.raises(CannotResume, match=r"holds a table with name 'paper\.two'"):
        tables.run(tables.Wanted("paper.other", "smoke"), out, silent)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(CannotResume, match="is not empty and holds no table"):
        tables.run(wanted(), tmp_path / "photos", silent)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"only": "none such"}, "no row or column of paper.two holds 'none such'. Rows: plain"),
        ({"seeds": 0}, "seeds must be 1 or more"),
        ({"settings": ("epoch=1",)}, "Did you mean 'epochs'"),
        ({"settings": ("maskers.0.masks=2",)}, "no entry '0'"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        tables.run(wanted(**changes), tmp_path / "t", silent)
    assert not (tmp_path / "t").exists()
