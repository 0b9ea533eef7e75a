"""What is sent to several processes."""

from typing import NamedTuple

import torch
from torch import nn

from masquerade.engine.launch import apart


class Job(NamedTuple):
    network: nn.Module
    name: str


def test_a_network_that_was_sent_becomes_the_process_s_own():
    network = nn.BatchNorm2d(2).share_memory()
    rows = torch.arange(3).share_memory_()
    job, (nested,), seen = apart((Job(network, "a"), (network,), rows))
    assert job == Job(job.network, "a")
    for own in (job.network, nested):
        own.running_mean.add_(1)
        assert not own.running_mean.is_shared()
    assert network.running_mean.eq(0).all()
    assert seen is rows  # data may be shared: nobody writes it
