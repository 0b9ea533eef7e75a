"""Figures that are no top-1: on a run's page, and of runs side by side."""

from typing import Any

import pytest
from tests.report.conftest import WriteRun
from tests.report.pages import read

from masquerade.core.rundir import RunDir
from masquerade.report import page, tasks
from masquerade.report.read import story

OTHER: dict[str, dict[str, dict[str, float]]] = {
    "segment": {
        "trained": {"test/miou": 0.312, "test/pixels": 0.801},
        "untrained": {"test/miou": 0.207, "test/pixels": 0.802},
    },
    "detect": {
        "trained": {"val/ap": 0.1, "val/ap50": 0.25, "val/ap75": 0.05, "val/mask_ap": 0.08},
        "untrained": {"val/ap": 0.02, "val/ap50": 0.06, "val/ap75": 0.01, "val/mask_ap": 0.03},
    },
    "retrieval": {"trained": {"test/map": 0.44, "test/recall1": 0.7, "test/recall5": 0.9}},
    "clustering": {"pixels": {"test/nmi": 0.11, "test/ari": -0.012, "test/acc": 0.2}},
    "backgrounds": {
        "trained": {"mixed_same/top1": 0.9, "bg/gap": 0.06},
        "untrained": {"mixed_same/top1": 0.5, "bg/gap": 0.09},
    },
}


def add(run: RunDir, results: dict[str, Any]) -> RunDir:
    for name, rows in results.items():
        run.write_json(f"eval/{name}.json", {"rows": rows, "notes": []})
    return run


def test_every_figure_stands_on_a_line_with_the_best_marked(write_run: WriteRun) -> None:
    table = tasks.results([[story(add(write_run(), OTHER))]])
    assert table is not None
    assert table.heads == ["sequential", "Same network, untrained", "Raw pixels, no network"]
    dash = "\N{EN DASH}"
    lines = {r.name: [(c.text.replace("\xa0", " "), c.best) for c in r.cells] for r in table.rows}
    assert lines == {
        "Segmentation, test: mIoU": [("31.2 %", True), ("20.7 %", False), (dash, False)],
        "Segmentation, test: pixel accuracy": [("80.1 %", False), ("80.2 %", True), (dash, False)],
        "Detection, val: AP": [("10.0 %", True), ("2.0 %", False), (dash, False)],
        "Detection, val: AP50": [("25.0 %", True), ("6.0 %", False), (dash, False)],
        "Detection, val: AP75": [("5.0 %", True), ("1.0 %", False), (dash, False)],
        "Detection, val: mask AP": [("8.0 %", True), ("3.0 %", False), (dash, False)],
        "Retrieval, test: mAP": [("44.0 %", False), (dash, False), (dash, False)],
        "Retrieval, test: recall at 1": [("70.0 %", False), (dash, False), (dash, False)],
        "Clustering, test: NMI": [(dash, False), (dash, False), ("11.0 %", False)],
        "Clustering, test: ARI": [(dash, False), (dash, False), ("-1.2 %", False)],
        "Clustering, test: accuracy": [(dash, False), (dash, False), ("20.0 %", False)],
        "Backgrounds, bg: gap": [
            ("6.0 %", True),
            ("9.0 %", False),
            (dash, False),
        ],  # less is better
    }
    assert [r.note for r in table.rows if r.note] == ["lower is better"]


def test_the_page_shows_them_below_the_accuracies(write_run: WriteRun) -> None:
    text = read(page.write(add(write_run(), OTHER))).text
    assert "Backgrounds, mixed_same" in text  # among the accuracies
    assert text.index("Share of images named right") < text.index("What other tasks measure")
    assert "Segmentation, test: mIoU 31.2 % 20.7 %" in text


def test_a_run_of_which_only_segmentation_is_known_opens_with_it(write_run: WriteRun) -> None:
    text = read(page.write(add(write_run(scores=None), {"segment": OTHER["segment"]}))).text
    assert "Segmentation, test: mIoU 31.2 %; the same network untrained: 20.7 %." in text
    assert "There are no numbers" not in text and "Not measured yet" not in text
    assert "Share of images named right" not in text


def test_seeds_are_averaged_and_their_spread_is_said(write_run: WriteRun) -> None:
    runs = [add(write_run(f"s{k}", seed=k, title="same"), {}) for k in range(2)]
    for run, miou in zip(runs, (0.3, 0.4), strict=True):
        add(run, {"segment": {"trained": {"test/miou": miou}}})
    table = tasks.results([[story(run) for run in runs]])
    assert table is not None
    ((cell,),) = [row.cells for row in table.rows]
    assert (cell.text, cell.note) == ("35.0\xa0%", "± 7.1")  # sqrt(2 * 0.05^2)
    assert "seed" in table.note


def test_runs_side_by_side_are_compared_by_them(write_run: WriteRun) -> None:
    runs = [write_run(name, scores=None, epochs=k) for k, name in enumerate(("a", "b"), 1)]
    for run, gap in zip(runs, (0.06, 0.09), strict=True):
        add(run, {"backgrounds": {"trained": {"bg/gap": gap}, "untrained": {"bg/gap": 0.2}}})
    path = page.write(runs[0], [runs[1]])
    text = read(path).text
    assert "Backgrounds, bg: gap" in text and "20.0 %" in text
    assert "nothing to compare yet" not in text
    raw = path.read_text(encoding="utf-8").replace("\xa0", " ")
    assert "<b>6.0 %</b>" in raw and "<b>9.0 %</b>" not in raw


@pytest.mark.parametrize("broken", [3, {"test/miou": "much"}, {}])
def test_a_broken_row_is_left_out(write_run: WriteRun, broken: object) -> None:
    run = add(write_run(scores=None), {"segment": {"trained": broken}})
    assert tasks.results([[story(run)]]) is None
