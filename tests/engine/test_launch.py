"""What is sent to several processes."""

from typing import NamedTuple

import torch
from torch import nn

from masquerade.engine.launch import apart


class Job(NamedTuple):
    network: nn.Linear
    name: str


def test_a_network_that_was_sent_becomes_the_process_s_own():
    network = nn.Linear(2, 2).share_memory()
    before = network.weight.detach().clone()
    rows = torch.arange(3).share_memory_()
    job, (nested,), seen = apart((Job(network, "a"), (network,), rows))
    assert job == Job(job.network, "a")
    for own in (job.network, nested):
        own.weight.data.add_(1)
        assert not own.weight.is_shared()
    assert torch.equal(network.weight, before)
    assert seen is rows  # data may be shared: nobody writes it
