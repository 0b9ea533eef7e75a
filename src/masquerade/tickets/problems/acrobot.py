"""acrobot: swing the free end of two links above a line; gymnasium's Acrobot-v1.

Sutton, "Generalization in Reinforcement Learning", 1996, with the equations of Sutton and Barto's
book. The reward is -1 a step until the line is reached.
"""

from math import pi

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from masquerade.tickets.problems.rollout import ControlConfig, Environment, Step

MASS, LINK, CENTRE, INERTIA, GRAVITY, SECONDS = 1.0, 1.0, 0.5, 1.0, 9.8, 0.2
FASTEST = (4 * pi, 9 * pi)


class Config(ControlConfig):
    """Settings of Acrobot."""

    def environment(self) -> "Acrobot":
        """The rules."""
        return Acrobot()


class Acrobot(Environment):
    """States are two angles and their speeds; actions 0, 1, 2 are torques of -1, 0, 1."""

    observed, choices, drawn = 6, 3, 4

    def begin(self, uniform: Float[Tensor, "*E D"]) -> Float[Tensor, "*E S"]:
        return 0.2 * uniform - 0.1

    def observe(self, state: Float[Tensor, "*E S"]) -> Float[Tensor, "*E O"]:
        one, two, slow, fast = state.unbind(-1)
        return torch.stack([one.cos(), one.sin(), two.cos(), two.sin(), slow, fast], dim=-1)

    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        torque = action[..., 0].to(state) - 1
        k1 = slope(state, torque)
        k2 = slope(state + SECONDS / 2 * k1, torque)
        k3 = slope(state + SECONDS / 2 * k2, torque)
        k4 = slope(state + SECONDS * k3, torque)
        one, two, slow, fast = (state + SECONDS / 6 * (k1 + 2 * k2 + 2 * k3 + k4)).unbind(-1)
        following = torch.stack(
            [
                wrapped(one),
                wrapped(two),
                slow.clamp(-FASTEST[0], FASTEST[0]),
                fast.clamp(-FASTEST[1], FASTEST[1]),
            ],
            dim=-1,
        )
        one, two = following[..., 0], following[..., 1]
        over = -one.cos() - (one + two).cos() > 1
        return Step(following, over.to(state) - 1, over)


def slope(state: Float[Tensor, "*E S"], torque: Float[Tensor, "*E"]) -> Float[Tensor, "*E S"]:
    """The time derivative of states under a torque."""
    one, two, slow, fast = state.unbind(-1)
    cosine, sine = two.cos(), two.sin()
    d1 = MASS * CENTRE**2 + MASS * (LINK**2 + CENTRE**2 + 2 * LINK * CENTRE * cosine) + 2 * INERTIA
    d2 = MASS * (CENTRE**2 + LINK * CENTRE * cosine) + INERTIA
    phi2 = MASS * CENTRE * GRAVITY * (one + two - pi / 2).cos()
    phi1 = -MASS * LINK * CENTRE * (fast.square() + 2 * fast * slow) * sine
    phi1 = phi1 + (MASS * CENTRE + MASS * LINK) * GRAVITY * (one - pi / 2).cos() + phi2
    inner = torque + d2 / d1 * phi1 - MASS * LINK * CENTRE * slow.square() * sine - phi2
    second = inner / (MASS * CENTRE**2 + INERTIA - d2.square() / d1)
    first = -(d2 * second + phi1) / d1
    return torch.stack([slow, fast, first, second], dim=-1)


def wrapped(angle: Float[Tensor, "*E"]) -> Float[Tensor, "*E"]:
    """The same angle in -pi to pi."""
    return angle - 2 * pi * (angle / (2 * pi)).round()
