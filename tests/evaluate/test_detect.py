"""Detection: the C4 form, what a detector learns from, and one that learns to find rectangles."""

import pytest
import torch
from tests.evaluate.scene_sets import CLASSES, Drawn, encoder, scenes
from torchvision.ops import roi_align

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources import scenes as scenes_source
from masquerade.engine.optimizers import adamw
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import dense, detect, outlines
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.frozen import Frozen
from masquerade.jobs.evaluate import Evaluate
from masquerade.networks import backbone, c4

SHAPE = c4.Shape((32,), 64, (8, 16), rois=16, proposals=20)
QUICK = detect.Config(
    epochs=1,
    batch=4,
    anchors=(8, 12, 16),
    rois=16,
    proposals=20,
    optimizer=adamw.Config(lr=3e-3, schedule=Schedule(warmup=0)),
)


def test_the_network_is_the_backbone_up_to_its_third_stage_and_its_last_stage_for_each_box():
    body = encoder()
    network = c4.detector(body, 2, SHAPE, masks=True).eval()
    images = torch.randn(2, 3, 32, 32)
    third = body.maps(images)[3]
    torch.testing.assert_close(network.backbone(images)["0"], third)
    some = [torch.tensor([[2.0, 3.0, 20.0, 25.0]]), torch.zeros(0, 4)]
    cut = network.roi_heads.box_roi_pool({"0": third}, some, [(32, 32)] * 2)
    stride = 32 // third.shape[2]
    assert torch.equal(cut, roi_align(third, some, 14, 1 / stride, 0, aligned=True))
    head = network.roi_heads.box_head.stage
    assert head is network.roi_heads.mask_head
    last = body.body.get_submodule("layer4")(cut)
    torch.testing.assert_close(head(cut), head.norm(last))
    assert last.shape[2:] == (7, 7)
    assert network.roi_heads.mask_predictor(head(cut)).shape == (1, 3, 14, 14)
    assert torch.equal(network.roi_heads.box_head(cut), head(cut).mean((2, 3)))


def test_only_resnets_have_that_form():
    config = backbone.Config(name="vit_tiny_patch16_224", options={"depth": 1, "patch_size": 4})
    vit = config.build(16, 3, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match="only ResNets"):
        c4.detector(vit, 2, SHAPE, masks=False)


def test_a_flip_takes_boxes_and_masks_along_and_crowds_are_left_out():
    images = scenes(3)
    assert images.dense is not None
    objects = images.dense.objects(0)
    plain, there = outlines.example(images, 0, False, 2, False)
    turned, flipped = outlines.example(images, 0, True, 2, True)
    assert torch.equal(turned, plain.flip(2))
    assert torch.equal(there["labels"], objects.labels + 1)
    assert objects.masks is not None
    for k, (left, top, right, bottom) in enumerate(flipped["boxes"].tolist()):
        own = there["boxes"][k].tolist()
        assert (left, top, right, bottom) == (32 - own[2], own[1], 32 - own[0], own[3])
        assert torch.equal(flipped["masks"][k].bool(), objects.masks[k].flip(1))
    crowd = objects._replace(crowd=torch.ones(len(objects.labels), dtype=torch.bool))
    hidden = ImageSet("crowd", images.pixels[:1], dense=Drawn([crowd], (32, 32)), classes=CLASSES)
    assert outlines.example(hidden, 0, False, 2, False)[1]["boxes"].shape == (0, 4)
    assert outlines.exact(hidden, 0, 2, False).crowd.all()


@pytest.mark.slow
def test_rectangles_are_found_by_a_network_that_saw_others():
    warm = Schedule(warmup=1, start=0, per="step")
    config = QUICK.replace(epochs=30, agnostic=True, optimizer=adamw.Config(lr=2e-3, schedule=warm))
    found = config.build().run(
        Frozen.of(encoder()), scenes(24), {"test": scenes(8, "new")}, Seed(0)
    )
    assert found.metrics["test/ap50"] > 0.3
    assert found.notes[0].startswith("Faster R-CNN, C4, all trained, 24 images, 30 epochs")


def test_masks_and_coco_and_a_frozen_trunk():
    config, given = QUICK.replace(masks=True, metric="coco", frozen=True), Frozen.of(encoder())
    before = {n: t.clone() for n, t in given.encoder.state_dict().items()}
    found = config.build().run(given, scenes(8), {"test": scenes(4, "new")}, Seed(0))
    assert all(torch.equal(t, before[n]) for n, t in given.encoder.state_dict().items())
    assert {"test/ap", "test/mask_ap", "test/ap50", "test/mask_ap50"} <= set(found.metrics)
    task = detect.untrained(config, dense.Job(encoder(), scenes(4), {}), Seed(0))
    trained = {id(p) for group in task.players()["encoder"] for p in group.params}
    assert not trained & {id(p) for p in task.network.backbone.parameters()}
    assert {id(p) for p in task.network.roi_heads.parameters()} <= trained


def test_bfloat16_learns_from_exact_boxes():
    given = Frozen.of(encoder(), bf16=True)
    config = QUICK.replace(masks=True, metric="coco")
    found = config.build().run(given, scenes(8), {"test": scenes(4, "new")}, Seed(0))
    assert 0 <= found.metrics["test/ap"] <= 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = c4.detector(encoder(), 2, SHAPE, masks=False).backbone(torch.randn(1, 3, 32, 32))
    assert maps["0"].dtype == torch.float32  # what anchors are made in


def test_the_published_settings():
    voc, coco = detect.voc(), detect.coco()
    assert voc.shape(800).shorter == (*range(480, 800, 32), 800)
    assert (voc.metric, voc.masks, coco.metric, coco.masks) == ("voc07", False, "coco", True)
    assert coco.optimizer.schedule.drops == (8, 11)


def test_mistakes_are_answered():
    frozen, images = Frozen.of(encoder()), scenes(4)
    with pytest.raises(Unlabelled, match="detect needs boxes to learn from, and bare has none"):
        QUICK.build().run(frozen, ImageSet("bare", images.pixels), {}, Seed(0))
    with pytest.raises(Unlabelled, match="detect needs masks"):
        config = QUICK.replace(masks=True, metric="coco")
        config.build().run(frozen, scenes(4, masks=False), {}, Seed(0))
    assert images.dense is not None
    objects = images.dense.objects(0)
    flat = objects._replace(boxes=objects.boxes * torch.tensor([1, 1, 0, 1]))
    wrong = objects._replace(labels=objects.labels + 5)
    for broken, text in ((flat, "has a box without area"), (wrong, "has an object of class")):
        dense = Drawn([broken], (32, 32))
        one = ImageSet("one", images.pixels[:1], dense=dense, classes=CLASSES)
        with pytest.raises(ValueError, match=text):
            outlines.example(one, 0, False, 2, False)
    with pytest.raises(ValueError, match="VOC 2007 judges boxes only"):
        detect.Config(masks=True)
    with pytest.raises(ValueError, match="anchors"):
        detect.Config(anchors=())


def test_settings_can_be_typed_as_the_documentation_prints_them():
    plain = Evaluate(data=scenes_source.Config(), protocols={"detect": detect.Config()})
    told = plain.with_words(["detect.side=96", "detect.anchors=16,24,32,48", "tests=val"])
    config = told.protocols["detect"]
    assert isinstance(config, detect.Config)
    assert (config.side, config.anchors, told.tests) == (96, (16, 24, 32, 48), ("val",))
