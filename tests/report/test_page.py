import html
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from tests.report.pages import Page, read

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.report import page
from masquerade.report.read import story

WriteRun = Callable[..., RunDir]


def test_a_page_is_well_formed_and_holds_the_numbers_of_its_run(write_run: WriteRun) -> None:
    path = page.write(write_run())
    found = read(path)
    assert path.name == "report.html"
    assert path.stat().st_size < 4_000_000
    assert "trained without labels on 4,000 images for 9 min of CPU time" in found.text
    assert "9.1 points better than the same network untrained" in found.text
    for number in ("41.2 %", "50.3 %", "36.2 %", "23.3 %", "0.45", "0.40"):
        assert number in found.text
    assert "rendered objects on real photo tiles" in found.text
    assert "Mask 3 hides nothing since step 105 (1.0% of the image)" in found.text
    assert "(ARI, where 1 is perfect and 0 chance) 0.31; the square reaches 0.13" in found.text
    assert "overlap" in found.text  # a setting


def test_a_page_loads_nothing(write_run: WriteRun) -> None:
    text = page.write(write_run()).read_text(encoding="utf-8")
    for _, attrs in Page(text).tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/", "#")), value
    assert not re.search(r"https?://|@import|url\(", text)


def test_every_picture_has_words_and_every_table_a_caption(write_run: WriteRun) -> None:
    text = page.write(write_run()).read_text(encoding="utf-8")
    found = Page(text)
    assert len(found.named("img")) > 40
    assert all(attrs["alt"] for attrs in found.named("img"))
    for attrs in found.named("svg"):
        role = attrs.get("role")
        assert role != "img" or attrs["aria-label"]
    assert len(found.named("table")) == len(found.named("caption"))
    headings = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_names_are_text_and_never_markup(write_run: WriteRun) -> None:
    evil = '<script>alert("x")</script>'
    run = write_run(title=evil, classes=(evil, "'\"><img src=x onerror=y>"), note=evil)
    text = page.write(run).read_text(encoding="utf-8")
    found = Page(text)
    assert len(found.named("script")) == 1
    assert not any("onerror" in attrs for _, attrs in found.tags)
    assert evil not in text
    assert html.escape(evil, quote=False)[:14] in text


def test_a_folder_with_settings_alone_gives_a_page(tmp_path: Path, write_run: WriteRun) -> None:
    run = RunDir(tmp_path / "bare")
    run.write_json("config.json", write_run().read_json("config.json"))
    found = read(page.write(run))
    assert "Training is not finished" in found.text
    assert "masquerade evaluate" in found.text
    assert "rendered objects on real photo tiles" in found.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"config\.json"):
        page.write(RunDir(tmp_path))


def test_a_run_that_is_not_finished_says_how_far_it_is(write_run: WriteRun) -> None:
    found = read(page.write(write_run(finished=False)))
    assert "89 steps are logged" in found.text
    assert "not measured yet" in found.text.lower()


def test_a_run_that_is_not_finished_says_of_how_many_steps(write_run: WriteRun) -> None:
    run = write_run(finished=False)
    run.write_text("metrics.jsonl", '{"step": 0, "steps": 4000, "epoch": 0, "cpu_seconds": 1}\n')
    assert "1 of 4,000 steps are logged" in read(page.write(run)).text


def test_without_labels_there_is_a_map_and_a_sentence(write_run: WriteRun) -> None:
    found = read(page.write(write_run(labels=False)))
    assert "not measured yet" in found.text
    assert "How it sorts the images" in found.text
    assert "Right answers while training" not in found.text


def test_without_maskers_nothing_is_said_of_masks(write_run: WriteRun) -> None:
    found = read(page.write(write_run("simclr", maskers=0)))
    assert "nothing is hidden" in found.text
    assert "What was hidden" not in found.text
    assert "Size of each mask" not in found.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("masks/step_0000010.npz", b"PK\x03\x04 cut"),
        ("eval/embedding.npz", b""),
        ("eval/linear.json", b"{"),
        ("summary.json", b"[1]"),
        ("encoder.json", b"\xff"),
        ("metrics.jsonl", b"\xff\xfe"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_file_costs_a_sentence(write_run: WriteRun, name: str, content: bytes) -> None:
    run = write_run()
    run.write(name, lambda out: out.write(content))
    found = read(page.write(run))
    assert f"{name} cannot be read and is left out." in found.text


def test_arrays_that_do_not_fit_cost_a_sentence(write_run: WriteRun) -> None:
    run = write_run()
    arrays = dict(np.load(run.path / "eval/embedding.npz"))
    arrays["neighbours"] = arrays["neighbours"] + 1000
    run.write("eval/embedding.npz", lambda out: np.savez(out, **arrays))
    run.write("masks/step_0000010.npz", lambda out: np.savez(out, images=np.zeros((2, 4, 4, 3))))
    found = read(page.write(run))
    assert "do not fit together" in found.text
    assert "holds no images with masks" in found.text


def test_grey_and_large_pictures_are_shown(write_run: WriteRun) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("grey", (12, 28, 28, 1)), ("large", (12, 160, 120, 3))):
        pictures = rng.integers(0, 255, shape, dtype=np.uint8)
        path = page.write(write_run(name, pictures=pictures))
        assert "How it sorts the images" in read(path).text
        assert path.stat().st_size < 2_000_000


