"""Lines and sharpness of functions whose landscapes are known."""

import pytest
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.networks import backbone
from masquerade.tickets.landscape import line, of_module, of_problem, plane, sharpness
from masquerade.tickets.problems import cartpole

ALL = torch.ones(5, dtype=torch.bool)


def hills(population):
    """Two equal hills at -1 and 1 of every axis, a valley of depth 1 between them."""
    return -((population.square() - 1) ** 2).mean(dim=1)


def bowl(population):
    return 3 - population.square().sum(dim=1)


def test_the_barrier_is_the_depth_of_the_valley_below_the_straight_line():
    found = line(hills, -torch.ones(5), torch.ones(5))
    assert found.barrier == pytest.approx(1)
    assert found.score[[0, -1]].abs().max() < 1e-6 and found.share[5] == 0.5
    slope = line(lambda p: p[:, 0], torch.zeros(5), torch.ones(5))
    assert slope.barrier == pytest.approx(0, abs=1e-6)
    tilted = line(lambda p: hills(p) + p[:, 0], -torch.ones(5), torch.ones(5))
    assert tilted.barrier == pytest.approx(1)


def test_a_ridge_has_no_barrier():
    assert line(bowl, torch.ones(5), -torch.ones(5)).barrier == 0


def test_the_drop_of_a_bowl_is_the_square_of_the_step():
    weights = torch.tensor([1.0, 0, 0, 0, 0])
    scored = lambda p: -(p - weights).square().sum(dim=1)  # noqa: E731
    found = sharpness(scored, weights, ALL, Seed(0), radius=0.5, directions=4)
    assert found.curvature == pytest.approx(0.25, rel=1e-4)
    for share, drop in found.drop.items():
        assert drop == pytest.approx(0.25 * share**2, rel=1e-4)
    assert found.score.shape == (4, 21)


def test_directions_leave_pruned_weights_alone():
    kept = torch.tensor([True, False, True, True, False])
    seen = []
    weights = kept.float()

    def scored(population):
        seen.append(population)
        return bowl(population)

    sharpness(scored, weights, kept, Seed(1), directions=3)
    table = torch.cat(seen)
    assert (table[:, ~kept] == 0).all() and (table[:, kept].std(dim=0) > 0).all()
    away = (seen[0][-1] - weights).norm()
    assert float(away) == pytest.approx(0.5 * float(weights.norm()), rel=1e-5)


def test_a_plane_has_the_optimum_in_the_middle():
    peak = torch.arange(1.0, 6)
    scored = lambda p: -(p - peak).square().sum(dim=1)  # noqa: E731
    grid = plane(scored, peak, ALL, Seed(2), points=5)
    assert grid.shape == (5, 5) and grid.argmax() == 12


def test_a_module_is_scored_with_other_weights_and_gets_its_own_back():
    module = nn.Linear(2, 1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    own, learned, scored = of_module(module, lambda m: -float(m(torch.ones(2)).detach().square()))
    assert learned.tolist() == [True] * 3
    found = line(scored, own, torch.zeros(3), points=3)
    assert found.score[-1] == 0
    assert float(found.score[0]) == pytest.approx(-float(module(torch.ones(2)).detach() ** 2))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_two_encoders_are_the_ends_of_a_line_batch_norm_included():
    size = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    images = torch.randn(8, 3, 32, 32, generator=Seed(0).generator())
    target = torch.randn(8, 16, generator=Seed(1).generator())

    def near(module):
        with torch.no_grad():
            return -float((module(images) - target).square().mean())

    ends = []
    for passes in (1, 3):
        torch.manual_seed(passes)
        encoder = backbone.Config(options=size).build(32, 3, (0.5,) * 3, (0.25,) * 3)
        for _ in range(passes):
            encoder.train()(images * passes)  # its statistics, and not the weights, move
        encoder.eval()
        ends.append((near(encoder), of_module(encoder, near)))
    (first, one), (second, other) = ends
    found = line(one.score, one.weights, other.weights, points=3)
    assert float(found.score[0]) == pytest.approx(first, rel=1e-5)
    assert float(found.score[-1]) == pytest.approx(second, rel=1e-5)
    around = sharpness(
        one.score, one.weights, one.learned, Seed(0), directions=2, points=3, at=(1.0,)
    )
    assert around.score[:, 1].tolist() == pytest.approx([first] * 2, rel=1e-5)
    assert not one.learned.all() and around.drop[1.0] != 0


def test_a_problem_is_a_landscape():
    problem = cartpole.Config(horizon=20, test_episodes=2).build(torch.device("cpu"))
    one, two = problem.start(Seed(0)), problem.start(Seed(1))
    found = line(of_problem(problem, {}), one, two, points=3)
    assert float(found.score[0]) == float(problem.test(one[None], {})[0])


@pytest.mark.parametrize(("points", "said"), [(2, "3 points or more"), (4, "odd number")])
def test_too_few_points_are_refused(points, said):
    with pytest.raises(ValueError, match=said):
        if points == 2:
            line(bowl, torch.zeros(5), torch.ones(5), points)
        else:
            sharpness(bowl, torch.ones(5), ALL, Seed(0), points=points)
    with pytest.raises(ValueError, match=r"0.3 is none of the 3 steps"):
        sharpness(bowl, torch.ones(5), ALL, Seed(0), points=3, at=(0.3,))
