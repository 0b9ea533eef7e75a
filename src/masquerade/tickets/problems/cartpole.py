"""cartpole: keep a pole upright on a cart by pushing left or right; gymnasium's CartPole-v1.

Barto, Sutton and Anderson, 1983. The reward is 1 a step.
"""

from math import pi

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from masquerade.tickets.problems.rollout import ControlConfig, Environment, Step

GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FAR, TILTED = 2.4, 12 * pi / 180


class Config(ControlConfig):
    """Settings of CartPole."""

    def environment(self) -> "CartPole":
        """The rules."""
        return CartPole()


class CartPole(Environment):
    """States are position, speed, angle and angular speed; actions 0 (left) and 1 (right)."""

    observed, choices, drawn = 4, 2, 4

    def begin(self, uniform: Float[Tensor, "*E D"]) -> Float[Tensor, "*E S"]:
        return 0.1 * uniform - 0.05

    def observe(self, state: Float[Tensor, "*E S"]) -> Float[Tensor, "*E O"]:
        return state

    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        x, speed, angle, turning = state.unbind(-1)
        force = (2 * action[..., 0].to(state) - 1) * FORCE
        sine, cosine = angle.sin(), angle.cos()
        mass = CART + POLE
        push = (force + POLE * HALF * turning.square() * sine) / mass
        swing = (GRAVITY * sine - cosine * push) / (HALF * (4 / 3 - POLE * cosine.square() / mass))
        pull = push - POLE * HALF * swing * cosine / mass
        following = torch.stack(
            [
                x + SECONDS * speed,
                speed + SECONDS * pull,
                angle + SECONDS * turning,
                turning + SECONDS * swing,
            ],
            dim=-1,
        )
        over = (following[..., 0].abs() > FAR) | (following[..., 2].abs() > TILTED)
        return Step(following, torch.ones_like(x), over)
