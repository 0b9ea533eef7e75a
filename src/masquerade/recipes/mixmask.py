"""MixMask: what a mask hides is filled from another image, on four frameworks.

"MixMask: Revisiting Masking Strategy for Siamese ConvNets", Vishniakov et al., 2022.
https://arxiv.org/abs/2210.11456. The `paper` scale is what `frameworks` says of each; after each
recipe stands the paper's top-1 in %, without a seed or a deviation, as the paper has none. MixMask*
is Un-Mix and MixMask together. The smaller scales take toybox (rendered objects on real photo
tiles), 32 px, a CNN of 0.3 million parameters, and the same masks.

The tables are in `mixmask_tables`, and with them the variants of Table 1: grids, patterns, shares.
"""

from masquerade.evaluate import knn, linear
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import erase, mixmask, unmix
from masquerade.maskers.base import MaskerConfig
from masquerade.recipes import adversarial_masking, small
from masquerade.recipes.base import Cell, Scale, Table
from masquerade.recipes.frameworks import filled


def cifar100_moco(scale: Scale = "small") -> Pretrain:
    """MoCo on CIFAR-100 without masks: 65.67 kNN (Table 5)."""
    return filled("cifar100", "moco", "vanilla", scale)


def cifar100_moco_unmix(scale: Scale = "small") -> Pretrain:
    """MoCo on CIFAR-100, Un-Mix: 68.62 kNN (Table 5)."""
    return filled("cifar100", "moco", "unmix", scale)


def cifar100_moco_mixmask(scale: Scale = "small") -> Pretrain:
    """MoCo on CIFAR-100, MixMask: 68.36 kNN (Table 5)."""
    return filled("cifar100", "moco", "mixmask", scale)


def cifar100_moco_star(scale: Scale = "small") -> Pretrain:
    """MoCo on CIFAR-100, MixMask*: 69.95 kNN (Tables 2, 5)."""
    return filled("cifar100", "moco", "star", scale)


def cifar100_moco_star_same(scale: Scale = "small") -> Pretrain:
    """MoCo on CIFAR-100, MixMask*, same order: 69.24 kNN (Table 2)."""
    return filled("cifar100", "moco", "star_same", scale)


def cifar100_simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam on CIFAR-100 without masks: 66.71 linear, 63.16 kNN (Tables 5, 9)."""
    return filled("cifar100", "simsiam", "vanilla", scale)


def cifar100_simsiam_unmix(scale: Scale = "small") -> Pretrain:
    """SimSiam on CIFAR-100, Un-Mix: 70.02 linear, 66.45 kNN (Tables 5, 9)."""
    return filled("cifar100", "simsiam", "unmix", scale)


def cifar100_simsiam_mixmask(scale: Scale = "small") -> Pretrain:
    """SimSiam on CIFAR-100, MixMask: 69.83 linear, 65.26 kNN (Tables 5, 9)."""
    return filled("cifar100", "simsiam", "mixmask", scale)


def cifar100_simsiam_star(scale: Scale = "small") -> Pretrain:
    """SimSiam on CIFAR-100, MixMask*: 70.56 linear, 66.69 kNN (Tables 5, 9)."""
    return filled("cifar100", "simsiam", "star", scale)


def cifar100_byol(scale: Scale = "small") -> Pretrain:
    """BYOL on CIFAR-100 without masks: 66.80 linear, 57.77 kNN (Tables 5, 9)."""
    return filled("cifar100", "byol", "vanilla", scale)


def cifar100_byol_unmix(scale: Scale = "small") -> Pretrain:
    """BYOL on CIFAR-100, Un-Mix: 70.02 linear, 62.17 kNN (Tables 5, 9)."""
    return filled("cifar100", "byol", "unmix", scale)


def cifar100_byol_mixmask(scale: Scale = "small") -> Pretrain:
    """BYOL on CIFAR-100, MixMask: 71.88 linear, 65.30 kNN (Tables 5, 9)."""
    return filled("cifar100", "byol", "mixmask", scale)


def cifar100_byol_star(scale: Scale = "small") -> Pretrain:
    """BYOL on CIFAR-100, MixMask*: 72.14 linear, 65.01 kNN (Tables 5, 9)."""
    return filled("cifar100", "byol", "star", scale)


def cifar100_byol_star_same(scale: Scale = "small") -> Pretrain:
    """BYOL on CIFAR-100, MixMask*, same order: 71.84 linear, 64.42 kNN (Tables 2, 10)."""
    return filled("cifar100", "byol", "star_same", scale)


def cifar100_simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR on CIFAR-100 without masks: 67.11 linear, 57.16 kNN (Tables 5, 9)."""
    return filled("cifar100", "simclr", "vanilla", scale)


