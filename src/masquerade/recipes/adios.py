"""ADIOS: every configuration that its authors released, and the same methods in minutes.

Shi et al., "Adversarial Masking for Self-Supervised Learning", 2022.
https://arxiv.org/abs/2201.13100. The numbers are those of bash_files/training of
https://github.com/YugeTen/adios, to the last digit. The paper's own tables could not be read, so
no result of theirs stands here.
"""

from collections.abc import Mapping

from masquerade.data.sources import imagenet100, imagenet100s, stl10
from masquerade.evaluate import knn, linear
from masquerade.jobs.settings import Pretrain
from masquerade.networks import backbone
from masquerade.objectives.base import ObjectiveConfig
from masquerade.recipes import small
from masquerade.recipes.base import Cell, Recipe, Scale, Table
from masquerade.recipes.scripts import BYOL, SIMCLR, VIT, WIDE, Script, masker_of, simsiam_with

PAPER = "ADIOS, Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100"


def stl10_simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, ResNet-18, STL-10."""
    if scale != "paper":
        return _small("stl10_simclr", scale, small.SIMCLR)
    masker = masker_of(6, 128, 0.0)
    rates = 0.13234838295784523, 0.01946841419435407
    script = Script(400, 256, rates, 8.504658547335148e-05, masker)
    return script.settings("stl10_simclr", stl10.Config(), WIDE)


def stl10_byol(scale: Scale = "small") -> Pretrain:
    """BYOL against ADIOS, ResNet-18, STL-10."""
    if scale != "paper":
        return _small("stl10_byol", scale, small.BYOL)
    masker = masker_of(6, 64, 1.7193143216139353)
    rates = 0.2920279558260822, 0.09281403683825379
    script = Script(400, 128, rates, 9.912019840903654e-06, masker)
    return script.settings("stl10_byol", stl10.Config(), BYOL)


def stl10_simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam against ADIOS, ResNet-18, STL-10."""
    if scale != "paper":
        return _small("stl10_simsiam", scale, small.SIMSIAM)
    masker = masker_of(6, 32, 1.0).replace(levels=5)
    rates = 0.4436168048573669, 0.038296424016559166
    script = Script(
        400,
        128,
        rates,
        7.227625739330174e-06,
        masker,
        (0.5521874334305088, 0.4775521429505951, 0.5784474905390056, 0.2),
    )
    return script.settings("stl10_simsiam", stl10.Config(), simsiam_with("none", out=256))


def stl10_vit_simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, ViT-Tiny, STL-10."""
    if scale != "paper":
        return _small("stl10_vit_simclr", scale, small.SIMCLR, small.VIT)
    masker = masker_of(4, 32, 0.39131043617986705)
    rates = 0.102523479861102, 0.0941063568112331
    script = Script(200, 128, rates, 0.0001, masker)
    return script.settings("stl10_vit_simclr", stl10.Config(), SIMCLR, VIT)


def stl10_vit_byol(scale: Scale = "small") -> Pretrain:
    """BYOL against ADIOS, ViT-Tiny, STL-10."""
    if scale != "paper":
        return _small("stl10_vit_byol", scale, small.BYOL, small.VIT)
    masker = masker_of(6, 32, 0.8269158678071891)
    rates = 0.44397171059658247, 0.20463999909125877
    script = Script(200, 64, rates, 1e-05, masker)
    return script.settings("stl10_vit_byol", stl10.Config(), BYOL, VIT)


def stl10_vit_simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam against ADIOS, ViT-Tiny, STL-10."""
    if scale != "paper":
        return _small("stl10_vit_simsiam", scale, small.SIMSIAM, small.VIT)
    masker = masker_of(6, 16, 0.8581936366173779).replace(levels=4)
    rates = 0.2917762337709393, 0.0931682474492948
    script = Script(200, 128, rates, 1e-05, masker, (0.4, 0.4, 0.4, 0.1))
    return script.settings("stl10_vit_simsiam", stl10.Config(), simsiam_with("symmetry"), VIT)


