"""Pictures of a few images as the maskers leave them: what the arrays mean, and who hides."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.jobs.small import MASKED, PLAIN

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.jobs import hide, masks, pretrain
from masquerade.jobs.evaluate import Evaluate
from masquerade.jobs.snapshot import Arrays, sitters, snapshot
from masquerade.maskers import adios, erase, mixmask, sequential, unmix
from masquerade.maskers.base import MaskerConfig

COPY = {"images", "hidden", "partner", "share", "weight", "masker", "learned"}
NAMES = {"images", "hidden", *(f"copy_{name}" for name in COPY)}
LEARNED = sequential.Config(masks=3, width=8, norm="gn")


def noisy(count: int = 40, channels: int = 3, dtype: type = np.uint8) -> ImageSet:
    rng = np.random.default_rng(Seed(0).fold("noisy").integer())
    most = np.iinfo(dtype).max
    pixels = rng.integers(0, most, (count, 32, 32, channels), dtype, endpoint=True)
    return ImageSet("noisy", pixels)


def taken(
    *maskers: MaskerConfig, images: ImageSet | None = None, step: int = 10, seed: int = 0
) -> Arrays:
    images = images or noisy()
    mean, std = images.statistics()
    torch.manual_seed(0)
    built = [m.build(32, images.channels) for m in maskers]
    return snapshot(built, sitters(images, 32, mean, std), Seed(seed), step)


def mixed(arrays: Arrays, copy: int) -> NDArray[np.float64]:
    """The copy by its definition, from images, mask and partners."""
    images = arrays["images"].astype(np.float64)
    hidden = arrays["copy_hidden"][:, copy, ..., None] / 255
    return np.asarray(
        images * (1 - hidden) + images[arrays["copy_partner"][:, copy]] * hidden, np.float64
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "masker",
    [
        mixmask.Config(),
        mixmask.Config(partners="random", pattern="noise", per_image=True),
        unmix.Config(global_ratio=0),
        unmix.Config(global_ratio=1),
        mixmask.Config(pattern="given", given=(erase.Config(),), partners="derangement"),
    ],
    ids=["mixmask", "random", "box", "global", "given"],
)
def test_a_mixture_is_the_image_and_its_partner_in_their_shares(
    masker: MaskerConfig, channels: int
) -> None:
    arrays = taken(masker, images=noisy(channels=channels))
    assert set(arrays) == NAMES
    assert arrays["images"].shape == (12, 32, 32, channels)
    assert arrays["hidden"].shape == (12, 0, 32, 32)  # nobody learns
    assert arrays["copy_images"].shape == (12, 1, 32, 32, channels)
    off = np.abs(mixed(arrays, 0) - arrays["copy_images"][:, 0])
    assert off.max() <= 1.01  # rounded to levels: the image, its mask and the mixture
    assert sorted(arrays["copy_partner"][:, 0]) == list(range(12))
    kept = 1 - arrays["copy_hidden"][:, 0].mean((1, 2)) / 255
    np.testing.assert_allclose(arrays["copy_share"][:, 0], kept, atol=0.5 / 255)
    assert not arrays["copy_learned"].any()


def test_several_maskers_keep_their_order_and_erasing_has_no_partner() -> None:
    arrays = taken(unmix.Config(), erase.Config(masks=2), mixmask.Config(partners="derangement"))
    assert arrays["copy_masker"].tolist() == [0, 1, 1, 2]
    assert (arrays["copy_partner"][:, 1:3] == -1).all()
    assert (arrays["copy_share"][:, 1:3] == 1).all()
    assert (arrays["copy_partner"][:, 0] == np.arange(12)[::-1]).all()


def test_the_two_copies_of_a_pair_hide_all_of_an_image_and_weigh_what_they_show() -> None:
    arrays = taken(erase.Config(pair=True, fill="noise", grid=4))
    hidden = arrays["copy_hidden"]
    assert (hidden.astype(int).sum(1) == 255).all()
    np.testing.assert_allclose(arrays["copy_weight"], 1 - hidden.mean((2, 3)) / 255, atol=1e-6)
    shown = hidden == 0
    images = np.broadcast_to(arrays["images"][:, None], arrays["copy_images"].shape)
    off = np.abs(arrays["copy_images"].astype(int) - images)
    assert off[shown].max() <= 1
    assert off[~shown].mean() > 30  # the noise itself is in the picture


def test_what_only_learns_and_erases_is_told_by_its_masks_alone() -> None:
    arrays = taken(LEARNED, adios.Config(masks=2, width=8))
    assert set(arrays) == {"images", "hidden"}
    assert arrays["hidden"].shape == (12, 5, 32, 32)


def test_a_learned_masker_that_is_filled_has_masks_and_mixtures() -> None:
    given = mixmask.Config(pattern="given", given=(LEARNED,), partners="random")
    first, later = (taken(given, unmix.Config(), step=s) for s in (10, 20))
    assert first["hidden"].shape == (12, 3, 32, 32)
    np.testing.assert_array_equal(first["hidden"], first["copy_hidden"][:, :3])
    assert first["copy_learned"].tolist() == [True, True, True, False]
    for k in range(4):
        assert np.abs(mixed(first, k) - first["copy_images"][:, k]).max() <= 1.01
    for name in ("copy_partner", "copy_images"):  # it can be followed over the training
        np.testing.assert_array_equal(first[name][:, :3], later[name][:, :3])


def test_chance_draws_anew_at_every_step_and_alike_in_equal_runs() -> None:
    for masker in (erase.Config(), mixmask.Config(partners="random"), unmix.Config()):
        first, again, later, other = (
            taken(masker, step=step, seed=seed) for step, seed in ((1, 0), (1, 0), (2, 0), (1, 1))
        )
        assert all((first[name] == again[name]).all() for name in NAMES)
        assert (first["copy_hidden"] != later["copy_hidden"]).any()
        assert (first["copy_hidden"] != other["copy_hidden"]).any()


@pytest.mark.parametrize(
    ("channels", "seen"), [(1, 1), (2, 1), (4, 3), (5, 3)], ids=lambda n: str(n)
)
def test_of_many_channels_three_are_shown_and_of_two_the_first(channels: int, seen: int) -> None:
    arrays = taken(mixmask.Config(), images=noisy(channels=channels, dtype=np.uint16))
    assert arrays["images"].shape[3] == arrays["copy_images"].shape[4] == seen
    assert np.abs(mixed(arrays, 0) - arrays["copy_images"][:, 0]).max() <= 1.01


@pytest.mark.parametrize("count", [2, 3, 5, 11, 13])
def test_an_even_number_of_images_is_taken_so_that_none_is_its_own_partner(count: int) -> None:
    arrays = taken(mixmask.Config(), images=noisy(count))
    partner = arrays["copy_partner"][:, 0]
    assert len(partner) == min(12, count // 2 * 2)
    assert (partner != np.arange(len(partner))).all()


def test_a_run_without_labels_keeps_pictures_of_its_mixtures(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", noisy(16, channels=1).pixels[..., 0])
    config = PLAIN.replace(epochs=2, maskers=(unmix.Config(), mixmask.Config()))
    config = config.override([f"data={tmp_path / 'grey.npy'}"])
    run = pretrain.run(config, tmp_path / "a", quiet=True)
    assert not any("probe/loss" in row for row in run.lines())
    shots = sorted((run.path / "masks").glob("step_*.npz"))
    assert len(shots) == 4
    with np.load(shots[-1]) as arrays:
        assert set(arrays.files) == NAMES
        assert arrays["copy_masker"].tolist() == [0, 1]


@pytest.fixture(scope="module")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("runs") / "chance"
    maskers = (unmix.Config(), mixmask.Config())
    return pretrain.run(PLAIN.replace(epochs=1, maskers=maskers), place, quiet=True)


def test_masks_of_chance_are_not_measured(by_chance: Any) -> None:
    evaluation = Evaluate.of(by_chance, ["knn"], {})
    assert not masks.has_masks(by_chance, evaluation)
    with pytest.raises(ValueError, match=r"no learned masks .*: unmix and mixmask hide by chance"):
        masks.run(by_chance, evaluation)
    assert not by_chance.has("eval/masks.json")
    with pytest.raises(ValueError, match=r"hide by chance; masquerade report .*chance shows how"):
        hide.learned(by_chance)


def test_beside_a_learned_masker_chance_is_left_out_of_what_is_measured(tmp_path: Path) -> None:
    config = MASKED.replace(epochs=1, maskers=(erase.Config(masks=5), *MASKED.maskers))
    run = pretrain.run(config, tmp_path / "a", quiet=True)
    evaluation = Evaluate.of(run, ["knn"], {}).replace(limit=8)
    assert masks.has_masks(run, evaluation)
    assert masks.run(run, evaluation)["slot"] in (0, 1)
    assert len(masks.learned(run)) == 1
    assert json.loads((run.path / "eval/masks.json").read_text())["slot"] in (0, 1)


def test_masks_that_are_learned_and_filled_can_be_measured_and_written(tmp_path: Path) -> None:
    given = mixmask.Config(pattern="given", given=MASKED.maskers)
    run = pretrain.run(MASKED.replace(epochs=1, maskers=(given,)), tmp_path / "a", quiet=True)
    assert masks.run(run, Evaluate.of(run, ["knn"], {}).replace(limit=8))["slot"] in (0, 1)
    found = hide.run(run, str(photo(tmp_path)), str(tmp_path / "out"), say=lambda text: None)
    assert len(found.images[0].masks) == 2


def photo(folder: Path) -> Path:
    np.save(folder / "a.npy", np.full((2, 20, 50, 3), 99, np.uint8))
    return folder / "a.npy"
