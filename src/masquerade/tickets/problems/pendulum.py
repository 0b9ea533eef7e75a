"""pendulum: swing a pendulum up and hold it with a weak motor; gymnasium's Pendulum-v1."""

from math import pi

import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from masquerade.tickets.problems.rollout import ControlConfig, Environment, Step

GRAVITY, MASS, LENGTH, SECONDS, FASTEST, TORQUE = 10.0, 1.0, 1.0, 0.05, 8.0, 2.0


class Config(ControlConfig):
    """Settings of Pendulum.

    Attributes:
        horizon: Steps of an episode, which never ends before.
    """

    horizon: int = Field(200, ge=1)

    def environment(self) -> "Pendulum":
        """The rules."""
        return Pendulum()


class Pendulum(Environment):
    """States are angle (0 is upright) and angular speed; the action is a torque, clipped to 2."""

    observed, numbers, drawn = 3, 1, 2

    def begin(self, uniform: Float[Tensor, "*E D"]) -> Float[Tensor, "*E S"]:
        return (2 * uniform - 1) * uniform.new_tensor([pi, 1.0])

    def observe(self, state: Float[Tensor, "*E S"]) -> Float[Tensor, "*E O"]:
        angle, turning = state.unbind(-1)
        return torch.stack([angle.cos(), angle.sin(), turning], dim=-1)

    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        angle, turning = state.unbind(-1)
        torque = action[..., 0].clamp(-TORQUE, TORQUE)
        away = (angle + pi) % (2 * pi) - pi
        cost = away.square() + 0.1 * turning.square() + 0.001 * torque.square()
        pull = 3 * GRAVITY / (2 * LENGTH) * angle.sin() + 3 / (MASS * LENGTH**2) * torque
        faster = (turning + pull * SECONDS).clamp(-FASTEST, FASTEST)
        following = torch.stack([angle + faster * SECONDS, faster], dim=-1)
        return Step(following, -cost, torch.zeros_like(cost, dtype=torch.bool))
