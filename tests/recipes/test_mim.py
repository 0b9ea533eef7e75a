"""AEMIM's tables: published numbers, and the settings that give ours."""

from masquerade.engine.optimizers import adamw
from masquerade.evaluate import finetune
from masquerade.evaluate.robustness import Config as Robustness
from masquerade.pretext import aemim
from masquerade.recipes.base import recipe, table


def numbers(scale):
    """The paper's numbers by row and column."""
    cells = table("mim_tables.imagenet", scale).cells
    return {(c.row, c.column): c.published.mean for c in cells if c.published}


def test_published_numbers_are_those_that_could_be_read_and_no_others():
    found = numbers("paper")
    assert {row: n for (row, column), n in found.items() if column == "ImageNet-1K"} == {
        "MAE, 800 epochs": 83.3,
        "MAE, 1600 epochs": 83.6,
        "AEMIM, 800 epochs": 83.8,
        "SimMIM Swin-B, 100 epochs": 82.8,
    }
    beyond = {key: n for key, n in found.items() if key[1] != "ImageNet-1K"}
    assert beyond == {
        ("MAE, 1600 epochs", "ImageNet-C, mCE"): 51.7,
        ("MAE, 1600 epochs", "ImageNet-A"): 35.9,
        ("MAE, 1600 epochs", "ImageNet-R"): 48.3,
        ("MAE, 1600 epochs", "ImageNet-Sketch"): 34.5,
        ("MAE ViT-L, 1600 epochs", "ImageNet-C, mCE"): 41.8,
        ("MAE ViT-L, 1600 epochs", "ImageNet-A"): 57.1,
        ("MAE ViT-L, 1600 epochs", "ImageNet-R"): 59.9,
        ("MAE ViT-L, 1600 epochs", "ImageNet-Sketch"): 45.3,
        ("MAE ViT-H, 1600 epochs", "ImageNet-C, mCE"): 33.8,
        ("MAE ViT-H, 1600 epochs", "ImageNet-A"): 68.2,
        ("MAE ViT-H, 1600 epochs", "ImageNet-R"): 64.4,
        ("MAE ViT-H, 1600 epochs", "ImageNet-Sketch"): 49.6,
    }
    assert numbers("small") == {
        ("MAE", "things10"): 83.3,
        ("AEMIM", "things10"): 83.8,
    }
    assert not any(c.published for c in table("mim_tables.ablation", "paper").cells)


def test_every_row_at_paper_scale_has_the_fine_tuning_of_its_authors():
    rows = {c.row: c for c in table("mim_tables.imagenet", "paper").cells if "1K" in c.column}
    found = {}
    for row, cell in rows.items():
        how = cell.protocols["finetune"]
        assert isinstance(how, finetune.Config)
        found[row] = (
            how.epochs,
            how.layer_decay,
            how.drop_path,
            how.optimizer.lr * 256 / how.batch,
        )
    base = (100, 0.65, 0.1, 5e-4)
    swin = (100, 0.9, 0.1, 1.25e-3 / 2)
    assert found == {
        "MAE, 800 epochs": base,
        "MAE, 1600 epochs": base,
        "Noise twin, 800 epochs": base,
        "AEMIM, 800 epochs": base,
        "SimMIM Swin-B, 100 epochs": swin,
        "AEMIM on SimMIM Swin-B, 100 epochs": swin,
        "MAE ViT-L, 1600 epochs": (50, 0.75, 0.2, 1e-3),
        "MAE ViT-H, 1600 epochs": (50, 0.75, 0.3, 1e-3),
    }


def test_variants_are_read_and_not_attacked():
    cells = [c for c in table("mim_tables.imagenet", "paper").cells if c.metric.endswith("_a/top1")]
    (how,) = cells[0].protocols.values()
    assert isinstance(how, Robustness)
    assert (how.shifts, how.linf, how.l2) == ({"imagenet_a": "data/imagenet-a"}, (), ())
    assert cells[0].split == "val"


def test_the_ablation_changes_one_thing_a_row():
    rows = {c.row: c.settings for c in table("mim_tables.ablation", "paper").cells}
    plain = aemim.Config()
    changed = {}
    for row, settings in rows.items():
        assert isinstance(settings.pretext, aemim.Config)
        ours, base = settings.pretext.tree(), plain.tree()
        ours |= {f"attack.{k}": v for k, v in ours.pop("attack").items()}
        base |= {f"attack.{k}": v for k, v in base.pop("attack").items()}
        changed[row] = {k for k in base if ours[k] != base[k]}
    assert changed["budget 2/255"] == changed["steps 2"] == changed["distance kl"] == set()
    assert changed["adapters norm+cls"] == set()
    assert changed["budget 8/255"] == {"attack.epsilon"} and changed["steps 3"] == {"attack.steps"}
    assert changed["distance l2"] == {"attack.distance"}
    assert changed["adapters lora"] == changed["adapters none"] == {"adapters"}
    assert len(rows) == 16


def test_simmim_shortens_gradients_as_its_code_does():
    for name in ("mim.simmim", "mim.aemim_simmim"):
        how = recipe(name, "paper").optimizers.encoder
        assert isinstance(how, adamw.Config) and how.longest == 5.0
