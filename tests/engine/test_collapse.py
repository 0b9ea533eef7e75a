import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.engine import collapse
from masquerade.engine.collapse import Numbers, health, verdict


def draw(*shape: int, name: str = "z") -> Tensor:
    return torch.randn(*shape, generator=Seed(0).fold(name).generator())


def state(a: Tensor, b: Tensor | None = None) -> str:
    return verdict(health(a, b)).state


def test_embeddings_all_over_the_sphere_are_healthy() -> None:
    a = draw(256, 64)
    numbers = health(a, a + 0.3 * draw(256, 64, name="view"))
    judged = verdict(numbers)
    assert judged.healthy
    assert judged.state == "healthy"
    assert judged.text.startswith("healthy: different images get different embeddings")
    assert numbers.std == pytest.approx(1, abs=0.05)
    assert numbers.rankme > 50
    assert numbers.uniformity < -3.5


def test_one_embedding_for_all_images_is_called_collapsed_and_the_number_is_said() -> None:
    judged = verdict(health(torch.ones(64, 32) + 0.01 * draw(64, 32)))
    assert not judged.healthy
    assert judged.state == "collapsed"
    assert "std 0.01 where 1 is healthy" in judged.text


def test_exactly_equal_and_zero_embeddings_are_collapsed_without_a_warning() -> None:
    for a in (torch.ones(64, 32), torch.zeros(64, 32)):
        assert state(a, a) == "collapsed"


def test_embeddings_in_a_plane_are_called_dimensional_collapse() -> None:
    a = draw(256, 2) @ draw(2, 128, name="plane")
    judged = verdict(health(a))
    assert judged.state == "few directions"
    assert "RankMe 2 of 128" in judged.text or "RankMe 1.9" in judged.text


def test_views_as_far_apart_as_strangers_are_called_no_invariance() -> None:
    assert state(draw(256, 64), draw(256, 64, name="other")) == "no invariance"
    assert state(draw(256, 64)) == "healthy"  # one view cannot tell


def test_nan_is_called_broken() -> None:
    a = draw(64, 8)
    a[3, 4] = torch.nan
    judged = verdict(health(a))
    assert not judged.healthy
    assert judged.state == "broken"


def test_few_images_give_no_alarm() -> None:
    judged = verdict(health(torch.ones(8, 32)))
    assert judged.healthy
    assert "too few images to tell, 8 where 16 are needed" in judged.text
    with pytest.raises(ValueError, match="2 or more"):
        health(torch.ones(1, 32))


def test_numbers_come_back_from_plain_floats() -> None:
    numbers = health(draw(64, 16), draw(64, 16, name="b"))
    assert all(type(value) is float for value in numbers)
    assert verdict(Numbers(**numbers._asdict())) == verdict(numbers)


def test_half_precision_is_judged_as_float32() -> None:
    a = draw(64, 16)
    assert health(a.bfloat16()).std == pytest.approx(health(a).std, rel=0.01)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_rankme_is_the_formula_of_the_paper(shape: tuple[int, int]) -> None:
    z = draw(*shape)
    values = np.linalg.svd(z.double().numpy(), compute_uv=False)
    share = values / values.sum() + 1e-7
    want = math.exp(-sum(p * math.log(p) for p in share))
    assert float(collapse.rankme(z)) == pytest.approx(want, rel=1e-5)


def test_rankme_counts_equally_used_directions() -> None:
    assert float(collapse.rankme(torch.eye(16, 24)[:10])) == pytest.approx(10, rel=1e-3)


def test_alignment_and_uniformity_are_the_printed_sums() -> None:
    a, b = normalize(draw(9, 5), dim=1), normalize(draw(9, 5, name="b"), dim=1)
    want = sum(float(((a[i] - b[i]) ** 2).sum()) for i in range(9)) / 9
    assert float(collapse.alignment(a, b)) == pytest.approx(want, rel=1e-5)
    pairs = [(i, j) for i in range(9) for j in range(9) if i < j]
    gauss = [math.exp(-2 * float(((a[i] - a[j]) ** 2).sum())) for i, j in pairs]
    want = math.log(sum(gauss) / len(pairs))
    assert float(collapse.uniformity(a)) == pytest.approx(want, rel=1e-4)


def test_strangers_is_the_mean_squared_distance_of_different_images() -> None:
    a = normalize(draw(9, 5), dim=1)
    each = [float(((a[i] - a[j]) ** 2).sum()) for i in range(9) for j in range(9) if i != j]
    assert health(a).strangers == pytest.approx(sum(each) / len(each), rel=1e-5)
