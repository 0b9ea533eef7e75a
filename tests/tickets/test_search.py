"""Iterative pruning: what is carried from round to round, and what a cut leaves."""

import itertools

import pytest
import torch
from tests.tickets.toy import Toy

from masquerade.core.errors import CannotResume, Diverged
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.tickets import descend, evolve
from masquerade.tickets.base import Bookmark, Problem, TrainerConfig
from masquerade.tickets.problems import cartpole
from masquerade.tickets.search import Pruning, find
from masquerade.tickets.shelf import Folder, Shelf
from masquerade.tickets.strategies import open_es, snes

CPU = torch.device("cpu")
EVOLVE = evolve.Config(strategy=snes.Config(population=8), generations=6, test_every=2)
DESCEND = descend.Config(epochs=3, batch=16)
TRAINERS = pytest.mark.parametrize("config", [EVOLVE, DESCEND], ids=["evolve", "descend"])
PRUNING = Pruning(rounds=4, keep=0.6, score="magnitude")


def tickets(config=EVOLVE, pruning=PRUNING, shelf=None, problem=None, seed=3):
    return list(find(problem or Toy(), config.build(), pruning, Seed(seed), shelf or Shelf()))


def same(one, two):
    """Two searches agree in every bit."""
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.ticket.start, b.ticket.start)
        assert torch.equal(a.ticket.kept, b.ticket.kept)
        for x, y in ((a.trained.final, b.trained.final), (a.trained.best, b.trained.best)):
            assert torch.equal(x.weights, y.weights) and x.test == y.test
            assert (x.spread is None) == (y.spread is None)
            assert x.spread is None or torch.equal(x.spread, y.spread)
        assert a.trained.curve == b.trained.curve


@TRAINERS
def test_every_round_begins_at_the_first_weights_with_a_mask_inside_the_last(config):
    rounds = tickets(config)
    first = Toy().start(Seed(3).fold("start"))
    prunable = Toy().layout.prunable()
    for before, now in itertools.pairwise(rounds):
        assert not (now.ticket.kept & ~before.ticket.kept).any()
    for k, one in enumerate(rounds):
        assert torch.equal(one.ticket.start, first)
        assert one.ticket.kept[~prunable].all()
        left = int(one.ticket.kept[prunable].sum())
        assert left == 20 - round((1 - 0.6**k) * 20)
        assert one.remaining == left / 20
        gone = ~one.ticket.kept
        assert (one.trained.final.weights[gone] == 0).all()
        moved = one.trained.final.weights[~gone] != first[~gone]
        assert moved.any()


def test_the_deviations_begin_anew_in_every_round():
    begun = []

    class Spy(Bookmark):
        def load(self):
            begun.append(1)

    config = EVOLVE.replace(generations=1)
    for kept in (torch.ones(26, dtype=torch.bool), torch.arange(26) % 2 == 0):
        strategy = config.strategy.build()
        start = Toy().start(Seed(0))
        state = strategy.start(start[kept])
        assert torch.equal(state["mean"], start[kept])
        assert (state["sigma"] == 0.05).all() and len(state["sigma"]) == int(kept.sum())
        trained = evolve.evolve(config, Toy(), start, kept, Seed(0), Spy())
        assert trained.final.spread is not None and trained.final.spread[~kept].isinf().all()
    assert begun == [1, 1]


def test_candidates_carry_no_noise_on_pruned_weights():
    seen = []

    class Watched(Toy):
        def fitness(self, population, seed, memory):
            seen.append(population)
            return super().fitness(population, seed, memory)

    rounds = tickets(problem=Watched(), pruning=PRUNING.replace(rounds=2))
    gone = ~rounds[1].ticket.kept
    later = torch.cat(seen[-EVOLVE.generations * EVOLVE.parts :])
    assert gone.any() and (later[:, gone] == 0).all()
    assert (later[:, ~gone].std(dim=0) > 0).all()


@TRAINERS
def test_equal_seeds_give_equal_bits_and_others_do_not(config):
    same(tickets(config), tickets(config))
    other = tickets(config, seed=4)
    assert not torch.equal(other[0].trained.final.weights, tickets(config)[0].trained.final.weights)


class Cut(Exception):
    """The end of a process, in the tests."""


class Dying(Folder):
    """A shelf that dies when a round is at its n-th bookmark."""

    def __init__(self, folder, number, at):
        super().__init__(RunDir(folder), CPU, seconds=0.0)
        self.number, self.at = number, at

    def bookmark(self, number):
        mark = super().bookmark(number)
        save, left = mark.save, [self.at]

        def counted(state):
            save(state)
            left[0] -= 1
            if number == self.number and not left[0]:
                raise Cut

        mark.save = counted  # type: ignore[method-assign]  # of this one bookmark
        return mark


@TRAINERS
@pytest.mark.parametrize("at", [1, 2])
def test_a_search_cut_in_the_middle_of_a_round_ends_in_the_same_bits(config, at, tmp_path):
    whole = tickets(config, problem=Toy(learns=True))
    with pytest.raises(Cut):
        tickets(config, shelf=Dying(tmp_path, 3, at), problem=Toy(learns=True))
    assert (tmp_path / "bookmark.pt").exists() and not (tmp_path / "03.json").exists()
    problem = Toy(learns=True)
    same(tickets(config, shelf=Folder(RunDir(tmp_path), CPU), problem=problem), whole)
    assert not (tmp_path / "bookmark.pt").exists()
    if config is EVOLVE:  # two whole rounds and the done part of the third are not done again
        assert problem.asked == EVOLVE.parts * (2 * EVOLVE.generations - at)