def imagenet100s_simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, ResNet-18, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_simclr", scale, small.SIMCLR)
    masker = masker_of(4, 32, 0.9229467944410698, 0.711773255433044, norm="in")
    rates = 0.11127702230184772, 0.014515024186652984
    script = Script(500, 128, rates, 0.0001, masker)
    return script.settings("imagenet100s_simclr", imagenet100s.Config(), SIMCLR)


def imagenet100s_byol(scale: Scale = "small") -> Pretrain:
    """BYOL against ADIOS, ResNet-18, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_byol", scale, small.BYOL)
    masker = masker_of(6, 16, 0.40384562663515944)
    rates = 0.24140186236916927, 0.06599301363636853
    script = Script(500, 128, rates, 1e-05, masker, (0.4, 0.4, 0.2, 0.1))
    return script.settings("imagenet100s_byol", imagenet100s.Config(), BYOL)


def imagenet100s_simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam against ADIOS, ResNet-18, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_simsiam", scale, small.SIMSIAM)
    masker = masker_of(4, 16, 0.200319625755856, 0.2857646914017864).replace(levels=4)
    rates = 0.8470842123448166, 0.08023435854528733
    script = Script(500, 128, rates, 1e-05, masker, (0.4, 0.4, 0.4, 0.1))
    return script.settings(
        "imagenet100s_simsiam", imagenet100s.Config(), simsiam_with("both", "none")
    )


def imagenet100s_vit_simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS, ViT-Tiny, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_vit_simclr", scale, small.SIMCLR, small.VIT)
    masker = masker_of(6, 16, 0.8890717462273039)
    rates = 0.11572042971808227, 0.03340125573939769
    script = Script(300, 128, rates, 0.0001, masker)
    return script.settings("imagenet100s_vit_simclr", imagenet100s.Config(), SIMCLR, VIT)


def imagenet100s_vit_byol(scale: Scale = "small") -> Pretrain:
    """BYOL against ADIOS, ViT-Tiny, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_vit_byol", scale, small.BYOL, small.VIT)
    masker = masker_of(6, 8, 0.9517975576926448)
    rates = 0.21411127909038455, 0.32636188418935613
    script = Script(300, 128, rates, 1e-05, masker, (0.4, 0.4, 0.2, 0.1))
    return script.settings("imagenet100s_vit_byol", imagenet100s.Config(), BYOL, VIT)


def imagenet100s_vit_simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam against ADIOS, ViT-Tiny, ImageNet100-S."""
    if scale != "paper":
        return _small("imagenet100s_vit_simsiam", scale, small.SIMSIAM, small.VIT)
    masker = masker_of(4, 16, 0.7217629549008437).replace(levels=4)
    rates = 0.4968768680935606, 0.0665602736669426
    script = Script(300, 128, rates, 1e-05, masker, (0.4, 0.4, 0.4, 0.1))
    return script.settings(
        "imagenet100s_vit_simsiam", imagenet100s.Config(), simsiam_with("both"), VIT
    )


def imagenet100_simclr_s(scale: Scale = "small") -> Pretrain:
    """SimCLR against ADIOS-s, ResNet-18, ImageNet-100 at 224 px."""
    if scale != "paper":
        return _small("imagenet100_simclr_s", scale, small.SIMCLR, shown=1)
    masker = masker_of(4, 8, 0.75).replace(shown=1)
    rates = 0.18955780763100336, 0.4987622134866454
    script = Script(400, 128, rates, 0.0001, masker, (0.7, 0.6, 0.8, 0.15))
    return script.settings("imagenet100_simclr_s", imagenet100.Config(), SIMCLR)


def imagenet100_byol_s(scale: Scale = "small") -> Pretrain:
    """BYOL against ADIOS-s, ResNet-18, ImageNet-100 at 224 px."""
    if scale != "paper":
        return _small("imagenet100_byol_s", scale, small.BYOL, shown=1)
    masker = masker_of(6, 32, 1.0).replace(shown=1)
    rates = 0.8087906078374081, 0.12952098519347935
    script = Script(400, 128, rates, 1e-05, masker, (0.5, 0.2, 0.25, 0.05))
    return script.settings("imagenet100_byol_s", imagenet100.Config(), BYOL)


def imagenet100_simsiam_s(scale: Scale = "small") -> Pretrain:
    """SimSiam against ADIOS-s, ResNet-18, ImageNet-100 at 224 px."""
    if scale != "paper":
        return _small("imagenet100_simsiam_s", scale, small.SIMSIAM, shown=1)
    masker = masker_of(4, 32, 0.5).replace(levels=4, shown=1)
    rates = 0.5424648008289498, 0.4846424666121607
    script = Script(400, 128, rates, 1e-05, masker, (0.4, 0.4, 0.4, 0.1))
    return script.settings(
        "imagenet100_simsiam_s", imagenet100.Config(), simsiam_with("both", "none", "symmetry")
    )


def linear_stl10(scale: Scale = "small") -> Table:
    """The six scripts for STL-10, measured; the paper's numbers could not be read."""
    return _table(
        scale,
        "STL-10",
        {
            "ResNet-18, SimCLR": stl10_simclr,
            "ResNet-18, BYOL": stl10_byol,
            "ResNet-18, SimSiam": stl10_simsiam,
            "ViT-Tiny, SimCLR": stl10_vit_simclr,
            "ViT-Tiny, BYOL": stl10_vit_byol,
            "ViT-Tiny, SimSiam": stl10_vit_simsiam,
        },
        1.0,
    )


