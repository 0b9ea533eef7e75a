"""MixMask's runs against the table of the paper file, its tables against the paper's numbers.

papers/mixmask.md, sections 2.4, 3, 4, 6, 7 and 9, typed anew and laid out as the paper has them.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from masquerade.evaluate import knn, linear
from masquerade.jobs import pretrain
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import adios, erase, mixmask, sequential, unmix
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.recipes import frameworks, small
from masquerade.recipes.base import recipe, recipes, table, tables

DATA = {"cifar100": "CIFAR-100", "tiny_imagenet": "Tiny-ImageNet", "imagenet": "ImageNet"}
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100 = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
TINY = ((0.480, 0.448, 0.398), (0.277, 0.269, 0.282))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# fmt: off
# optimizer, rate, decay, epochs, batch, size, statistics, crop from, grey, blur, resampling
RUNS = {
    "cifar100_moco": ("sgd", 0.06, 5e-4, 1000, 512, 32, CIFAR10, 0.08, 0.2, 0, "bilinear"),
    "cifar100_simsiam": ("sgd", 0.06, 5e-4, 1000, 512, 32, IMAGENET, 0.2, 0.2, 0, "bilinear"),
    "cifar100_byol": ("adam", 3e-3, 1e-6, 1000, 512, 32, CIFAR100, 0.2, 0.1, 0, "bicubic"),
    "cifar100_simclr": ("adam", 3e-3, 1e-6, 1000, 512, 32, CIFAR100, 0.2, 0.1, 0, "bicubic"),
    "tiny_imagenet_moco": ("sgd", 0.06, 5e-4, 1000, 512, 64, TINY, 0.08, 0.2, 0, "bilinear"),
    "tiny_imagenet_byol": ("adam", 2e-3, 1e-6, 1000, 512, 64, TINY, 0.2, 0.1, 0, "bicubic"),
    "tiny_imagenet_simclr_star": ("adam", 2e-3, 1e-6, 1000, 512, 64, TINY, 0.2, 0.1, 0, "bicubic"),
    "imagenet_moco": ("sgd", 0.03, 1e-4, 200, 256, 224, IMAGENET, 0.2, 0.2, 0.5, "bilinear"),
}
# fmt: on
OURS = [n.partition(".")[2] for n in recipes() if n.startswith("mixmask.")]


def paper(name: str) -> Pretrain:
    return recipe(f"mixmask.{name}", "paper")


def statistics(config: Pretrain) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(config.normalise, str):
        assert config.normalise == "published"
        known = config.data.normalise()
        assert known is not None
        return known
    return config.normalise.mean, config.normalise.std


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_numbers_of_section_6(name: str) -> None:
    kind, lr, decay, epochs, batch, size, stats, crop, grey, blur, resampled = RUNS[name]
    config = paper(name)
    encoder, views = config.optimizers.encoder, config.augment
    assert (encoder.kind, encoder.lr, encoder.decay, encoder.decay_all) == (kind, lr, decay, True)
    assert kind == "adam" or encoder.tree()["momentum"] == 0.9
    assert (config.epochs, config.batch, config.size) == (epochs, batch, size)
    assert config.data.kind == next(d for d in DATA if name.startswith(d))
    assert statistics(config) == stats
    assert views.crop_scale == (crop, 1.0) and (views.grey, views.blur) == (grey, blur)
    jitter = (views.jitter, views.brightness, views.contrast, views.saturation, views.hue)
    assert jitter == (0.8, 0.4, 0.4, 0.4, 0.1)
    assert (views.flip, views.solarise, views.interpolation) == (0.5, 0, resampled)
    assert not config.backbone.options["zero_init_last"]
    stems = {32: ("resnet18", "small"), 64: ("resnet18", "pooled"), 224: ("resnet50", "imagenet")}
    assert (config.backbone.name, config.backbone.stem) == stems[size]
    assert (config.combine, config.bn_stats) == ("mean", "reference")


@pytest.mark.parametrize("name", RUNS)
def test_a_schedule_is_that_of_its_code_base(name: str) -> None:
    plan = paper(name).optimizers.encoder.schedule
    if "moco" in name:
        assert (plan.shape, plan.warmup, plan.end, plan.per) == ("cosine", 0, 0, "epoch")
        assert plan.count_from == (0 if name.startswith("imagenet") else 1)
    elif "simsiam" in name:
        assert (plan.shape, plan.warmup, plan.start, plan.per) == ("cosine", 10, 0, "step")
        assert plan.from_start and plan.warmup_unit == "epoch"
    else:
        assert (plan.shape, plan.drops, plan.factor) == ("drops", (950, 975), 0.2)
        assert (plan.warmup, plan.warmup_unit, plan.start, plan.per) == (500, "step", 0, "step")


def test_heads_and_objectives_are_those_of_section_6() -> None:
    for name in ("cifar100_moco", "tiny_imagenet_moco"):
        it = paper(name).objective
        assert isinstance(it, moco.Config)
        assert (it.temperature, it.momentum, it.queue) == (0.1, 0.99, 4096)
        assert (it.symmetric, it.groups, it.shuffle) == (True, 8, True)
        assert (it.projector.layers, it.projector.out) == (1, 128)
    it = paper("imagenet_moco").objective
    assert isinstance(it, moco.Config)
    assert (it.temperature, it.momentum, it.queue, it.symmetric) == (0.2, 0.999, 65536, False)
    head = it.projector
    assert (head.layers, head.hidden, head.out, head.norm) == (2, 2048, 128, "none")
    assert it.groups == 8  # GPUs
    for name, out in (("cifar100", 64), ("tiny_imagenet", 128)):
        nce, follows = paper(f"{name}_simclr_star").objective, paper(f"{name}_byol").objective
        assert isinstance(nce, simclr.Config) and isinstance(follows, byol.Config)
        assert (nce.temperature, nce.joint, nce.meets) == (0.5, True, "other")
        for head, norm in ((nce.projector, "batch"), (follows.projector, "hidden")):
            assert (head.layers, head.hidden, head.out, head.norm) == (2, 1024, out, norm)
            assert (head.last if norm == "batch" else "affine", head.bias) == ("affine", True)
        assert (follows.momentum, follows.schedule, follows.masked) == (0.99, "epoch", "both")
        assert (follows.predictor.hidden, follows.predictor.bias) == (1024, True)
    still = paper("cifar100_simsiam").objective
    assert isinstance(still, simsiam.Config)
    head = still.projector
    assert (head.layers, head.hidden, head.out, head.norm) == (2, 2048, 2048, "batch")
    assert (head.last, head.bias) == ("affine", True)
    assert (still.predictor.hidden, still.predictor.bias) == (512, True)
    assert not still.predictor_scheduled
    assert set(still.terms) == {"masked_query", "masked_key"} and still.masked_views == "one"


@pytest.mark.parametrize("images", frameworks.TRAINED)
@pytest.mark.parametrize("scale", ["paper", "small", "smoke"])
def test_the_masks_of_a_method_are_those_of_sections_2_to_4(images: Any, scale: Any) -> None:
    grid, pattern = {
        "cifar100": (2, "discrete"),
        "tiny_imagenet": (4, "blocked"),
        "imagenet": (8, "blocked"),
    }[images]
    found = {m: recipe(f"mixmask.{images}_moco{m}", scale).maskers for m in ("", "_unmix")}
    assert found[""] == ()
    (alone,) = found["_unmix"]
    assert alone == unmix.Config(global_ratio=0 if images == "imagenet" else 0.5)
    (own,) = recipe(f"mixmask.{images}_moco_mixmask", scale).maskers
    assert isinstance(own, mixmask.Config)
    assert (own.grid, own.pattern, own.ratio, own.partners) == (grid, pattern, 0.5, "reverse")
    assert not (own.per_image or own.symmetrize or own.exact) and own.clean
    mixed, masked = recipe(f"mixmask.{images}_moco_star", scale).maskers
    assert isinstance(mixed, unmix.Config) and isinstance(masked, mixmask.Config)
    assert (mixed.global_ratio, mixed.alpha, mixed.clip) == (0.5, 1, "official")
    assert (mixed.partners, masked.partners) == ("reverse", "random")
    assert masked == own.replace(partners="random")
    if images != "imagenet":
        same = recipe(f"mixmask.{images}_moco_star_same", scale).maskers
        assert same == (mixed, own)


def test_the_variants_of_tables_3_and_4_are_those_of_the_paper() -> None:
    for name, share in (("box", 0), ("whole", 1)):
        mixed, masked = paper(f"imagenet_moco_star_{name}").maskers
        assert isinstance(mixed, unmix.Config) and mixed.global_ratio == share
        assert masked == paper("imagenet_moco_star").maskers[1]
    (pair,) = paper("imagenet_moco_erase").maskers
    assert isinstance(pair, erase.Config)
    assert (pair.pair, pair.clean, pair.fill, pair.masks) == (True, True, "zeros", 1)
    assert (pair.pattern, pair.grid, pair.ratio) == ("blocked", 8, 0.5)
    assert not (pair.per_image or pair.exact)


def test_only_the_frameworks_of_the_paper_are_offered() -> None:
    with pytest.raises(ValueError, match="no simclr on imagenet; it has: moco"):
        frameworks.filled("imagenet", "simclr", "mixmask", "small")


def test_small_runs_share_a_cnn_of_a_third_of_a_million_parameters() -> None:
    encoder = small.NARROW.build(32, 3, (0.5,) * 3, (0.25,) * 3)
    assert 0.25e6 < sum(p.numel() for p in encoder.parameters()) < 0.35e6
    for name in OURS:
        config = recipe(f"mixmask.{name}")
        learned = name.endswith("_filled")
        assert config.backbone == (small.RESNET if learned else small.NARROW)
        assert (config.data.kind, config.size) == ("toybox", 32)


@pytest.mark.parametrize(("name", "given"), [("adios", adios), ("sequential", sequential)])
def test_an_adversarys_masks_are_filled_as_its_own_recipe_erases_them(
    name: str, given: Any
) -> None:
    config, erased = recipe(f"mixmask.{name}_filled"), recipe(f"adversarial_masking.{name}")
    (masker,) = config.maskers
    assert isinstance(masker, mixmask.Config) and isinstance(masker.given[0], given.Config)
    assert (masker.pattern, masker.given) == ("given", erased.maskers)
    assert config == erased.replace(title=config.title, maskers=config.maskers)


TABLE1 = """
              CIFAR   Tiny    IN
