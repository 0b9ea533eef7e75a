"""What every problem's settings are."""

from abc import abstractmethod
from typing import ClassVar

import torch

from masquerade.core.config import Plug
from masquerade.tickets.base import Problem


class ProblemConfig(Plug):
    """Base of the settings of all problems."""

    family: ClassVar[str] = "masquerade.tickets.problems"
    noun: ClassVar[str] = "problem"

    @abstractmethod
    def build(self, device: torch.device) -> Problem:
        """The problem, its tensors on a device.

        Raises:
            MissingData: What it needs is not there.
            ValueError: It cannot be posed: no labels, wrong sizes.
        """

    @property
    @abstractmethod
    def measure(self) -> str:
        """What its test score is called: `accuracy`, `return`."""
