"""Arrays of the official pruning code, read as trees and flat vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masquerade.tickets.layout import Layout

ORACLES = Path(__file__).parents[1] / "oracles" / "tickets"


class Stored:
    """One file: `tree("mean")` are the leaves stored as `mean:PATH`, `flat` joins them."""

    def __init__(self, name: str) -> None:
        with np.load(ORACLES / f"public_{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files}
        self.meta: dict[str, Any] = json.loads(bytes(self.arrays["meta"]))

    def tree(self, group: str) -> dict[str, Tensor]:
        start = f"{group}:"
        found = {k: v for k, v in self.arrays.items() if k.startswith(start)}
        return {k.removeprefix(start): torch.from_numpy(v) for k, v in found.items()}

    def layout(self, group: str) -> Layout:
        return Layout.of({name: tuple(leaf.shape) for name, leaf in self.tree(group).items()})

    def flat(self, group: str) -> Tensor:
        return self.layout(group).flat(self.tree(group))

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])