2 x 2         68.11   46.40   68.44
4 x 4         67.55   47.44   68.95
8 x 8         67.51   46.48   69.18
16 x 16       -       46.10   68.54
32 x 32       -       -       68.65
48 x 48       -       -       68.79
blocked       67.78   -       -
discrete      -       46.40   68.44
0.25 or 0.75  66.78   45.60   68.53
U(0, 1)       67.56   45.46   68.71
U(0.25, 0.75) 67.78   47.04   68.85
"""
TABLE2 = """
          C-MoCo  C-BYOL  C-SimCLR  T-MoCo  T-BYOL  T-SimCLR
same      69.24   71.84   70.05     47.42   50.78   49.70
different 69.95   72.14   70.04     47.90   53.72   50.72
"""
TABLE3 = """
        IN
P = 0   69.09
P = 0.5 69.51
P = 1   68.72
"""
TABLE4 = """
        IN
MoCo    67.50
erase   68.23
MixMask 69.18
"""
TABLE5 = """
         C-MoCo  SimSiam  BYOL   SimCLR  T-MoCo  T-BYOL  IN
vanilla  65.67   66.71    66.80  67.11   42.76   51.40   67.50
Un-Mix   68.62   70.02    70.02  69.77   45.32   52.92   68.50
MixMask  68.36   69.83    71.88  69.22   47.44   50.78   69.18
MixMask* 69.95   70.56    72.14  70.04   47.90   53.72   69.51
"""
TABLE9 = """
         SimSiam  BYOL   SimCLR  T-BYOL
