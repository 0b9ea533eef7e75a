"""Two processes that share a population end in the bits of one."""

import pytest
import torch
from tests.tickets import members
from tests.tickets.toy import Toy

from masquerade.core.seed import Seed
from masquerade.engine.launch import launched
from masquerade.engine.runtime import Runtime
from masquerade.tickets.judge import judged


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, one start for all tests."""
    folder = tmp_path_factory.mktemp("two")
    runtime = Runtime(accelerator="cpu", devices=2, threads=1, precision="float32")
    launched(runtime, members.work, str(folder), two_players=False)
    return folder


def test_two_processes_end_in_the_bits_of_one(two):
    alone = members.found()
    for rank in (0, 1):
        together = torch.load(two / f"{rank}.pt")
        assert together.keys() == alone.keys()
        assert [name for name in alone if not torch.equal(alone[name], together[name])] == []


def test_parts_that_two_processes_cannot_share_are_refused(two):
    for rank in (0, 1):
        said = (two / f"{rank}.txt").read_text(encoding="utf-8")
        assert "parts=3 of 7 candidates cannot be shared by 2 processes" in said


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_parts_are_judged_in_order_whatever_their_number(parts):
    problem = Toy(learns=True)
    population = torch.stack([problem.start(Seed(k)) for k in range(7)])
    whole = problem.fitness(population, Seed(1), {})
    found = judged(problem, population, Seed(1), {}, parts)
    torch.testing.assert_close(found.fitness, whole.fitness)
    assert torch.equal(found.statistics, whole.statistics)