def linear_imagenet100s(scale: Scale = "small") -> Table:
    """The six scripts for ImageNet100-S, measured; the paper's numbers could not be read."""
    return _table(
        scale,
        "ImageNet100-S",
        {
            "ResNet-18, SimCLR": imagenet100s_simclr,
            "ResNet-18, BYOL": imagenet100s_byol,
            "ResNet-18, SimSiam": imagenet100s_simsiam,
            "ViT-Tiny, SimCLR": imagenet100s_vit_simclr,
            "ViT-Tiny, BYOL": imagenet100s_vit_byol,
            "ViT-Tiny, SimSiam": imagenet100s_vit_simsiam,
        },
        imagenet100s.OFFICIAL,
    )


def linear_imagenet100(scale: Scale = "small") -> Table:
    """The three scripts of ADIOS-s, ImageNet-100 at 224 px; their numbers could not be read."""
    rows = {
        "ResNet-18, SimCLR": imagenet100_simclr_s,
        "ResNet-18, BYOL": imagenet100_byol_s,
        "ResNet-18, SimSiam": imagenet100_simsiam_s,
    }
    return _table(scale, "ImageNet-100", rows, 224 / 256)


def _table(scale: Scale, column: str, rows: Mapping[str, Recipe], crop: float) -> Table:
    """The rows of one set of images, on toybox at the small scales."""
    paper = scale == "paper"
    sgd = linear.Config(mode="sgd", sgd=linear.Sgd(batch=128), crop=crop)
    how = {"linear": sgd, "knn": knn.Config(crop=crop)}
    stand_in = (
        "Ours: toybox (rendered objects on real photo tiles), 32 px, small networks, minutes; "
        f"in the place of {column}.",
    )
    return Table(
        "ADIOS on three objectives: linear probe on frozen features, top-1 in %",
        PAPER,
        tuple(
            Cell(
                row,
                column if paper else "things10",
                make(scale),
                how if paper else {"linear": linear.Config(), "knn": knn.Config()},
                "test" if column == "STL-10" or not paper else "val",
            )
            for row, make in rows.items()
        ),
        () if paper else stand_in,
    )


def _small(
    title: str,
    scale: Scale,
    objective: ObjectiveConfig,
    encoder: backbone.Config = small.RESNET,
    shown: int = 0,
) -> Pretrain:
    """The same method in minutes."""
    masker = small.ADIOS.replace(shown=shown)
    return small.small(title, scale, objective=objective, backbone=encoder, maskers=(masker,))