vanilla  63.16    57.77  57.16   35.67
Un-Mix   66.45    62.17  60.53   37.64
MixMask  65.26    65.30  59.94   36.04
MixMask* 66.69    65.01  61.48   40.02
"""
TABLE10 = """
          C-BYOL  C-SimCLR  T-BYOL  T-SimCLR
same      64.42   61.82     36.48   34.90
different 65.01   61.48     40.02   34.96
"""
PRINTED = {1: TABLE1, 2: TABLE2, 3: TABLE3, 4: TABLE4, 5: TABLE5, 9: TABLE9, 10: TABLE10}


@pytest.mark.parametrize("number", PRINTED)
def test_a_table_has_the_numbers_of_section_9(number: int) -> None:
    heads, *lines = PRINTED[number].strip("\n").splitlines()
    width = len(heads.split())
    want = [(row[0], row[1 + k]) for row in map(split, lines) for k in range(width)]
    printed = [(row, float(value)) for row, value in want if value != "-"]
    cells = table(f"mixmask_tables.table{number}", "paper").cells
    assert len(cells) == len(printed)
    for cell, (row, value) in zip(cells, printed, strict=True):
        assert row.rstrip("*").split(" ")[0] in cell.row, (row, cell.row)
        assert ("*" in row) == ("*" in cell.row)
        assert cell.published is not None and cell.published == (value, None)
        assert cell.column == cell.paper_column


def split(line: str) -> list[str]:
    """A row's name, which may have spaces, and its values."""
    values = re.findall(r"(?<= )(?:\d\d\.\d\d|-)(?= |$)", line)
    return [line[: line.index(f" {values[0]}")].strip(), *values]


