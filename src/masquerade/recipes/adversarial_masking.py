"""Sequential adversarial masking, and what its paper compares with.

https://arxiv.org/abs/2212.08277
The `paper` scale is the setting of its Table 3 on STL-10; the `small` one trains in minutes on
two cores on toybox (rendered objects on real photo tiles).

Note:
    The paper gives rounded rates and neither the masker's rate, nor weight decay, nor the width
    of the mask network: these are taken from the ADIOS script it evidently started from
    (`adios.imagenet100s_simclr`).
"""

from collections.abc import Mapping, Sequence

from masquerade.data.augment import policy
from masquerade.data.sources import imagenet100s, stl10
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import lars
from masquerade.evaluate import finetune_sgd, knn
from masquerade.evaluate import linear as probe
from masquerade.evaluate.base import ProtocolConfig
from masquerade.jobs.settings import Optimizers, Pretrain, Statistics
from masquerade.maskers import adios as softmax
from masquerade.maskers import erase as erasing
from masquerade.maskers import rectangles as laid
from masquerade.maskers import sequential as learning
from masquerade.recipes import adios as released
from masquerade.recipes import small
from masquerade.recipes.base import Cell, Published, Scale, Table
from masquerade.recipes.scripts import IMAGENET, RESNET, SIMCLR, STL10

PAPER = "Sequential adversarial masking, 2022, https://arxiv.org/abs/2212.08277"
ADIOS = softmax.Config(
    masks=4, sparsity=0.93, entropy=0.71, entropy_reduction="sum", width=32, norm="in"
)
SEQUENTIAL = learning.Config(masks=5)


def simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR without masks: the baseline. The ADIOS paper reports 85.10 top-1, linear, STL-10."""
    return _stl10("simclr") if scale == "paper" else small.small("simclr", scale)


def erase(scale: Scale = "small") -> Pretrain:
    """SimCLR on one view with three quarters of its patches erased by chance (ADIOS's "mae")."""
    masks = (erasing.Config(),)
    plain = _stl10("erase") if scale == "paper" else small.small("erase", scale)
    return plain.replace(maskers=masks)


def rectangles(scale: Scale = "small") -> Pretrain:
    """SimCLR on one view with a third of it under rectangles laid by chance (ADIOS's "beit")."""
    plain = _stl10("rectangles") if scale == "paper" else small.small("rectangles", scale)
    return plain.replace(maskers=(laid.Config(),))


def adios(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, as rerun for Sequential: 86.03 top-1, linear, STL-10."""
    if scale == "paper":
        return _against(_stl10("adios"), ADIOS)
    return small.small("adios", scale, maskers=(small.ADIOS,))


def adios_s(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS-s, one mask for each image; at paper scale on ImageNet-100, 224 px."""
    if scale == "paper":
        return released.imagenet100_simclr_s(scale).replace(title="adios_s")
    return small.small("adios_s", scale, maskers=(small.ADIOS.replace(shown=1),))


def sequential(scale: Scale = "small") -> Pretrain:
    """SimCLR against a learned masker. The paper reports 86.40 top-1, linear, STL-10."""
    if scale == "paper":
        return _against(_stl10("sequential"), SEQUENTIAL)
    return small.small("sequential", scale, maskers=(small.SEQUENTIAL,))


def held(scale: Scale = "small") -> Pretrain:
    """Sequential whose masks are held at their budget; as printed, two of five run empty."""
    if scale == "paper":
        return _against(_stl10("sequential, held"), SEQUENTIAL.replace(control="held"))
    masks = small.SEQUENTIAL.replace(control="held")
    return small.small("sequential, held", scale, maskers=(masks,))


def linear(scale: Scale = "small") -> Table:
    """Top-1 of a linear probe on STL-10 and ImageNet100-S: SimCLR, ADIOS, Sequential."""
    published = {  # of a ResNet-18, mean and standard deviation over 3 seeds
        "SimCLR": (Published(55.10, 0.15), Published(85.10, 0.12)),
        "+ ADIOS": (Published(55.91, 0.12), Published(86.03, 0.03)),
        "+ Sequential": (Published(58.95, 0.10), Published(86.40, 0.04)),
    }
    title = "Linear probe on frozen features"
    if scale != "paper":
        how = {"linear": probe.Config(), "knn": knn.Config()}
        return _stand_in(title, scale, how, {row: both[1] for row, both in published.items()})
    return Table(
        f"{title} of a ResNet-18, top-1 in %",
        PAPER,
        _cells("linear", probe.Config(mode="sgd"), published),
        (
            "SimCLR's numbers are quoted there from the ADIOS paper.",
            "ImageNet100-S is tested on the centre 96 of 256 pixels, as the authors' code does; "
            "linear_110 beside it on the centre 96 of 110.",
            "The papers train the probe on random crops, here each image is seen once, whole.",
        ),
    )


def finetune(scale: Scale = "small") -> Table:
    """Top-1 after fine-tuning on STL-10 and ImageNet100-S: SimCLR, ADIOS, Sequential."""
    published = {  # of a ResNet-18, mean and standard deviation over 3 seeds
        "SimCLR": (None, None),
        "+ ADIOS": (Published(64.83, 0.22), Published(86.82, 0.11)),
        "+ Sequential": (Published(65.43, 0.34), Published(89.41, 0.26)),
    }
    title = "Fine-tuning of the whole network"
    if scale != "paper":
        sgd = finetune_sgd.Config(epochs=1 if scale == "smoke" else 10)
        numbers = {row: both[1] for row, both in published.items() if both[1]}
        return _stand_in(title, scale, {"finetune_sgd": sgd}, numbers)
    return Table(
        f"{title}, a ResNet-18, top-1 in %",
        PAPER,
        _cells("finetune_sgd", finetune_sgd.sequential(), published),
        (
            "The paper has no number for SimCLR here.",
            "ImageNet100-S is tested on the centre 96 of 256 pixels, as the authors' code does; "
            "finetune_sgd_110 beside it on the centre 96 of 110.",
            "The paper gives rate, batch and decay; length and warm-up are ADIOS's script's.",
        ),
    )


def _cells(
    name: str, how: ProtocolConfig, published: Mapping[str, Sequence[Published | None]]
) -> tuple[Cell, ...]:
    """Three methods on both sets of images, each measured on every crop."""
    methods: dict[str, tuple[softmax.Config | learning.Config, ...]] = {
        "SimCLR": (),
        "+ ADIOS": (ADIOS,),
        "+ Sequential": (SEQUENTIAL,),
    }
    cells = []
    for row, masks in methods.items():
        for (column, plain, split, crops), number in zip(_columns(), published[row], strict=True):
            config = _against(plain, *masks).replace(title=f"{row}, {column}")
            protocols = {f"{name}{end}": how.replace(crop=crop) for end, crop in crops.items()}
            cells.append(Cell(row, column, config, protocols, split, number))
    return tuple(cells)


def _stand_in(
    title: str,
    scale: Scale,
    how: Mapping[str, ProtocolConfig],
    published: Mapping[str, Published | None],
) -> Table:
    """The same comparison on toybox, and what the paper does not have."""
    rows = {
        "SimCLR": simclr,
        "+ erase": erase,
        "+ ADIOS": adios,
        "+ ADIOS-s": adios_s,
        "+ Sequential": sequential,
        "+ Sequential, held": held,
    }
    return Table(
        f"{title}, top-1 in %",
        PAPER,
        tuple(
            Cell(row, "things10", make(scale), how, "test", published.get(row), "STL-10")
            for row, make in rows.items()
        ),
        (
            "Ours: toybox (rendered objects on real photo tiles), 32 px, a quarter of a ResNet-18, "
            "minutes. The paper: STL-10, 96 px, ResNet-18, 500 epochs. Only the order can agree.",
        ),
    )


def _columns() -> tuple[tuple[str, Pretrain, str, dict[str, float]], ...]:
    """Both columns of the paper: name, settings, split, crops by the end of a protocol's name."""
    crops = {"": imagenet100s.OFFICIAL, "_110": imagenet100s.PLAIN}
    return (
        ("ImageNet100-S", _paper("", imagenet100s.Config(), IMAGENET), "val", crops),
        ("STL-10", _stl10(""), "test", {"": 1.0}),
    )


def _against(plain: Pretrain, *maskers: softmax.Config | learning.Config) -> Pretrain:
    """SimCLR, against these maskers if there are any."""
    # ADIOS adds its masks' losses up; Sequential is defined by their mean.
    combine = "sum" if any(isinstance(m, softmax.Config) for m in maskers) else "mean"
    return plain.replace(maskers=maskers, step="shared", combine=combine)


def _stl10(title: str) -> Pretrain:
    return _paper(title, stl10.Config(), STL10)


def _paper(title: str, data: SourceConfig, normalise: Statistics) -> Pretrain:
    decay = 1e-4
    return Pretrain(
        title=title,
        data=data,
        size=96,
        normalise=normalise,
        backbone=RESNET,
        objective=SIMCLR,
        augment=policy.adios(),
        optimizers=Optimizers(
            encoder=lars.Config(lr=0.11, decay=decay),
            masker=lars.Config(lr=0.014515, decay=decay),
            probe=lars.Config(lr=0.1),
        ),
        epochs=500,
        batch=256,
    )
