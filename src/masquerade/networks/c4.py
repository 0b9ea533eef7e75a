"""Faster and Mask R-CNN on a ResNet in the C4 form: one map of stride 16, the last stage per box.

Ren et al., "Faster R-CNN", 2015, https://arxiv.org/abs/1506.01497; He et al., "Mask R-CNN", 2017,
https://arxiv.org/abs/1703.06870; as MoCo's detection code sets it up for torchvision's parts
(papers/mixmask.md, section 7): an extra batch norm after the last stage, aligned RoIAlign.

Note:
    torchvision's box losses are smooth L1 with beta 1/9, where detectron2 has beta 0, which is L1.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection import generalized_rcnn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import roi_align

from masquerade.core.types import precise
from masquerade.networks.backbone import Backbone

PARTS = ("conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4")
POOLED = 14  # side of what is cut out for a box; the last stage halves it


class Shape(NamedTuple):
    """How large a detector's images, anchors and samples are.

    Attributes:
        shorter: Sides that the shorter side of an image is brought to in training, one drawn for
            each image; the last of them in measuring.
        longest: The longer side is at most so long.
        anchors: Sides of the anchors, in pixels of the resized image.
        rois: Proposals of each image that the box head is trained on, a quarter of them hits.
        proposals: Proposals of each image that are kept in measuring; twice as many in training.
    """

    shorter: tuple[int, ...]
    longest: int
    anchors: tuple[int, ...]
    rois: int = 512
    proposals: int = 1000


class Trunk(nn.Module):
    """A ResNet up to its third stage, as torchvision's detectors want a backbone."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        act = "act1" if hasattr(body, "act1") else "relu"
        names = ("conv1", "bn1", act, *PARTS[2:-1])
        self.stages = nn.Sequential(OrderedDict((n, body.get_submodule(n)) for n in names))
        self.out_channels = channels

    def forward(self, images: Float[Tensor, "B C H W"]) -> dict[str, Float[Tensor, "B D h w"]]:
        """The map of the third stage, in float32: anchors take its dtype, too."""
        return {"0": precise(self.stages(images))}


class Cut(nn.Module):
    """RoIAlign as in detectron2: aligned, as many samples as a box has pixels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(
        self,
        maps: dict[str, Float[Tensor, "B D h w"]],
        boxes: list[Float[Tensor, "_ 4"]],
        sizes: list[tuple[int, int]],
    ) -> Float[Tensor, "R D 14 14"]:
        """What lies in each box."""
        found: Tensor = roi_align(maps["0"], boxes, POOLED, 1 / self.stride, 0, aligned=True)
        return found


class LastStage(nn.Module):
    """The ResNet's last stage on what was cut out, and a batch norm."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.layer4 = body.get_submodule("layer4")
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, cut: Float[Tensor, "R D 14 14"]) -> Float[Tensor, "R E 7 7"]:
        """Maps of each box, for its mask."""
        found: Tensor = self.norm(self.layer4(cut))
        return found


class Averaged(nn.Module):
    """The mean over places of what the last stage gives, for the class and the box."""

    def __init__(self, stage: LastStage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, cut: Float[Tensor, "R D 14 14"]) -> Float[Tensor, "R E"]:
        """Features of each box."""
        found: Tensor = self.stage(cut).mean((2, 3))
        return found


def detector(
    backbone: Backbone, classes: int, shape: Shape, masks: bool
) -> generalized_rcnn.GeneralizedRCNN:
    """A detector whose trunk and last stage are those of a backbone.

    Args:
        backbone: A ResNet of timm or torchvision; its modules are used, not copied.
        classes: Without the background.
        shape: Sizes.
        masks: Whether boxes get masks.

    Raises:
        ValueError: The backbone is no ResNet.
    """
    body = backbone.body
    have = {name for name, _ in body.named_children()}
    if not set(PARTS) <= have:
        raise ValueError(
            f"{backbone.config.name} has no C4 form: only ResNets have the stages that it is made "
            "of. Train another backbone, or measure with segment"
        )
    narrow, wide, stride = measured(body, backbone)
    trunk, stage = Trunk(body, narrow), LastStage(body, wide)
    anchors = AnchorGenerator((shape.anchors,), ((0.5, 1.0, 2.0),))
    proposing = RegionProposalNetwork(
        anchors,
        RPNHead(narrow, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 12 * shape.proposals, "testing": 6 * shape.proposals},
        post_nms_top_n={"training": 2 * shape.proposals, "testing": shape.proposals},
        nms_thresh=0.7,
    )
    heads = RoIHeads(
        Cut(stride),
        Averaged(stage),
        FastRCNNPredictor(wide, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=shape.rois,
        positive_fraction=0.25,
        bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=100,
        mask_roi_pool=Cut(stride) if masks else None,
        mask_head=stage if masks else None,
        mask_predictor=MaskRCNNPredictor(wide, 256, classes + 1) if masks else None,
    )
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    sizes: Sequence[int] = shape.shorter
    transform = GeneralizedRCNNTransform(sizes, shape.longest, mean, std, size_divisible=stride)
    return generalized_rcnn.GeneralizedRCNN(trunk, proposing, heads, transform)


@torch.no_grad()
def measured(body: nn.Module, backbone: Backbone) -> tuple[int, int, int]:
    """Channels of the third and of the last stage, and the pixels from place to place in the third.

    Looked at on an image large enough that rounding cannot tell.
    """
    training = body.training
    blank = torch.zeros(1, backbone.channels, 256, 256)
    third = Trunk(body.eval(), 0)(blank)["0"]
    last: Tensor = body.get_submodule("layer4")(third)
    body.train(training)
    return third.shape[1], last.shape[1], round(256 / third.shape[2])
