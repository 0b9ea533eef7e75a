"""ImageSet and Loader: what is read is what is there, by step, by rank, by subset."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.data import order
from masquerade.data.images import ImageSet
from masquerade.data.loader import Loader

SHAPE = (20, 4, 6, 3)
PIXELS = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8)
LABELS = np.arange(20) % 3


def some(folder: Path | None = None) -> ImageSet:
    extent = np.full((20, 2), (4, 6), np.int32)
    extent[3] = (2, 5)
    return ImageSet(
        "some",
        PIXELS,
        extent=extent,
        targets={"label": LABELS, "mask": PIXELS[..., 0]},
        classes=("a", "b", "c"),
        files=tuple(f"{i}.png" for i in range(20)),
        folder=folder,
    )


def test_read_gives_channels_first_of_the_rows_asked() -> None:
    read = some().read([5, 2])
    assert read.shape == (2, 3, 4, 6) and read.dtype == torch.uint8
    assert (read[0].permute(1, 2, 0).numpy() == PIXELS[5]).all()
    read.zero_()  # a copy
    assert (some().read([5])[0].permute(1, 2, 0).numpy() == PIXELS[5]).all()


def test_a_subset_of_a_subset_keeps_columns_beside_their_pixels() -> None:
    part = some().subset([9, 3, 7, 1]).subset(np.array([2, 1]), "part")
    assert part.name == "part" and len(part) == 2 and part.files == ("7.png", "3.png")
    assert (part.pixels == PIXELS[[7, 3]]).all()
    assert (part.read([0, 1]).permute(0, 2, 3, 1).numpy() == PIXELS[[7, 3]]).all()
    assert part.extents([0, 1]).tolist() == [[4, 6], [2, 5]]
    assert (part.targets["mask"] == PIXELS[[7, 3], ..., 0]).all()
    assert part.labels is not None and part.labels.tolist() == [1, 0]


def test_a_boolean_subset_picks_where_true_and_bad_indices_are_refused() -> None:
    assert some().subset(LABELS == 1).files[:2] == ("1.png", "4.png")
    for bad in ([20], [-1]):
        with pytest.raises(IndexError, match="for 20 images"):
            some().read(bad)


def test_extents_are_the_canvas_where_none_are_given() -> None:
    assert ImageSet("x", PIXELS).extents([0, 1]).tolist() == [[4, 6], [4, 6]]


def test_labels_are_none_when_no_image_has_one() -> None:
    none = ImageSet("x", PIXELS, targets={"label": np.full(20, -1)})
    assert none.labels is None and ImageSet("x", PIXELS).labels is None


def test_digests_see_the_image_not_its_padding_nor_its_set(tmp_path: Path) -> None:
    whole = some(tmp_path)
    first = whole.digests()
    assert len(set(first)) == 20 and (tmp_path / "digests.txt").exists()
    assert whole.digests() == first
    assert whole.subset([4, 3]).digests() == [first[4], first[3]]
    cropped = ImageSet("x", np.ascontiguousarray(PIXELS[3:4, :2, :5]))
    assert cropped.digests() == [first[3]]


def test_statistics_are_those_of_the_pixels_inside_the_extent() -> None:
    mean, std = some().statistics()
    inside = [PIXELS[i] if i != 3 else PIXELS[3, :2, :5] for i in range(20)]
    values = np.concatenate([p.reshape(-1, 3) for p in inside]) / 255
    assert np.allclose(mean, values.mean(0)) and np.allclose(std, values.std(0))
    flat = ImageSet("flat", np.zeros((3, 2, 2, 1), np.uint8)).statistics()
    assert flat == ((0.0,), (1 / 255,))


def test_sixteen_bits_stay() -> None:
    deep = ImageSet("deep", np.full((2, 3, 3, 5), 40_000, np.uint16))
    assert deep.read([1]).dtype == torch.uint16 and deep.channels == 5
    assert deep.statistics()[0] == pytest.approx((40_000 / 65535,) * 5)


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3, 1))])
def test_pixels_of_another_kind_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8 or uint16"):
        ImageSet("x", bad)


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="label has 3 rows for 20 images"):
        ImageSet("x", PIXELS, targets={"label": np.zeros(3, np.int64)})


def test_a_step_reads_its_indices_in_any_order_of_asking() -> None:
    with Loader(some(), 6, Seed(5), "cpu") as loader:
        assert loader.steps_per_epoch == 3
        for step in (0, 1, 2, 7, 3, 3, 0):
            batch = loader.batch_at(step)
            drawn = order.indices(step, length=20, batch=6, seed=Seed(5))
            assert batch.indices.tolist() == drawn.tolist()
            assert (batch.images.permute(0, 2, 3, 1).numpy() == PIXELS[drawn]).all()
            assert batch.labels is not None and batch.labels.tolist() == LABELS[drawn].tolist()


@given(st.sampled_from([1, 2, 3, 4, 6]), st.integers(0, 20))
def test_ranks_share_the_batch_without_overlap(world: int, step: int) -> None:
    parts = []
    for rank in range(world):
        with Loader(some(), 12, Seed(0), "cpu", rank, world, ahead=0) as loader:
            parts.append(loader.batch_at(step).indices)
    whole = order.indices(step, length=20, batch=12, seed=Seed(0))
    assert torch.cat(parts).tolist() == whole.tolist()


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="batch=5 cannot be shared equally by 2 processes"):
        Loader(some(), 5, Seed(0), "cpu", 0, 2)


def test_what_goes_wrong_while_reading_ahead_is_raised_where_it_is_asked_for() -> None:
    class Broken(ImageSet):
        def read(self, indices: object) -> torch.Tensor:
            raise OSError("disk gone")

    with Loader(Broken("x", PIXELS), 4, Seed(0), "cpu") as loader, pytest.raises(OSError):
        loader.batch_at(0)


def test_a_mapped_set_goes_to_another_process_as_the_place_of_its_file(tmp_path):
    made = np.memmap(tmp_path / "pixels.bin", "uint8", "w+", shape=(500, 8, 8, 3))
    made[:] = np.arange(500)[:, None, None, None] % 251
    labels = {"label": np.arange(500) % 3}
    whole = ImageSet("mapped", made, targets=labels, classes=("a", "b", "c"))
    part = whole.subset(range(3, 500, 50))
    for images in (whole, part):
        packed = pickle.dumps(images)
        assert len(packed) < 25_000 < made.nbytes
        again = pickle.loads(packed)
        assert (again.pixels == images.pixels).all()
        assert again.classes == images.classes and again.name == images.name
    in_memory = ImageSet("memory", np.array(made[:2]))
    assert (pickle.loads(pickle.dumps(in_memory)).pixels == made[:2]).all()
    view = ImageSet("view", made[4:6])
    assert (pickle.loads(pickle.dumps(view)).pixels == made[4:6]).all()
