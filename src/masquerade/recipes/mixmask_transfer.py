"""MixMask's tables of few labels and of detection: what its ImageNet encoders are good for.

"MixMask: Revisiting Masking Strategy for Siamese ConvNets", Vishniakov et al., 2022.
https://arxiv.org/abs/2210.11456, tables 6 and 7; papers/mixmask.md, sections 7 and 9. Table 5 is
`mixmask_tables.table5`. All columns of a row measure one run.
"""

from collections.abc import Mapping

from masquerade.data.sources import coco, scenes, voc
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import detect, finetune_sgd, semi, semi10
from masquerade.evaluate.base import ProtocolConfig
from masquerade.recipes import frameworks
from masquerade.recipes.base import Cell, Published, Scale, Table
from masquerade.recipes.frameworks import Method
from masquerade.recipes.mixmask_tables import ALIKE, PAPER

ROWS: dict[str, Method] = {
    "Un-Mix": "unmix",
    "MixMask": "mixmask",
    "MixMask* (with Un-Mix)": "star",
}
STAND_IN = (
    "Ours: toybox (rendered objects on real photo tiles), 32 px, a CNN of 0.3 million parameters, "
    "minutes. Only the order can agree."
)
SIX = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
BOXES = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
SHORT = Schedule(warmup=1, start=0.0, per="step")


def table6(scale: Scale = "small") -> Table:
    """Few labels on ImageNet: 1 % and 10 %, fine-tuned as SwAV does."""
    numbers = {
        "Un-Mix": (34.23, 60.34, 62.73, 85.36),
        "MixMask": (34.36, 60.72, 63.02, 85.69),
        "MixMask* (with Un-Mix)": (36.59, 62.94, 63.93, 86.25),
    }
    paper = scale == "paper"
    one: ProtocolConfig = semi.Config(crop=224 / 256) if paper else _little(0.01, scale)
    ten: ProtocolConfig = semi10.Config(crop=224 / 256) if paper else _little(0.1, scale)
    columns = [
        (f"{amount}, top-{k}", {f"semi{amount[:-2]}": how}, f"top{k}")
        for amount, how in (("1 %", one), ("10 %", ten))
        for k in (1, 5)
    ]
    cells = [
        Cell(
            row,
            column,
            frameworks.filled("imagenet", "moco", method, scale),
            how,
            "val" if paper else "test",
            Published(number),
            f"ImageNet, {column}",
            trained="encoder",
            metric=metric,
        )
        for row, method in ROWS.items()
        for (column, how, metric), number in zip(columns, numbers[row], strict=True)
    ]
    notes = (
        "The paper says that weights are frozen and that it follows SwAV, which fine-tunes all of "
        "them; head.frozen=true is the other reading. SwAV reports its best epoch on the images it "
        "is measured on; ours is the last.",
        "SimCLR's published lists of files: data=imagenet with its subset, and semi.ratio=1.",
        *(() if paper else (STAND_IN,)),
        ALIKE,
    )
    return Table("MixMask on MoCo v2, few labels: top-1 and top-5 in %", PAPER, tuple(cells), notes)


def table7(scale: Scale = "small") -> Table:
    """Detection and instance segmentation: COCO boxes and masks, VOC boxes."""
    # fmt: off
    numbers = {
        "Un-Mix":
            (36.25, 55.57, 38.89, 19.40, 40.72, 50.68, 31.88, 52.47, 33.81, 13.62, 35.23, 49.20,
             57.69, 82.98, 64.53),
        "MixMask":
            (36.42, 55.56, 39.27, 19.33, 40.92, 50.86, 31.96, 52.18, 34.06, 13.38, 35.26, 49.34,
             57.56, 82.83, 64.00),
        "MixMask* (with Un-Mix)":
            (36.50, 55.87, 39.18, 19.29, 40.97, 50.88, 31.95, 52.40, 33.70, 13.07, 34.97, 49.67,
             57.73, 83.22, 64.61),
    }
    # fmt: on
    paper = scale == "paper"
    columns = [
        *(("COCO", f"box {title}", name) for title, name in zip(BOXES, SIX, strict=True)),
        *(("COCO", f"mask {title}", f"mask_{n}") for title, n in zip(BOXES, SIX, strict=True)),
        *(("VOC", f"box {title}", name) for title, name in zip(BOXES[:3], SIX[:3], strict=True)),
    ]
    where = _published() if paper else _scenes(scale)
    cells = [
        Cell(
            row,
            f"{images if paper else f'scenes, {images} metric'}, {column}",
            frameworks.filled("imagenet", "moco", method, scale),
            where[images][1],
            where[images][3],
            Published(number),
            f"{images}, {column}",
            trained="encoder",
            data=where[images][0],
            fitted=where[images][2],
            metric=metric,
        )
        for row, method in ROWS.items()
        for (images, column, metric), number in zip(columns, numbers[row], strict=True)
    ]
    notes = (
        "All differences of the paper are within the noise of a run (0.2 to 0.4 on VOC).",
        "torchvision's detectors in the C4 form; their box losses are smooth L1 with beta 1/9 in "
        "the place of L1, and batch norms are not re-estimated before measuring.",
        *(() if paper else (STAND_IN, "Scenes at 64 px have no object that COCO calls large.")),
        ALIKE,
    )
    title = "MixMask on MoCo v2, detection and instance segmentation: AP in %"
    return Table(title, PAPER, tuple(cells), notes)


Place = tuple[SourceConfig, Mapping[str, ProtocolConfig], str, str]  # the splits fitted, measured


def _published() -> dict[str, Place]:
    boxes = voc.Config(year="2007+2012", task="detection", store=500)
    return {
        "COCO": (coco.Config(store=640), {"detect-coco": detect.coco()}, "train", "val"),
        "VOC": (boxes, {"detect-voc": detect.voc()}, "trainval", "test"),
    }


def _scenes(scale: Scale) -> dict[str, Place]:
    smoke = scale == "smoke"
    data = scenes.Config(pixels=64, count=32 if smoke else 600, count_test=16 if smoke else 200)
    small = detect.Config(
        epochs=1 if smoke else 4,
        side=96,
        anchors=(16, 24, 32, 48),
        rois=16,
        proposals=50,
        optimizer=sgd.Config(lr=0.02, schedule=SHORT),
    )
    both = small.replace(masks=True, metric="coco")
    return {
        "COCO": (data, {"detect-coco": both}, "train", "test"),
        "VOC": (data, {"detect-voc": small}, "train", "test"),
    }


def _little(ratio: float, scale: Scale) -> semi.Config:
    """Rates and batches for some hundred labels in the place of thousands."""
    epochs = 1 if scale == "smoke" else 12
    tuned = finetune_sgd.Config(
        epochs=epochs,
        batch=32,
        kept_statistics=False,
        optimizer=sgd.Config(lr=0.05, schedule=SHORT),
    )
    return semi.Config(ratio=ratio, head=tuned)