def test_no_column_of_a_table_holds_another_set_or_framework_than_it_says() -> None:
    for name in tables():
        if name.startswith("mixmask_tables."):
            for cell in table(name, "paper").cells:
                images, framework, measured = cell.column.split(", ")
                assert DATA[cell.settings.data.kind] == images
                assert cell.settings.objective.kind == framework.lower()
                assert next(iter(cell.protocols)) == measured.lower()
                assert cell.split == ("test" if images == "CIFAR-100" else "val")


def test_numbers_in_the_docstring_of_a_recipe_are_those_of_the_tables() -> None:
    shown: dict[str, set[float]] = {}
    for number in PRINTED:
        for cell in table(f"mixmask_tables.table{number}", "paper").cells:
            assert cell.published is not None
            shown.setdefault(cell.settings.title, set()).add(cell.published.mean)
    for name in OURS:
        if not name.endswith("_filled"):
            text = (recipes()[f"mixmask.{name}"].__doc__ or "").partition("\n")[0]
            assert {float(x) for x in re.findall(r"\d\d\.\d\d", text)} == shown[name], name


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ("4 x 4", {"grid": 4}),
        ("blocked", {"pattern": "blocked"}),
        ("ratio 0.25 or 0.75", {"ratio": 0.75}),
        ("ratio from U(0, 1)", {"ratio": (0.0, 1.0)}),
        ("ratio from U(0.25, 0.75)", {"ratio": (0.25, 0.75)}),
    ],
)
def test_a_row_of_table_1_changes_one_thing(row: str, change: dict[str, Any]) -> None:
    cells = {c.row: c for c in table("mixmask_tables.table1", "paper").cells if "CIFAR" in c.column}
    base, varied = cells["2 x 2"].settings, cells[row].settings
    assert base.maskers == paper("cifar100_moco_mixmask").maskers
    assert varied.maskers == (base.maskers[0].replace(**change),)
    assert varied == base.replace(title=varied.title, maskers=varied.maskers)


def test_protocols_are_those_of_the_code_each_number_comes_from() -> None:
    whole = table("mixmask_tables.table5", "paper").cells
    cells = {c.column.rpartition(",")[0]: c.protocols for c in whole}
    tall = knn.Config(k=200, temperature=0.1, layer="projector")
    five = knn.Config(k=5, metric="euclidean", vote="majority")
    for images in ("CIFAR-100", "Tiny-ImageNet"):
        assert cells[f"{images}, MoCo"] == {"knn": tall}
        assert cells[f"{images}, BYOL"] == {"linear": linear.wmse(), "knn": five}
    assert cells["CIFAR-100, SimCLR"] == {"linear": linear.wmse(), "knn": five}
    zoomed = tall.replace(layer="backbone", crop=32 / 36)
    assert cells["CIFAR-100, SimSiam"] == {"linear": linear.simsiam(), "knn": zoomed}
    assert cells["ImageNet, MoCo"] == {"linear": linear.moco()}


def test_small_tables_measure_one_set_of_images_by_the_usual_protocols() -> None:
    for name in tables():
        if name.startswith("mixmask_tables."):
            cells = table(name, "small").cells
            assert len({c.paper_column.partition(",")[0] for c in cells}) == 1
            for cell in cells:
                assert cell.settings.data.kind == "toybox" and cell.column.startswith("things10, ")
                first = "knn" if cell.paper_column.endswith("kNN") else "linear"
                assert next(iter(cell.protocols)) == first
                assert set(cell.protocols.values()) == {knn.Config(), linear.Config()}
            said = "\n".join(table(name, "small").notes)
            assert "rendered objects on real photo tiles" in said and "k = 200" not in said


@pytest.mark.parametrize(
    "name",
    [
        "cifar100_moco_mixmask",
        "cifar100_simsiam_star",
        "cifar100_byol_unmix",
        "cifar100_simclr_star_same",
        "imagenet_moco_erase",
        "sequential_filled",
    ],
)
def test_a_smoke_run_takes_two_steps(name: str, tmp_path: Path) -> None:
    config = recipe(f"mixmask.{name}", "smoke").override(
        ["limit=16", "epochs=1", "batch=8", "runtime.threads=1", "runtime.precision=float32"]
    )
    assert pretrain.run(config, tmp_path / name, quiet=True).has("summary.json")
