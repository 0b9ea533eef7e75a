"""Tables that measure one run in several ways: their cells, their numbers, and how they are run."""

from pathlib import Path

import pytest
from tests.jobs.small import PLAIN

from masquerade import tables
from masquerade.core.rundir import RunDir
from masquerade.data.sources import toybox
from masquerade.evaluate import linear, semi
from masquerade.jobs import pretrain as training
from masquerade.recipes.base import SCALES, Cell, Table, table

FEW = toybox.Config(per_class=4, per_class_test=4, pixels=32)
OTHER = FEW.replace(preset="stickers10")
SHORT = PLAIN.replace(epochs=1, data=FEW)
ONE_RUN = Table(
    "One encoder, three numbers",
    "A paper, 2022",
    (
        Cell("plain", "own", SHORT, {"linear": linear.Config()}, trained="toys"),
        Cell(
            "plain", "own, top-5", SHORT, {"linear": linear.Config()}, trained="toys", metric="top5"
        ),
        Cell(
            "plain", "other", SHORT, {"linear-other": linear.Config()}, trained="toys", data=OTHER
        ),
    ),
)


def test_columns_that_share_a_run_train_it_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "table", lambda name, scale: ONE_RUN)
    real, places = training.run, []

    def run(config, path, say):
        places.append(Path(path).name)
        return real(config, path, say, quiet=True)

    monkeypatch.setattr(training, "run", run)
    wanted = tables.Wanted("paper.one", "smoke", seeds=1)
    folder = tables.run(wanted, tmp_path, lambda text: None)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["plain-toys"]
    content = folder.read_json("table.json")
    found = RunDir(tmp_path / "plain-toys" / "seed-0").results("eval")
    own, other = (found[n]["rows"]["trained"] for n in ("linear", "linear-other"))
    ours = [next(iter(cell["ours"].values()))["mean"] for cell in content["cells"]]
    expected = [own["test/top1"], own["test/top5"], other["test/top1"]]
    assert ours == [pytest.approx(100 * value) for value in expected]
    assert found["linear-other"]["data"] == "toybox stickers10 train"
    assert found["linear-other"]["notes"][0].startswith("transfer: the encoder was trained on")


def test_few_labels_and_detection_have_mixmask_s_numbers() -> None:
    six, seven = (table(f"mixmask_transfer.table{n}", "paper") for n in (6, 7))
    assert len(six.cells) == 3 * 4
    assert len(seven.cells) == 3 * 15
    star = {c.column: c.published.mean for c in six.cells if "*" in c.row and c.published}
    assert star == {
        "1 %, top-1": 36.59,
        "1 %, top-5": 62.94,
        "10 %, top-1": 63.93,
        "10 %, top-5": 86.25,
    }
    boxes = {(c.row, c.column): c.published.mean for c in seven.cells if c.published}
    assert boxes["Un-Mix", "COCO, box AP"] == 36.25
    assert boxes["MixMask", "COCO, mask AP75"] == 34.06
    assert boxes["MixMask* (with Un-Mix)", "VOC, box AP50"] == 83.22
    ratios = {
        c.column[:4]: p.ratio
        for c in six.cells
        for p in c.protocols.values()
        if isinstance(p, semi.Config)
    }
    assert ratios == {"1 %,": 0.01, "10 %": 0.1}


@pytest.mark.parametrize("name", ["mixmask_transfer.table6", "mixmask_transfer.table7"])
def test_a_row_is_one_run_at_every_scale(name: str) -> None:
    for scale in SCALES:
        cells = table(name, scale).cells
        assert len({(tables.slug(c), c.metric, *c.protocols) for c in cells}) == len(cells)
        for row in {c.row for c in cells}:
            mine = [c for c in cells if c.row == row]
            assert len({tables.slug(c) for c in mine}) == 1
            assert all(c.settings == mine[0].settings for c in mine)
