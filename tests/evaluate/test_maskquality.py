import math

import numpy as np
import pytest
import torch
from tests.evaluate.scene_sets import scenes
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.evaluate import maskquality, segments
from masquerade.evaluate.maskquality import Hard


def soft(*shape: int, name: str = "masks") -> Tensor:
    return torch.rand(*shape, generator=Seed(0).fold(name).generator())


def square(size: int, top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


def exact(count: int, size: int = 16, name: str = "exact") -> ImageSet:
    """Grey images with a bright 6 x 6 object (1) and clutter (2) in the mask."""
    places = torch.randint(0, size - 6, (count, 2), generator=Seed(0).fold(name).generator())
    mask = np.zeros((count, size, size), np.uint8)
    for i, (top, left) in enumerate(places.tolist()):
        mask[i, 0, :] = 2
        mask[i, top : top + 6, left : left + 6] = 1
    pixels = np.where(mask == 1, 200, 50).astype(np.uint8)[..., None]
    return ImageSet(name, pixels, targets={"mask": mask})


@pytest.mark.parametrize("hard", [0.3, 0.5, "argmax"])
def test_iou_is_the_count_of_pixels(hard: Hard) -> None:
    masks, truth = soft(5, 3, 7, 6), soft(5, 7, 6, name="truth") > 0.6
    found = maskquality.mask_iou(masks, truth, hard)
    for b in range(5):
        for n in range(3):
            both = either = 0
            for y in range(7):
                for x in range(6):
                    pixel = masks[b, :, y, x]
                    hit = int(pixel.argmax()) == n if hard == "argmax" else bool(pixel[n] >= hard)
                    both += hit and bool(truth[b, y, x])
                    either += hit or bool(truth[b, y, x])
            assert float(found[b, n]) == pytest.approx(both / either)


def test_an_image_without_an_object_counts_for_nothing() -> None:
    masks = torch.stack([square(8, 2, 2, 4), square(8, 0, 0, 8)])[:, None].float()
    truth = torch.stack([square(8, 2, 2, 4), square(8, 0, 0, 0)])
    found = maskquality.mask_iou(masks, truth)[:, 0].tolist()
    assert found[0] == 1
    assert math.isnan(found[1])
    assert maskquality.choose(masks, truth, (0.5,)).iou == 1


def test_a_mask_that_hides_nothing_scores_nothing() -> None:
    assert maskquality.mask_iou(torch.zeros(1, 1, 8, 8), square(8, 2, 2, 4)[None]).item() == 0


def test_equally_strong_masks_share_no_pixel() -> None:
    hidden = maskquality.harden(torch.full((1, 3, 4, 4), 0.2), "argmax")
    assert hidden[:, 0].all()
    assert not hidden[:, 1:].any()


def test_the_choice_finds_the_slot_and_the_threshold() -> None:
    truth = torch.stack([square(12, i, i, 5) for i in range(6)])
    masks = 0.15 * soft(6, 4, 12, 12)
    masks[:, 0] = 0.9  # strongest everywhere, and says nothing
    masks[:, 2] += 0.25 * truth
    choice = maskquality.choose(masks, truth)
    assert choice == (2, 0.2, 1.0)


def test_a_single_mask_is_never_hardened_by_argmax() -> None:
    choice = maskquality.choose(torch.full((2, 1, 8, 8), 0.05), torch.ones(2, 8, 8).bool())
    assert choice.hard != "argmax"


def test_a_choice_needs_objects() -> None:
    with pytest.raises(ValueError, match="no image shows one"):
        maskquality.choose(soft(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool))


def test_the_best_square_is_the_best_of_all_sides() -> None:
    truth = torch.stack([square(11, 3, 2, 6), square(11, 4, 4, 5), square(11, 0, 0, 3)])
    best, value = 0, -1.0
    for side in range(1, 12):
        start = (11 - side) // 2
        one = square(11, start, start, side)
        each = [float((one & t).sum()) / float((one | t).sum()) for t in truth]
        if sum(each) / 3 > value:
            best, value = side, sum(each) / 3
    assert maskquality.best_square(truth) == best


def test_exact_masks_follow_the_image_into_its_frame() -> None:
    source = exact(4)
    rows = np.arange(4)
    same = maskquality.objects(source, rows, 16)
    assert np.array_equal(same.numpy(), source.targets["mask"] == 1)  # clutter is no object
    small = maskquality.objects(source, rows, 8).double().mean() / same.double().mean()
    assert float(small) == pytest.approx(1, abs=0.3)
    with pytest.raises(ValueError, match="no exact masks"):
        maskquality.objects(ImageSet("bare", source.pixels), rows, 16)


def test_what_is_chosen_on_training_images_is_measured_on_others() -> None:
    train, test = exact(30), exact(20, name="others")

    def propose(images: Tensor) -> Tensor:
        bright = (images[:, 0] > 0).float()
        return torch.stack([0.3 * (1 - bright), 0.3 * bright], dim=1)

    report = maskquality.measure(
        propose, train, {"test": test}, size=16, mean=(0.4,), std=(0.2,), images=25
    )
    assert report.choice.slot == 1
    assert report.metrics["train/iou"] == report.metrics["test/iou"] == 1
    assert report.tests["test"].each.tolist() == [1.0] * 20
    truth = maskquality.objects(train, np.linspace(0, 29, 25).astype(int), 16)
    side = maskquality.best_square(truth)
    assert report.side == side / 16
    middle = maskquality.centred_square(16, side)
    objects = torch.from_numpy(test.targets["mask"] == 1)
    each = [float((middle & t).sum()) / float((middle | t).sum()) for t in objects]
    assert report.metrics["test/square"] == pytest.approx(sum(each) / 20)


def test_all_masks_together_are_measured_as_a_segmentation() -> None:
    train, test = exact(30), exact(20, name="others")

    def perfect(images: Tensor) -> Tensor:
        """The object bright, the clutter not told from the ground."""
        bright = (images[:, 0] > 0).float()
        return torch.stack([1 - bright, bright], dim=1)

    report = maskquality.measure(perfect, train, {"test": test}, size=16, mean=(0.4,), std=(0.2,))
    labels = torch.from_numpy(test.targets["mask"].astype(np.int64))
    scores = segments.scores((labels == 1).long(), labels)
    for name, value in scores.means().items():
        assert report.metrics[f"test/{name}"] == pytest.approx(value)
    side = round(report.side * 16)
    middle = maskquality.centred_square(16, side).long().expand_as(labels)
    plain = segments.scores(middle, labels).means()
    assert report.metrics["test/square_ari"] == pytest.approx(plain["ari"])
    published = maskquality.measure(
        perfect, train, {"test": test}, size=16, mean=(0.4,), std=(0.2,), compat="adios"
    )
    assert published.metrics["test/ari"] != report.metrics["test/ari"]
    assert "test/ari_fg" not in published.metrics  # one object is left


def test_scenes_are_measured_by_all_their_objects_and_the_background_is_one() -> None:
    train, test = scenes(12, "one"), scenes(9, "two")

    def propose(images: Tensor) -> Tensor:
        red, blue = (images[:, c] - images[:, 1] > 0.3 for c in (0, 2))
        return torch.stack([(~red & ~blue).float(), red.float(), blue.float()], dim=1)

    told = {"size": 32, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    found = maskquality.measure(propose, train, {"test": test}, **told)  # type: ignore[arg-type]
    assert test.dense is not None
    truth = test.dense.instances(np.arange(9)).long()
    said = segments.segments(propose(plain_of(test)))
    each = segments.scores(said, truth).means()
    assert found.tests["test"].together == pytest.approx(each)
    assert found.tests["test"].iou < 1  # red or blue, not both
    official = maskquality.measure(propose, train, {"test": test}, compat="adios", **told)  # type: ignore[arg-type]
    merged = torch.where(truth > 0, truth - 1, 0)  # the background shares the first object's label
    each = segments.scores(said, merged).means()
    assert official.tests["test"].together == pytest.approx(each)


def test_sets_without_masks_say_where_there_are_some() -> None:
    boxes = scenes(3, masks=False)
    assert not maskquality.measurable(boxes)
    assert maskquality.measurable(scenes(3))
    with pytest.raises(ValueError, match="toybox, scenes and clevr have"):
        maskquality.things(boxes, np.arange(3), 32)


def plain_of(images: ImageSet) -> Tensor:
    return plain(
        images.read(range(len(images))),
        images.extents(range(len(images))),
        32,
        (0.5,) * 3,
        (0.25,) * 3,
    )