def cifar100_simclr_unmix(scale: Scale = "small") -> Pretrain:
    """SimCLR on CIFAR-100, Un-Mix: 69.77 linear, 60.53 kNN (Tables 5, 9)."""
    return filled("cifar100", "simclr", "unmix", scale)


def cifar100_simclr_mixmask(scale: Scale = "small") -> Pretrain:
    """SimCLR on CIFAR-100, MixMask: 69.22 linear, 59.94 kNN (Tables 5, 9)."""
    return filled("cifar100", "simclr", "mixmask", scale)


def cifar100_simclr_star(scale: Scale = "small") -> Pretrain:
    """SimCLR on CIFAR-100, MixMask*: 70.04 linear, 61.48 kNN (Tables 5, 9)."""
    return filled("cifar100", "simclr", "star", scale)


def cifar100_simclr_star_same(scale: Scale = "small") -> Pretrain:
    """SimCLR on CIFAR-100, MixMask*, same order: 70.05 linear, 61.82 kNN (Tables 2, 10)."""
    return filled("cifar100", "simclr", "star_same", scale)


def tiny_imagenet_moco(scale: Scale = "small") -> Pretrain:
    """MoCo on Tiny-ImageNet without masks: 42.76 kNN (Table 5)."""
    return filled("tiny_imagenet", "moco", "vanilla", scale)


def tiny_imagenet_moco_unmix(scale: Scale = "small") -> Pretrain:
    """MoCo on Tiny-ImageNet, Un-Mix: 45.32 kNN (Table 5)."""
    return filled("tiny_imagenet", "moco", "unmix", scale)


def tiny_imagenet_moco_mixmask(scale: Scale = "small") -> Pretrain:
    """MoCo on Tiny-ImageNet, MixMask: 47.44 kNN (Table 5)."""
    return filled("tiny_imagenet", "moco", "mixmask", scale)


def tiny_imagenet_moco_star(scale: Scale = "small") -> Pretrain:
    """MoCo on Tiny-ImageNet, MixMask*: 47.90 kNN (Tables 2, 5)."""
    return filled("tiny_imagenet", "moco", "star", scale)


def tiny_imagenet_moco_star_same(scale: Scale = "small") -> Pretrain:
    """MoCo on Tiny-ImageNet, MixMask*, same order: 47.42 kNN (Table 2)."""
    return filled("tiny_imagenet", "moco", "star_same", scale)


def tiny_imagenet_byol(scale: Scale = "small") -> Pretrain:
    """BYOL on Tiny-ImageNet without masks: 51.40 linear, 35.67 kNN (Tables 5, 9)."""
    return filled("tiny_imagenet", "byol", "vanilla", scale)


def tiny_imagenet_byol_unmix(scale: Scale = "small") -> Pretrain:
    """BYOL on Tiny-ImageNet, Un-Mix: 52.92 linear, 37.64 kNN (Tables 5, 9)."""
    return filled("tiny_imagenet", "byol", "unmix", scale)


def tiny_imagenet_byol_mixmask(scale: Scale = "small") -> Pretrain:
    """BYOL on Tiny-ImageNet, MixMask: 50.78 linear, 36.04 kNN (Tables 5, 9)."""
    return filled("tiny_imagenet", "byol", "mixmask", scale)


def tiny_imagenet_byol_star(scale: Scale = "small") -> Pretrain:
    """BYOL on Tiny-ImageNet, MixMask*: 53.72 linear, 40.02 kNN (Tables 5, 9)."""
    return filled("tiny_imagenet", "byol", "star", scale)


def tiny_imagenet_byol_star_same(scale: Scale = "small") -> Pretrain:
    """BYOL on Tiny-ImageNet, MixMask*, same order: 50.78 linear, 36.48 kNN (Tables 2, 10)."""
    return filled("tiny_imagenet", "byol", "star_same", scale)


