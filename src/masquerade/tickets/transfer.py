"""A ticket of one search as the start of another training: on another task, by another method."""

from typing import Literal

import torch

from masquerade.tickets.layout import Layout
from masquerade.tickets.search import Ticket

Embed = Literal["none", "columns"]


def fitted(
    ticket: Ticket, source: Layout, target: Layout, fresh: torch.Tensor, embed: Embed
) -> Ticket:
    """The ticket for another network.

    Args:
        ticket: Of the source.
        source: Where its weights lie.
        target: Where those of the target lie.
        fresh: Start weights of the target, for what the source has none.
        embed: `none` asks for equal shapes; `columns` puts a leaf into the first columns of its
            last axis where the target has more of them. The rest starts fresh and is never pruned.

    Raises:
        ValueError: The networks do not fit.
    """
    wanted = {leaf.name: leaf.shape for leaf in target.leaves}
    given = {leaf.name: leaf.shape for leaf in source.leaves}
    for name in dict.fromkeys([*wanted, *given]):
        one, other = given.get(name), wanted.get(name)
        wider = one and other and one[:-1] == other[:-1] and one[-1] < other[-1]
        if one != other and not (embed == "columns" and wider):
            raise ValueError(
                f"the tickets do not fit this network: {name} is {shaped(one)} in the source and "
                f"{shaped(other)} in the target. Networks of equal shape are needed"
                + ("" if embed == "columns" else "; embed=columns allows more outputs")
            )
    starts, masks = source.tree(ticket.start), source.tree(ticket.kept)
    begun, kept = {}, {}
    for name, leaf in target.tree(fresh).items():
        columns = given[name][-1]
        begun[name], kept[name] = leaf.clone(), torch.ones_like(leaf, dtype=torch.bool)
        begun[name][..., :columns] = starts[name]
        kept[name][..., :columns] = masks[name]
    return Ticket(target.flat(begun), target.flat(kept))


def shaped(shape: tuple[int, ...] | None) -> str:
    """A shape in words."""
    return "missing" if shape is None else " x ".join(str(n) for n in shape)
