"""mountain_car: rock a car out of a valley; gymnasium's MountainCar-v0 and -Continuous-v0.

Moore, "Efficient memory-based learning for robot control", 1990.
"""

import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from masquerade.tickets.problems.rollout import ControlConfig, Environment, Step

LEFT, RIGHT, FASTEST, GRAVITY = -1.2, 0.6, 0.07, 0.0025


class Config(ControlConfig):
    """Settings of MountainCar.

    Attributes:
        continuous: Whether the action is a force (goal 0.45, 100 for reaching it, forces cost),
            and not one of three pushes (goal 0.5, -1 a step).
        horizon: Steps after which an episode is cut off; gymnasium has 200, 999 if continuous.
    """

    continuous: bool = False
    horizon: int = Field(200, ge=1)

    def environment(self) -> Environment:
        """The rules."""
        return ContinuousCar() if self.continuous else Car()


class Car(Environment):
    """States are position and speed; actions 0, 1, 2 push left, not, right."""

    observed, choices, drawn = 2, 3, 1

    def begin(self, uniform: Float[Tensor, "*E D"]) -> Float[Tensor, "*E S"]:
        return torch.cat([0.2 * uniform - 0.6, torch.zeros_like(uniform)], dim=-1)

    def observe(self, state: Float[Tensor, "*E S"]) -> Float[Tensor, "*E O"]:
        return state

    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        push = 0.001 * (action[..., 0].to(state) - 1)
        following = driven(state, push)
        over = (following[..., 0] >= 0.5) & (following[..., 1] >= 0)
        return Step(following, -torch.ones_like(push), over)


class ContinuousCar(Car):
    """The same with a force in -1 to 1."""

    choices, numbers = 0, 1

    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        wanted = action[..., 0]
        following = driven(state, 0.0015 * wanted.clamp(-1, 1))
        over = (following[..., 0] >= 0.45) & (following[..., 1] >= 0)
        return Step(following, 100 * over.to(state) - 0.1 * wanted.square(), over)


def driven(state: Float[Tensor, "*E S"], push: Float[Tensor, "*E"]) -> Float[Tensor, "*E S"]:
    """The next states under a push; the left wall stops the car."""
    place, speed = state.unbind(-1)
    speed = (speed + push - GRAVITY * (3 * place).cos()).clamp(-FASTEST, FASTEST)
    place = (place + speed).clamp(LEFT, RIGHT)
    speed = torch.where((place == LEFT) & (speed < 0), torch.zeros_like(speed), speed)
    return torch.stack([place, speed], dim=-1)
