"""A ticket of one network in another."""

import pytest
import torch

from masquerade.tickets.layout import Layout
from masquerade.tickets.search import Ticket
from masquerade.tickets.transfer import fitted

SMALL = Layout.of({"a/bias": (2,), "a/kernel": (3, 2)})
WIDE = Layout.of({"a/bias": (4,), "a/kernel": (3, 4)})
TICKET = Ticket(torch.arange(8.0), torch.arange(8) % 2 == 0)


def test_equal_networks_get_the_ticket_as_it_is():
    start, kept = fitted(TICKET, SMALL, SMALL, torch.zeros(8), "none")
    assert torch.equal(start, TICKET.start) and torch.equal(kept, TICKET.kept)


def test_a_wider_network_gets_it_in_its_first_columns_and_keeps_the_rest():
    fresh = torch.full((16,), -1.0)
    ticket = fitted(TICKET, SMALL, WIDE, fresh, "columns")
    start, kept = (WIDE.tree(t)["a/kernel"] for t in ticket)
    assert start.tolist() == [[2, 3, -1, -1], [4, 5, -1, -1], [6, 7, -1, -1]]
    assert kept.tolist() == [[True, False, True, True]] * 3
    assert (fresh == -1).all()


@pytest.mark.parametrize("embed", ["none", "columns"])
def test_networks_that_do_not_fit_are_told_by_their_leaf(embed):
    other = Layout.of({"a/bias": (2,), "a/kernel": (4, 2)})
    with pytest.raises(ValueError, match="a/kernel is 3 x 2 in the source and 4 x 2 in the target"):
        fitted(TICKET, SMALL, other, torch.zeros(10), embed)
    more = Layout.of({"a/bias": (2,), "a/kernel": (3, 2), "b/kernel": (1,)})
    with pytest.raises(ValueError, match="b/kernel is missing in the source"):
        fitted(TICKET, SMALL, more, torch.zeros(9), embed)
    with pytest.raises(ValueError, match="a/bias is 4 in the source and 2 in the target"):
        fitted(Ticket(torch.zeros(16), torch.ones(16) > 0), WIDE, SMALL, torch.zeros(8), embed)
