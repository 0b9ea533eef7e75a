"""Recipes by name, at every scale; those of Sequential against its Table 3."""

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import finetune_sgd, linear
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import adios, sequential
from masquerade.recipes.base import SCALES, recipe, recipes, table, tables
from masquerade.tables import slug

NEW = {
    "mixmask.adios_filled",
    "mixmask.sequential_filled",
    "mixmask.learned",
    "objectives.crossing",
}

PUBLISHED = ("adversarial_masking.", "sequential_tables.", "mixmask_", "mim_tables.")


def networks() -> list[str]:
    """One recipe of each encoder with its heads at paper scale, with and without adversaries."""
    found = {}
    for name in recipes():
        if name not in NEW:
            config = recipe(name, "paper")
            learns = any(isinstance(m, adios.Config | sequential.Config) for m in config.maskers)
            found[f"{config.size} {config.backbone} {config.objective} {learns}"] = name
    return list(found.values())


@pytest.mark.parametrize(("name", "scale"), [(n, s) for n in recipes() for s in SCALES])
def test_settings_of_a_recipe_survive_json(name: str, scale: str) -> None:
    if name in NEW and scale == "paper":
        with pytest.raises(ValueError, match=f"nobody published {name}; use scale=small"):
            recipe(name, scale)
        return
    config = recipe(name, scale)
    assert Pretrain.parse(config.tree()) == config
    assert config.title and config.data.kind == ("toybox" if scale != "paper" else config.data.kind)


@pytest.mark.parametrize("name", networks())
def test_what_a_paper_recipe_trains_can_be_built(name: str) -> None:
    config = recipe(name, "paper")
    noise = np.random.Generator(np.random.PCG64(0))
    pixels = noise.integers(0, 256, (4, config.size, config.size, 3), dtype=np.uint8)
    task = config.task(ImageSet("noise", pixels))
    assert ("masker" in task.players()) == any(
        isinstance(m, adios.Config | sequential.Config) for m in config.maskers
    )


@pytest.mark.parametrize("name", recipes())
def test_the_masks_of_a_recipe_fit_its_images_at_every_scale(name: str) -> None:
    for scale in SCALES[1:] if name in NEW else SCALES:
        config = recipe(name, scale)
        images = torch.zeros(2, 3, config.size, config.size)
        for masker in (m.build(config.size, 3) for m in config.maskers):
            if masker.fills or not any(True for _ in masker.parameters()):
                copies = masker.occlude(images, masker.propose(images, Seed(0)), Seed(0))
                assert all(c.images.shape == images.shape for c in copies)


def test_short_names_that_users_and_texts_know_stay_unique() -> None:
    for name in ("simclr", "byol", "simsiam", "moco", "erase", "adios", "adios_s", "sequential"):
        assert recipe(name).title == name
    with pytest.raises(ValueError, match="Did you mean 'sequential'"):
        recipe("sequental")
    with pytest.raises(ValueError, match=r"no table is called 'sequential'.*adversarial_masking"):
        table("sequential")
    with pytest.raises(ValueError, match="scale must be one of paper, small, smoke, got 'large'"):
        recipe("simclr", "large")


def test_sequential_has_the_settings_of_its_table_3() -> None:
    for name in ("simclr", "adios", "sequential"):
        config = recipe(f"adversarial_masking.{name}", "paper")
        assert (config.epochs, config.batch, config.size) == (500, 256, 96)
        assert config.optimizers.encoder.lr == 0.11
        assert config.backbone.name == "resnet18"
        assert config.objective.tree()["temperature"] == 0.2
    (theirs,) = recipe("adversarial_masking.adios", "paper").maskers
    assert isinstance(theirs, adios.Config)
    assert (theirs.masks, theirs.sparsity, theirs.entropy) == (4, 0.93, 0.71)
    (ours,) = recipe("sequential", "paper").maskers
    assert isinstance(ours, sequential.Config)
    assert (ours.masks, ours.budget, ours.budget_weight, ours.control) == (5, 0.25, 1, "paper")
    # 1e-4 on sums over 96 x 96 pixels, as printed
    assert ours.overlap == ours.consistency == pytest.approx(1e-4 * 96 * 96, abs=0.002)
    (held,) = recipe("held", "paper").maskers
    assert held == ours.replace(control="held")


@pytest.mark.parametrize("name", tables())
def test_a_table_has_one_cell_for_each_place_at_every_scale(name: str) -> None:
    for scale in SCALES:
        if name in NEW and scale == "paper":
            with pytest.raises(ValueError, match=f"nobody published {name}; use scale=small"):
                table(name, scale)
            continue
        cells = table(name, scale).cells
        places = [(slug(cell), cell.metric, *cell.protocols) for cell in cells]
        assert len(set(places)) == len(places)
        for cell in cells:
            assert cell.protocols and cell.split in ("test", "val")


def test_imagenet100s_is_measured_on_the_authors_crop_and_on_the_usual_one() -> None:
    for cell in table("adversarial_masking.linear", "paper").cells:
        probes = cell.protocols
        assert all(isinstance(p, linear.Config) and p.mode == "sgd" for p in probes.values())
        resized = [round(cell.settings.size / p.crop) for p in probes.values()]
        assert resized == ([256, 110] if cell.column == "ImageNet100-S" else [96])
        assert cell.split == ("val" if cell.column == "ImageNet100-S" else "test")


def test_fine_tuning_has_the_protocol_of_the_sequential_paper() -> None:
    for cell in table("adversarial_masking.finetune", "paper").cells:
        for how in cell.protocols.values():
            assert isinstance(how, finetune_sgd.Config)
            assert (how.optimizer.lr, how.optimizer.decay, how.batch) == (0.5, 0.0, 256)
        resized = [round(cell.settings.size / p.crop) for p in cell.protocols.values()]
        assert resized == ([256, 110] if cell.column == "ImageNet100-S" else [96])


def test_the_published_numbers_are_those_of_the_papers_that_could_be_read() -> None:
    numbers = {
        (c.row, c.column): tuple(c.published)
        for c in table("adversarial_masking.linear", "paper").cells
        if c.published
    }
    assert numbers == {
        ("SimCLR", "ImageNet100-S"): (55.10, 0.15),
        ("SimCLR", "STL-10"): (85.10, 0.12),
        ("+ ADIOS", "ImageNet100-S"): (55.91, 0.12),
        ("+ ADIOS", "STL-10"): (86.03, 0.03),
        ("+ Sequential", "ImageNet100-S"): (58.95, 0.10),
        ("+ Sequential", "STL-10"): (86.40, 0.04),
    }
    numbers = {
        (c.row, c.column): tuple(c.published)
        for c in table("adversarial_masking.finetune", "paper").cells
        if c.published
    }
    assert numbers == {
        ("+ ADIOS", "ImageNet100-S"): (64.83, 0.22),
        ("+ ADIOS", "STL-10"): (86.82, 0.11),
        ("+ Sequential", "ImageNet100-S"): (65.43, 0.34),
        ("+ Sequential", "STL-10"): (89.41, 0.26),
    }
    for name in tables():
        if not name.startswith(PUBLISHED):
            cells = table(name, "small").cells
            assert all(c.published is None for c in cells)  # none could be read
