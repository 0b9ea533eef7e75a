"""Branches: what the pairs of a plan are made of, each encoded at most once."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.maskers.base import Occluded
from masquerade.networks.norms import statistics
from masquerade.objectives.base import Branch, Objective, Pair


def for_copy(pairs: Iterable[Pair], k: int) -> list[Pair]:
    """A plan of one masked copy, for the k-th copy."""
    return [Pair(moved(p.query, k), moved(p.key, k), p.weight) for p in pairs]


def moved(branch: Branch, k: int) -> Branch:
    """The branch with its masked copy, if it is one, being the k-th."""
    return branch if branch.copy is None else branch._replace(copy=k)


def copy_of(pair: Pair) -> Branch | None:
    """The masked branch of a pair, the query's where both are; None where both are clean."""
    if pair.query.copy is not None:
        return pair.query
    return pair.key if pair.key.copy is not None else None


def reaches(pair: Pair, objective: Objective) -> bool:
    """Whether a gradient of the pair's loss flows into a masked branch."""
    return pair.query.copy is not None or (objective.key_gradient and pair.key.copy is not None)


class Branches:
    """The embeddings of branches, made when they are asked for.

    Args:
        objective: Encodes them.
        views: The clean images of each view.
        copies: The masked copies of each masked view.
        pairs: All pairs that will be asked for; what only serves as a key that takes no gradient
            is encoded without one.
        frozen: Whether nothing but masked copies takes a gradient (the masker's round).
        seed: Of what keys draw.
        keys: Keys of clean branches made before by a copy that has not moved since.
        unnoticed: Whether masked branches leave batch norm's running statistics alone.
    """

    def __init__(
        self,
        objective: Objective,
        views: tuple[Tensor, ...],
        copies: dict[int, list[Occluded]],
        pairs: list[Pair],
        frozen: bool,
        seed: Seed,
        keys: dict[Branch, Tensor],
        unnoticed: bool = False,
    ) -> None:
        self.objective = objective
        self.views = views
        self.copies = copies
        self.frozen = frozen
        self.seed = seed
        self.attached = {p.query for p in pairs}
        if objective.key_gradient:
            self.attached |= {p.key for p in pairs}
        self.features: dict[Branch, Tensor] = {}
        self.copied: dict[Branch, Tensor] = {}
        self._embedded: dict[Branch, Tensor] = {}
        self._queries: dict[Branch, Tensor] = {}
        self._keys = keys
        self._unnoticed = unnoticed

    def pair(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """The query's and the key's embedding."""
        if not self.objective.joint:
            return self.query(pair.query), self.key(pair.key)
        both = torch.cat([self._online(pair.query), self._online(pair.key)])
        with self._noticed(copy_of(pair) or pair.query):
            query, key = self.objective.query(both).chunk(2)
            return self.objective.predict(query), key

    def in_order(self, pairs: list[Pair]) -> None:
        """Encode in the order of the official code: clean views, then masked ones.

        It matters to batch norm's running statistics alone.
        """
        queries, keys = {p.query for p in pairs}, {p.key for p in pairs}
        for branch in sorted(queries | keys, key=lambda b: (b.copy is not None, b.view)):
            if self.objective.joint:  # the heads wait for both branches of a pair
                self._online(branch)
                continue
            if branch in queries:
                self.query(branch)
            if branch in keys:
                self.key(branch)

    def query(self, branch: Branch) -> Tensor:
        """What a branch says of its key."""
        if branch not in self._queries:
            embedding = self._embedding(branch)
            with self._noticed(branch):
                self._queries[branch] = self.objective.predict(embedding)
        return self._queries[branch]

    def key(self, branch: Branch) -> Tensor:
        """What a query is compared with."""
        if not self.objective.follows:
            embedding = self._embedding(branch)
            return embedding if self.objective.key_gradient else embedding.detach()
        if branch not in self._keys:
            features = self._key_features(branch)
            with self._noticed(branch):
                self._keys[branch] = self.objective.key(features)
        return self._keys[branch]

    def clean(self) -> list[Tensor]:
        """Features of clean branches that were made, of the copy where there are no others.

        One view is encoded for it where no pair has a clean branch.
        """
        own = [f.detach() for b, f in self.features.items() if b.copy is None]
        own = own or [f.detach() for b, f in self.copied.items() if b.copy is None]
        if own:
            return own
        with torch.no_grad(), statistics(self.objective, update=False):
            return [self.objective.query_features(self.views[0])]

    def keys_to_remember(self, pairs: list[Pair]) -> list[Tensor]:
        """The clean keys in the order of their views; the first masked ones where none is."""
        keys = {p.key for p in pairs}
        clean = sorted(b.view for b in keys if b.copy is None)
        if clean:
            return [self.key(Branch(view)) for view in clean]
        return [self.key(Branch(view, 0)) for view in sorted({b.view for b in keys})]

    def _noticed(self, branch: Branch) -> AbstractContextManager[None]:
        """Whether batch norm remembers what it sees of a branch."""
        if branch.copy is None or not self._unnoticed:
            return nullcontext()
        return statistics(self.objective, update=False)

    def _images(self, branch: Branch) -> Tensor:
        if branch.copy is None:
            return self.views[branch.view]
        return self.copies[branch.view][branch.copy].images

    def _online(self, branch: Branch) -> Tensor:
        if branch not in self.features:
            still = branch not in self.attached or (self.frozen and branch.copy is None)
            with torch.no_grad() if still else nullcontext(), self._noticed(branch):
                self.features[branch] = self.objective.query_features(self._images(branch))
        return self.features[branch]

    def _embedding(self, branch: Branch) -> Tensor:
        if branch not in self._embedded:
            features = self._online(branch)
            still = branch not in self.attached or (self.frozen and branch.copy is None)
            with torch.no_grad() if still else nullcontext(), self._noticed(branch):
                self._embedded[branch] = self.objective.query(features)
        return self._embedded[branch]

    def _key_features(self, branch: Branch) -> Tensor:
        if not self.objective.follows:
            return self._online(branch)
        if branch not in self.copied:
            place = "clean" if branch.copy is None else branch.copy
            where = self.seed.fold("key", branch.view, place)
            with self._noticed(branch):
                self.copied[branch] = self.objective.key_features(self._images(branch), where)
        return self.copied[branch]