def test_a_finished_search_is_read_back_and_not_trained_again(tmp_path):
    whole = tickets(shelf=Folder(RunDir(tmp_path), CPU), problem=Toy(learns=True))
    problem = Toy(learns=True)
    again = tickets(shelf=Folder(RunDir(tmp_path), CPU), problem=problem)
    same(again, whole)
    assert problem.asked == 0
    assert again[0].trained.final.memory["seen"] == 8 * EVOLVE.generations


def test_a_damaged_round_says_how_to_train_it_again(tmp_path):
    tickets(shelf=Folder(RunDir(tmp_path), CPU))
    (tmp_path / "02.safetensors").write_bytes(b"no")
    with pytest.raises(CannotResume, match=r"02.safetensors cannot be read .*Delete .*02.json"):
        tickets(shelf=Folder(RunDir(tmp_path), CPU))


def test_new_weights_under_the_same_rule_are_drawn_for_each_round():
    rounds = tickets(pruning=PRUNING.replace(start="redraw", score="random"))
    starts = [one.ticket.start for one in rounds]
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(starts))
    masks = [one.ticket.kept for one in rounds]
    assert any((now & ~before).any() for before, now in itertools.pairwise(masks))


def test_permuted_weights_are_the_surviving_ones_in_another_order_in_each_leaf():
    rounds = tickets(pruning=PRUNING.replace(start="permute"))
    layout, first = Toy().layout, rounds[0].ticket.start
    start, kept = rounds[1].ticket
    assert not torch.equal(start, first)
    for name, leaf in layout.tree(start).items():
        mask, old = layout.tree(kept)[name], layout.tree(first)[name]
        assert torch.equal(leaf[mask].sort().values, old[mask].sort().values)
        assert torch.equal(leaf[~mask], old[~mask])


def test_protected_leaves_stay_whole():
    rounds = tickets(pruning=PRUNING.replace(protected=("dense_2/kernel",)))
    assert Toy().layout.tree(rounds[-1].ticket.kept)["dense_2/kernel"].all()
    assert rounds[-1].remaining == (12 - round((1 - 0.6**3) * 12)) / 12


def test_layers_keep_equal_shares_if_asked():
    rounds = tickets(pruning=PRUNING.replace(scope="layerwise", keep=0.5))
    tree = Toy().layout.tree(rounds[1].ticket.kept)
    assert [int(tree[f"dense_{k}/kernel"].sum()) for k in (1, 2)] == [6, 4]


def test_the_best_tested_moment_may_be_scored():
    one = tickets(pruning=PRUNING.replace(snapshot="best"))
    two = tickets(pruning=PRUNING)
    assert torch.equal(one[0].trained.best.weights, two[0].trained.best.weights)
    assert one[0].trained.best.test == max(score for _, score in one[0].trained.curve)


def test_a_score_of_ones_own_is_a_function():
    falling = torch.arange(26.0).flip(0)
    rounds = list(find(Toy(), EVOLVE.build(), PRUNING, Seed(0), Shelf(), lambda e: falling))
    left = rounds[1].ticket.kept[Toy().layout.prunable()]
    assert left[:12].all() and not left[12:].any()


def test_a_mask_that_keeps_nothing_is_refused():
    none = torch.zeros(26, dtype=torch.bool)
    for config in (EVOLVE, DESCEND):
        with pytest.raises(ValueError, match="the mask keeps none of 26 weights"):
            config.build()(Toy(), Toy().start(Seed(0)), none, Seed(0), Bookmark())
    with pytest.raises(ValueError, match="round 20 would keep none of 20 prunable weights"):
        tickets(pruning=Pruning())


def test_what_has_no_gradient_cannot_be_descended():
    problem: Problem = cartpole.Config().build(CPU)
    with pytest.raises(ValueError, match=r"has no gradient.*train=evolve"):
        DESCEND.check(problem)
    with pytest.raises(ValueError, match=r"has no gradient.*score=snip"):
        PRUNING.replace(score="snip").check(problem)
    PRUNING.replace(score="grasp").check(Toy())


def test_settings_without_a_name_change_the_usual_strategy_and_optimizer():
    slow = TrainerConfig.parse({"kind": "descend", "optimizer": {"lr": 0.5}})
    assert isinstance(slow, descend.Config)
    assert slow.optimizer == descend.Config().optimizer.replace(lr=0.5)
    wide = TrainerConfig.parse({"kind": "evolve", "strategy": {"population": 12}})
    assert isinstance(wide, evolve.Config) and wide.strategy == snes.Config(population=12)


def test_open_es_has_magnitudes_only():
    config = EVOLVE.replace(strategy=open_es.Config(population=8))
    assert len(tickets(config)) == 4
    with pytest.raises(ValueError, match="use score=magnitude"):
        tickets(config, PRUNING.replace(score="snr"))


def test_an_unknown_score_is_told_with_those_there_are():
    with pytest.raises(ValueError, match="score must be one of magnitude, snr, random"):
        Pruning.parse({"score": "size"})


def test_a_fitness_that_is_not_finite_stops_with_a_way_on():
    class Broken(Toy):
        def fitness(self, population, seed, memory):
            found = super().fitness(population, seed, memory)
            return found._replace(fitness=found.fitness / 0 * 0)

    with pytest.raises(Diverged, match=r"8 of 8 candidates have a fitness that is nan"):
        tickets(problem=Broken())