def test_runs_of_a_page_that_differ_only_in_their_seed_are_one_row(write_run: WriteRun) -> None:
    runs = [write_run("a", title="sequential"), write_run("b", title="sequential", seed=1)]
    filled = page.content(story(runs[0]), [story(runs[1])])
    assert filled["results"].rows[0].note == "2 seeds"
    assert len(filled["charts"][0].lines) == 2


def test_a_healthy_run_is_told_so_and_one_that_goes_on_is_judged_so_far(
    write_run: WriteRun,
) -> None:
    found = read(page.write(write_run(dead=None)))
    assert "The masks are healthy: each of the 4 masks hides" in found.text
    assert "How much harder each mask makes it" in found.text
    summary = RunDir(write_run("b", finished=False).path)
    assert "masks" in read(page.write(summary)).text


def demo(write_run: WriteRun, tmp_path: Path, main: str) -> RunDir:
    write_run("demo/sequential", title="sequential")
    write_run("demo/simclr", title="simclr", maskers=0)
    rows = [
        {"name": "pixels", "knn_test": 0.23, "linear_test": 0.25},
        {"name": "untrained", "steps": 0, "knn_test": 0.2, "linear_test": 0.32},
        {"name": "simclr", "steps": 300, "cpu_seconds": 210.0, "linear_test": 0.38},
        {"name": "sequential", "steps": 300, "cpu_seconds": 512.0, "linear_test": 0.412},
    ]
    folder = RunDir(tmp_path / "demo")
    content = {"table": {"columns": list(rows[3]), "rows": rows}, "main": main, "notes": ["a note"]}
    folder.write_json("demo.json", content)
    return folder


def test_a_demo_shows_its_table_and_its_main_run(write_run: WriteRun, tmp_path: Path) -> None:
    found = read(page.write_demo(demo(write_run, tmp_path, "sequential")))
    for text in ("Raw pixels", "38.0 %", "9 min", "210 s", "a note", "What was hidden"):
        assert text.replace("210 s", "4 min") in found.text
    assert "Compared with simclr" in found.text


def test_a_demo_without_its_main_run_is_refused(write_run: WriteRun, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="simclr"):
        page.write_demo(demo(write_run, tmp_path, "nothing"))


def test_a_demo_measures_its_baselines_once(write_run: WriteRun, tmp_path: Path) -> None:
    folder = demo(write_run, tmp_path, "sequential")
    alone = {"trained": {"test/top1": 0.395, "seen/top1": 0.49}}
    write_run("demo/sequential", title="sequential", scores=alone)
    found = read(page.write_demo(folder))
    assert "7.4 points better than the same network untrained" in found.text
    assert "simclr (Linear, test): no clear difference, 39.5 % against 41.2 %" in found.text


def test_class_names_are_those_of_the_fitted_heads(write_run: WriteRun) -> None:
    run = write_run()
    run.write_json("eval/embedding.json", {"notes": ["a map of some images"]})
    names = json.dumps([f"kind {k} & co" for k in range(10)])
    head = save({"weight": np.zeros(1)}, {"classes": names})
    run.write("eval/linear.safetensors", lambda out: out.write(head))
    run.write("eval/knn.safetensors", lambda out: out.write(b"broken"))
    found = read(page.write(run))
    assert "kind 3 & co" in found.text
    assert "a map of some images" in found.text


def test_why_nothing_could_be_measured_is_said(write_run: WriteRun) -> None:
    run = write_run(labels=False)
    for protocol in ("knn", "linear"):
        run.write_json(
            f"eval/{protocol}.json", {"rows": {}, "notes": ["these images have no labels"]}
        )
    found = read(page.write(run))
    assert "could not be measured. these images have no labels" in found.text
    assert "Not measured yet" not in found.text


def test_files_of_another_shape_do_not_stop_a_page(write_run: WriteRun) -> None:
    run = write_run()
    summary = run.read_json("summary.json")
    run.write_json("summary.json", summary | {"verdict": "fine", "cpu_seconds": 9})
    run.write_json("eval/masks.json", {"test/iou": "?"})
    run.write_json("eval/knn.json", {"rows": {"trained": 3, "pixels": {"test/top1": "much"}}})
    run.write_json("eval/other.json", [1, 2])
    found = read(page.write(run))
    assert "eval/other.json cannot be read" in found.text
    assert "41.2 %" in found.text


def test_the_settings_stand_on_the_page_as_they_are_stored(write_run: WriteRun) -> None:
    run = write_run()
    text = html.unescape(page.write(run).read_text(encoding="utf-8"))
    assert json.dumps(run.read_json("config.json"), indent=2) in text
