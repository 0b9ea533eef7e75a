"""Pages of runs that fill what they hide, or hide by chance: every picture, and whose it is."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.report.conftest import photos, softness, store
from tests.report.pages import Page, read
from tests.report.test_pictures import pixels

from masquerade.core.rundir import RunDir
from masquerade.report import comparison, copies, hiding, page, snapshots
from masquerade.report.headline import method
from masquerade.report.read import story
from masquerade.report.snapshots import Snapshot

WriteRun = Callable[..., RunDir]
STEPS = (10, 75, 150, 300)
SEQUENTIAL = {"kind": "sequential", "masks": 2, "budget": 0.25}
GIVEN = {"kind": "mixmask", "pattern": "given", "given": [SEQUENTIAL]}


class Made(NamedTuple):
    """Copies of one masker: its place, how many, whether they are filled, whether it learns."""

    place: int
    number: int = 1
    fills: bool = True
    learned: bool = False


UNMIX, MIXMASK = Made(0), Made(1)


def arrays(
    images: NDArray[np.uint8], made: Sequence[Made], step: int = 0
) -> dict[str, NDArray[Any]]:
    """What a run stores: a third of each image is hidden, further down at later steps."""
    n, height = images.shape[:2]
    flat = [one for one in made for _ in range(one.number)]
    hidden = np.zeros((n, len(flat), *images.shape[1:3]), np.uint8)
    start = step % (height // 2)
    hidden[:, :, start : start + height // 3] = 255
    partner = np.stack([np.arange(n)[::-1] if one.fills else np.full(n, -1) for one in flat], 1)
    seen = np.stack(
        [
            np.where(
                hidden[:, k, ..., None] > 0, images[partner[:, k]] if one.fills else 90, images
            )
            for k, one in enumerate(flat)
        ],
        1,
    )
    share = 1 - hidden.mean((2, 3)) / 255
    learned = np.array([one.learned for one in flat])
    return {
        "images": images,
        "hidden": softness(images, sum(one.number for one in made if one.learned), 4.0)
        if learned.any()
        else np.zeros((n, 0, *images.shape[1:3]), np.uint8),
        "copy_images": seen.astype(np.uint8),
        "copy_hidden": hidden,
        "copy_partner": partner,
        "copy_share": np.where(partner < 0, 1, share).astype(np.float32),
        "copy_weight": np.ones_like(share, np.float32),
        "copy_masker": np.array([one.place for one in flat]),
        "copy_learned": learned,
    }


@pytest.fixture
def write_filled(write_run: WriteRun) -> WriteRun:
    """Writes the folder of a run with given maskers and the copies that they made."""

    def write(
        name: str, kinds: Sequence[Any], made: Sequence[Made], images: Any = None, **more: Any
    ) -> RunDir:
        learned = sum(one.number for one in made if one.learned)
        run = write_run(name, maskers=learned, dead=None, **more)
        given = [{"kind": k} if isinstance(k, str) else k for k in kinds]
        run.write_json("config.json", run.read_json("config.json") | {"maskers": given})
        images = photos(8) if images is None else images
        for step in STEPS:
            store(run, f"masks/step_{step:07d}.npz", arrays(images, made, step))
        return run

    return write


def alts(found: Page) -> list[str]:
    return [attrs["alt"] or "" for attrs in found.named("img")]


def test_several_maskers_stand_beside_each_other_with_partner_mask_mixture_and_share(
    write_filled: WriteRun,
) -> None:
    run = write_filled("star", ["unmix", "mixmask"], [UNMIX, MIXMASK], labels=False)
    found = read(page.write(run))
    assert "What was hidden, and what filled it" in found.text and hiding.SEVERAL in found.text
    assert "image partner mixture partner mixture" in found.text  # the columns, below the names
    assert "These masks are drawn by chance, anew in every step" in found.text
    assert "The masks are drawn by chance (unmix and mixmask): nobody learned" in found.text
    assert "69 % its own, 31 % its partner's" in found.text  # 10 of 32 rows are hidden
    for name in ("unmix", "mixmask"):
        shown = [w for w in alts(found) if w.startswith(f"{name}, image ")]
        assert sum("mask, white is filled: 31% hidden" in w for w in shown) == 12
        assert sum(w.endswith("mixture, as the encoder sees it") for w in shown) == 12 + 3  # on top
    assert alts(found).count("The partner of image 3") == 4
    assert "One draw: after 10 steps" in found.text and "Another draw: after 300" in found.text
    assert "One image, draw by draw" in found.text
    assert "unmix: partner unmix: mask unmix: mixture" in found.text
    for said in ("IoU", "strongest", "changed", "healthy: each of"):
        assert said not in found.text


def test_the_page_is_well_formed_and_loads_nothing(write_filled: WriteRun) -> None:
    path = page.write(write_filled("star", ["unmix", "mixmask"], [UNMIX, MIXMASK]))
    assert path.stat().st_size < 4_000_000
    text = path.read_text(encoding="utf-8")
    found = Page(text)
    assert all(alts(found))
    assert len(found.named("table")) == len(found.named("caption"))
    assert not re.search(r"https?://|@import|url\(", text)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_picture_is_what_it_says() -> None:
    stored = arrays(photos(4), [UNMIX], 5)
    scene = copies.stage(snapshot(stored), ["unmix"]).scenes[1]
    partner, mixture = scene.slots
    assert (partner.head, partner.lower, mixture.head) == ("partner", None, "mixture")
    for cell, want in (
        (scene.image, stored["images"][1]),
        (partner.upper, stored["images"][2]),
        (mixture.upper, stored["copy_hidden"][1, 0, ..., None].repeat(3, 2)),
        (mixture.lower, stored["copy_images"][1, 0]),
    ):
        assert cell is not None
        assert np.array_equal(pixels(cell), want)


def snapshot(stored: dict[str, NDArray[Any]]) -> Snapshot:
    images = stored["images"]
    return Snapshot(1, images, stored["hidden"], snapshots.copies(stored, images))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.52, "52 % its own, 48 % its partner's"),
        (0.525, "52 % its own, 48 % its partner's"),
        (1.0, "100 % its own, 0 % its partner's"),
        (0.0, "0 % its own, 100 % its partner's"),
    ],
)
def test_the_two_shares_add_up_to_all(share: float, said: str) -> None:
    stored = arrays(photos(2), [UNMIX])
    stored["copy_share"][:] = share
    [slot] = [s for s in copies.stage(snapshot(stored), ["x"]).scenes[0].slots if s.said]
    assert slot.said.replace("\xa0", " ") == said


def test_an_image_that_meets_itself_is_told_so() -> None:
    stored = arrays(photos(2), [UNMIX])
    stored["copy_partner"][0] = 0
    first, second = copies.stage(snapshot(stored), ["x"]).scenes
    assert first.slots[1].said == "filled with itself"
    assert "its partner's" in second.slots[1].said.replace("\xa0", " ")


def test_partners_that_copies_share_stand_once_and_others_beside_each() -> None:
    stored = arrays(photos(4), [Made(0, 3)])
    heads = [slot.head for slot in copies.stage(snapshot(stored), ["x"]).scenes[0].slots]
    assert heads == ["partner", "mixture 1", "mixture 2", "mixture 3"]
    stored["copy_partner"][:, 2] = np.roll(np.arange(4), 1)
    staged = copies.stage(snapshot(stored), ["x"])
    heads = [slot.head for slot in staged.scenes[0].slots]
    assert heads == ["partner", "mixture 1", "mixture 2", "partner", "mixture 3"]
    assert staged.groups == [("x", 5)]
    named = [row.head for row in copies.rows([snapshot(stored)], ["x"])]
    assert named[:3] == ["partner", "mask 1", "mixture 1"]
    assert named[-3:] == ["partner", "mask 3", "mixture 3"]


def test_what_is_erased_by_chance_shows_how_much_is_hidden_and_unequal_weights(
    write_filled: WriteRun,
) -> None:
    run = write_filled("pair", ["erase"], [Made(0, 2, fills=False)])
    stored = arrays(photos(8), [Made(0, 2, fills=False)])
    stored["copy_weight"][:] = (0.25, 0.75)
    store(run, "masks/step_0000300.npz", stored)
    found = read(page.write(run))
    assert "What was hidden For each image, upper row: the mask" in found.text
    assert "image masked 1 masked 2" in found.text
    assert "31 % hidden, weight 0.75 in the loss" in found.text
    assert found.text.count("31 % hidden, weight") == 2 * 7  # six images, and one draw by draw
    assert "partner" not in found.text
    assert hiding.SEEN in found.text


def test_a_learned_masker_that_is_filled_shows_masks_and_mixtures_over_time(
    write_filled: WriteRun,
) -> None:
    found = read(page.write(write_filled("given", [GIVEN], [Made(0, 2, learned=True)])))
    assert "mixmask of sequential" in found.text
    assert "partner mixture 1 mixture 2 strongest" in found.text
    assert "Under “strongest”: which learned mask is that" in found.text
    assert "How the masks of one image changed" in found.text
    rows = found.text.partition("How the masks of one image changed")[2]
    at = [rows.index(w) for w in ("mask 1", "mask 2", "partner", "mixture 1", "mixture 2")]
    assert at == sorted(at)
    assert "by chance" not in found.text
    assert "Early: after 10 steps" in found.text


def test_beside_learned_masks_those_of_chance_are_named(write_filled: WriteRun) -> None:
    made = [Made(0, 2, fills=False, learned=True), Made(1)]
    found = read(page.write(write_filled("both", [SEQUENTIAL, "unmix"], made)))
    said = "The masks of unmix are drawn by chance, anew in every step; those of sequential are"
    assert said in found.text
    assert "nobody learned" not in found.text
    assert "sequential: masked 1" in found.text
    assert "The masks are healthy: each of the 2 masks hides" in found.text


def test_maskers_of_one_name_are_told_apart(write_filled: WriteRun) -> None:
    run = write_filled("twice", ["mixmask", "unmix", "mixmask"], [Made(k) for k in range(3)])
    assert hiding.labels(story(run)) == ["mixmask 1", "unmix", "mixmask 2"]
    assert "mixmask 2: mixture" in read(page.write(run)).text


@pytest.mark.parametrize("shape", [(4, 28, 28, 1), (4, 160, 120, 3)])
def test_grey_and_large_images_are_shown(write_filled: WriteRun, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    path = page.write(write_filled("x", ["mixmask"], [UNMIX], images=images))
    found = read(path)
    assert "its partner's" in found.text
    assert "Then its partner, and the mixture of both" in found.text
    assert path.stat().st_size < 2_000_000


def test_masks_of_chance_that_were_measured_once_are_not_praised(write_run: WriteRun) -> None:
    """A run of an older version: masks without copies, and scores as if they had been learned."""
    run = write_run("old", title="erase", maskers=1)
    assert "IoU" in read(page.write(run)).text
    run.write_json("config.json", run.read_json("config.json") | {"maskers": [{"kind": "erase"}]})
    rows = [{k: v for k, v in r.items() if not k.startswith("masker/")} for r in run.lines()]
    run.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read(page.write(run))
    assert "The masks are drawn by chance (erase)" in found.text
    assert "One draw: after 10 steps" in found.text
    for said in ("IoU", "changed", "the mask hides"):
        assert said not in found.text


@pytest.mark.parametrize(
    "broken",
    [
        {"copy_partner": np.full((8, 2), 8)},
        {"copy_partner": np.full((8, 2), -2)},
        {"copy_share": np.full((8, 2), np.nan)},
        {"copy_images": np.zeros((8, 2, 4, 4, 3), np.uint8)},
        {"copy_hidden": np.zeros((8, 2, 32, 32))},
        {"copy_masker": np.zeros(1)},
        {"copy_weight": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_copies_that_do_not_fit_cost_a_sentence(
    write_filled: WriteRun, broken: dict[str, Any]
) -> None:
    run = write_filled("star", ["unmix", "mixmask"], [UNMIX, MIXMASK])
    stored = arrays(photos(8), [UNMIX, MIXMASK]) | broken
    kept = {k: v for k, v in stored.items() if v is not None}
    store(run, "masks/step_0000010.npz", kept)
    found = read(page.write(run))
    assert "masks/step_0000010.npz: its masked copies do not fit and are left out" in found.text
    assert "One draw: after 75 steps" in found.text


def test_side_by_side_chance_is_named_and_neither_measured_nor_compared_over_seeds(
    write_filled: WriteRun, write_run: WriteRun
) -> None:
    runs = [
        write_filled(f"s{k}", ["unmix", "mixmask"], [UNMIX, MIXMASK], title="star", seed=k)
        for k in (0, 1)
    ]
    runs += [write_run(f"q{k}", title="sequential", seed=k) for k in (0, 1)]
    for run in runs[:2]:
        run.write_json("eval/masks.json", {"slot": 0, "test/iou": 0.9, "test/square": 0.1})
    found = read(comparison.write(runs))
    assert "star seed 0, step 300, drawn by chance" in found.text
    assert "sequential seed 0, step 300 " in found.text
    words = alts(found)
    assert any(w.startswith("star, mask 2 of image 1") for w in words)
    assert not any(w.startswith("star, seed 1: the strongest") for w in words)
    assert any(w.startswith("sequential, seed 1: the strongest") for w in words)
    assert "0.90" not in found.text


def test_the_method_is_said_in_words(write_filled: WriteRun) -> None:
    star = method(story(write_filled("star", ["unmix", "mixmask"], [UNMIX, MIXMASK])))
    assert "(unmix) and mixtures whose hidden parts another image fills (mixmask)" in star
    given = method(story(write_filled("given", [GIVEN], [Made(0, 2, learned=True)])))
    assert given.endswith("learn where hiding hurts most (sequential)")
    assert "(mixmask), hidden by masks made one after another" in given