def tiny_imagenet_simclr_star(scale: Scale = "small") -> Pretrain:
    """SimCLR on Tiny-ImageNet, MixMask*: 50.72 linear, 34.96 kNN (Tables 2, 10)."""
    return filled("tiny_imagenet", "simclr", "star", scale)


def tiny_imagenet_simclr_star_same(scale: Scale = "small") -> Pretrain:
    """SimCLR on Tiny-ImageNet, MixMask*, same order: 49.70 linear, 34.90 kNN (Tables 2, 10)."""
    return filled("tiny_imagenet", "simclr", "star_same", scale)


def imagenet_moco(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet without masks: 67.50 linear (Tables 4, 5)."""
    return filled("imagenet", "moco", "vanilla", scale)


def imagenet_moco_unmix(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, Un-Mix: 68.50 linear (Table 5)."""
    return filled("imagenet", "moco", "unmix", scale)


def imagenet_moco_mixmask(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, MixMask: 69.18 linear (Tables 1, 4, 5)."""
    return filled("imagenet", "moco", "mixmask", scale)


def imagenet_moco_star(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, MixMask*: 69.51 linear (Tables 3, 5)."""
    return filled("imagenet", "moco", "star", scale)


def imagenet_moco_erase(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, erased and its complement: 68.23 linear (Table 4).

    Note:
        The paper does not say what its erase baseline is. This reading shows each pixel once, as
        MixMask does; `maskers.0.pair=false` erases one copy.
    """
    plain = filled("imagenet", "moco", "vanilla", scale)
    pair = erase.Config(
        pair=True, pattern="blocked", grid=8, ratio=0.5, exact=False, per_image=False, clean=True
    )
    return plain.replace(title="imagenet_moco_erase", maskers=(pair,))


def imagenet_moco_star_box(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, MixMask*, Un-Mix by boxes only: 69.09 linear (Table 3, P = 0)."""
    return _share("imagenet_moco_star_box", 0.0, scale)


def imagenet_moco_star_whole(scale: Scale = "small") -> Pretrain:
    """MoCo v2 on ImageNet, MixMask*, Un-Mix of whole images: 68.72 linear (Table 3, P = 1)."""
    return _share("imagenet_moco_star_whole", 1.0, scale)


def adios_filled(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, its masks filled from partners. Nobody published it."""
    return _learned("adios_filled", small.ADIOS, scale)


def sequential_filled(scale: Scale = "small") -> Pretrain:
    """SimCLR against Sequential, its masks filled from partners. Nobody published it."""
    return _learned("sequential_filled", small.SEQUENTIAL, scale)


def learned(scale: Scale = "small") -> Table:
    """ADIOS and Sequential, their masks erased or filled from partners, on toybox."""
    if scale == "paper":
        raise ValueError("nobody published mixmask.learned; use scale=small")
    rows = {
        "SimCLR": adversarial_masking.simclr,
        "+ ADIOS": adversarial_masking.adios,
        "+ ADIOS, filled": adios_filled,
        "+ Sequential": adversarial_masking.sequential,
        "+ Sequential, filled": sequential_filled,
    }
    how = {"linear": linear.Config(), "knn": knn.Config()}
    return Table(
        "Learned masks, erased or filled: linear probe on frozen features, top-1 in %",
        "",
        tuple(Cell(row, "things10", make(scale), how) for row, make in rows.items()),
        ("toybox (rendered objects on real photo tiles), 32 px; nobody published the fillings.",),
    )


def _share(title: str, global_ratio: float, scale: Scale) -> Pretrain:
    """MixMask* whose Un-Mix mixes whole images in so many of the steps."""
    star = filled("imagenet", "moco", "star", scale)
    return star.replace(
        title=title, maskers=(unmix.Config(global_ratio=global_ratio), star.maskers[1])
    )


def _learned(title: str, masker: MaskerConfig, scale: Scale) -> Pretrain:
    """An adversary's masks, filled; as small as the recipe that erases them."""
    if scale == "paper":
        raise ValueError(f"nobody published mixmask.{title}; use scale=small")
    masks = mixmask.Config(pattern="given", given=(masker,), partners="derangement")
    return small.small(title, scale, maskers=(masks,))
