import time

import pytest
import torch

from masquerade.engine.clock import Clock


@pytest.fixture
def hands(monkeypatch):
    """A time that moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


def test_time_counts_for_the_name_that_is_current_and_for_nothing_after_a_stop(hands):
    it = Clock()
    hands(5)  # before the first name
    it.to("data")
    hands(1)
    it.to("encoder")
    hands(2)
    it.to("data")
    hands(1)
    it.stop()
    hands(7)
    assert dict(it.seconds) == {"data": 2.0, "encoder": 2.0}


def test_a_step_begins_with_nothing_running(hands):
    it = Clock()
    it.to("watching")
    hands(1)
    it.step(1)
    hands(3)
    it.to("data")
    hands(1)
    it.stop()
    assert dict(it.seconds) == {"watching": 1.0, "data": 1.0}


def test_shares_add_up_to_one_and_start_again(hands):
    it = Clock()
    it.to("data")
    hands(1)
    it.to("encoder")
    hands(3)
    it.stop()
    assert it.shares() == {"data": 0.25, "encoder": 0.75}
    assert it.shares() == {}


def test_on_cuda_every_twentieth_step_is_timed_and_the_device_is_waited_for(hands, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    it = Clock(torch.device("cuda"))
    for step in range(40):
        it.step(step)
        it.to("encoder")
        hands(1)
        it.stop()
    assert dict(it.seconds) == {"encoder": 2.0}
    assert len(waited) < 10
