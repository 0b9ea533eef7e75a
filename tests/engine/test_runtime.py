"""What a task is given on its way through Fabric."""

import pytest
import torch
from torch import nn

from masquerade.engine.runtime import Runtime


class Looking(nn.Module):
    """Says what it was given, and what its layer made of it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, batch):
        seen = batch["boxes"]
        return seen.dtype, self.layer(seen).dtype, seen


@pytest.mark.parametrize(
    ("precision", "given", "computed"),
    [
        ("bf16", torch.float32, torch.bfloat16),
        ("float32", torch.float32, torch.float32),
        ("float64", torch.float64, torch.float64),
    ],
)
def test_bfloat16_is_for_layers_and_not_for_what_they_are_given(precision, given, computed):
    runtime = Runtime.parse({"accelerator": "cpu", "precision": precision, "threads": 1})
    model = runtime.fabric().setup_module(Looking())
    corner = torch.tensor([[1001.25, 3.0]])
    seen, made, pixels = model({"boxes": corner})
    assert (seen, made) == (given, computed)
    assert torch.equal(pixels.double(), corner.double())
