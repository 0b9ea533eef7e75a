from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import embedding
from masquerade.evaluate.base import Result
from masquerade.evaluate.embedding import Config
from masquerade.evaluate.frozen import Frozen

Tinted = Callable[..., ImageSet]


@pytest.fixture
def result(pixels: Frozen, tinted: Tinted) -> Result:
    config = Config(images=50, queries=4, neighbours=3, thumbnail=16)
    return config.build().run(pixels, tinted(60), {}, Seed(0))


def test_no_label_is_needed(pixels: Frozen, tinted: Tinted) -> None:
    bare = ImageSet("bare", tinted(20).pixels)
    result = Config().build().run(pixels, bare, {}, Seed(0))
    assert set(result.arrays["labels"]) == {-1}
    assert result.notes[0] == "map of all 20 images of bare, backbone features"
    assert set(result.metrics) == {"std", "rankme", "uniformity"}


def test_the_arrays_belong_to_each_other(result: Result, tinted: Tinted) -> None:
    images, arrays = tinted(60), result.arrays
    assert arrays["map"].shape == (50, 2)
    assert np.abs(arrays["map"]).max() == pytest.approx(1)
    assert len(set(arrays["rows"].tolist())) == 50
    assert arrays["labels"].tolist() == images.targets["label"][arrays["rows"]].tolist()
    assert arrays["classes"].tolist() == ["blue", "green", "red"]
    assert arrays["thumbnails"].shape == (50, 16, 16, 3)
    assert arrays["thumbnails"].dtype == np.uint8
    small = embedding.thumbnails(images, 8).numpy()
    assert np.abs(small.astype(int) - images.pixels).max() <= 1


def test_neighbours_are_the_nearest_by_cosine_and_never_the_query(
    result: Result, pixels: Frozen, tinted: Tinted
) -> None:
    arrays = result.arrays
    unit = normalize(pixels.features(tinted(60).subset(arrays["rows"])), dim=1).numpy()
    rows = zip(arrays["queries"], arrays["neighbours"], arrays["similarity"], strict=True)
    for query, neighbours, similarity in rows:
        cosine = {i: float(unit[query] @ unit[i]) for i in range(50) if i != query}
        nearest = sorted(cosine, key=lambda i: -cosine[i])[:3]
        assert neighbours.tolist() == nearest
        np.testing.assert_allclose(similarity, [cosine[i] for i in nearest], atol=1e-5)


def test_classes_that_lie_apart_stay_apart_on_the_map(result: Result) -> None:
    place, labels = result.arrays["map"], result.arrays["labels"]
    centres = np.stack([place[labels == c].mean(0) for c in range(3)])
    distance = np.linalg.norm(place[:, None] - centres, axis=2)
    assert (distance.argmin(1) == labels).mean() > 0.95


def test_equal_seeds_give_equal_arrays_and_others_do_not(pixels: Frozen, tinted: Tinted) -> None:
    run = Config(images=30, queries=4).build().run
    first, again, other = (run(pixels, tinted(60), {}, Seed(s)).arrays for s in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["rows"], other["rows"])


def test_the_first_test_set_is_shown(pixels: Frozen, tinted: Tinted) -> None:
    tests = {"test": tinted(12, name="new"), "seen": tinted(15, name="seen")}
    arrays = Config().build().run(pixels, tinted(), tests, Seed(0)).arrays
    assert len(arrays["map"]) == 12


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9])
def test_few_images_have_a_map_too(count: int, pixels: Frozen, tinted: Tinted) -> None:
    arrays = Config().build().run(pixels, tinted(count), {}, Seed(0)).arrays
    assert arrays["map"].shape == (count, 2)
    assert np.isfinite(arrays["map"]).all()
    assert arrays["neighbours"].shape == (min(8, count), min(6, count - 1))


def test_equal_embeddings_lie_in_the_middle_of_the_map() -> None:
    assert np.abs(embedding.mapped(torch.ones(20, 5), Seed(0))).max() < 1e-3


def test_embeddings_on_a_line_have_a_map() -> None:
    signs = torch.tensor([[1.0], [-1.0]]).repeat(10, 1)
    assert np.isfinite(embedding.mapped(signs, Seed(0))).all()


def test_grey_and_many_channels_have_pictures(tinted: Tinted) -> None:
    pixels = tinted(5).pixels
    assert embedding.thumbnails(ImageSet("grey", pixels[..., :1]), 8).shape == (5, 8, 8, 1)
    many = ImageSet("many", np.concatenate([pixels, pixels], axis=3))
    assert embedding.thumbnails(many, 8).shape == (5, 8, 8, 3)


def test_a_single_image_is_refused(pixels: Frozen, tinted: Tinted) -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        Config().build().run(pixels, tinted(1), {}, Seed(0))
