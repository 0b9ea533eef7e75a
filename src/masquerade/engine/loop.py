"""The training loop: for each round, freeze the others, forward, backward, step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from masquerade.core.errors import Interrupted
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.engine.checkpoint import Checkpoints, State, load
from masquerade.engine.clock import Clock
from masquerade.engine.meter import Meter
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.signals import heard
from masquerade.engine.task import Carry, Group, Progress, Task, Terms

BatchAt = Callable[[int, Clock], Any]
Watch = Callable[[Progress, Carry, Meter], dict[str, float | str]]


class Plan(NamedTuple):
    """How long and how a task is trained.

    Attributes:
        steps: Steps in all.
        epoch_steps: Steps of one epoch.
        batch: Images of one step, over all processes; only for the speed that is shown.
        optimizers: One for each player.
        log_every: Steps between two lines of metrics.jsonl.
        checkpoint_seconds: The least time between two checkpoints.
        quiet: Show nothing.
    """

    steps: int
    epoch_steps: int
    batch: int
    optimizers: dict[str, OptimizerConfig]
    log_every: int = 10
    checkpoint_seconds: float = 20.0
    quiet: bool = False


def train(
    fabric: Fabric,
    task: Task,
    batch_at: BatchAt,
    plan: Plan,
    seed: Seed,
    run: RunDir,
    watch: Watch | None = None,
) -> float:
    """Train a task to its last step, from its run's checkpoint if there is one.

    Args:
        fabric: From `Runtime.fabric`, launched.
        task: What is trained; its weights are those of step 0 unless a checkpoint says otherwise.
        batch_at: The batch of a step, a function of the step alone; it moves the clock to
            "data" and "augmentation" itself.
        plan: Steps, optimizers, intervals.
        seed: The run's seed.
        run: Where metrics and checkpoints go.
        watch: Called after every step with what the rounds carried; returns numbers to log.

    Returns:
        The share of the time that checkpoints took, in 0..1.

    Raises:
        Diverged: A loss is not finite; nothing was stepped with it on a CPU.
        Interrupted: Ctrl-C or SIGTERM came; a checkpoint of the last whole step is written.
    """
    team = Team.of(fabric, task, plan)
    first = team.restored(load(run))
    clock = Clock(fabric.device)
    saves = Checkpoints(run, plan.checkpoint_seconds)

    def save(step: int) -> None:
        if fabric.is_global_zero:
            saves.save(team.state(step))

    start = Progress(first, plan.steps, plan.epoch_steps)
    with Meter(run, start, fabric.is_global_zero, plan.quiet) as meter, caught() as stop:
        pace = Pace(plan, meter)
        for step in range(first, plan.steps):
            now, last = start._replace(step=step), step + 1 == plan.steps
            rates = team.paced(now)
            carry = Carry(clock)
            clock.step(step)
            batch = batch_at(step, clock)
            seen = fabric.device.type == "cpu" or step % 10 == 0  # to read is to wait for a GPU
            logs: dict[str, Tensor] = {}
            clock.to("encoder")
            task.before_step(now)
            logging = step % plan.log_every == 0 or last or task.notable(now)
            for together in task.rounds(now):
                loss, terms = team.forward(batch, together, seed.fold("step", step), now, carry)
                logs |= terms
                if seen:
                    told = {f"{name}/loss" for name in rates} & terms.keys()
                    losses = gather.averaged({name: terms[name] for name in sorted(told)})
                    meter.check_all(losses, rates, now)
                logs |= team.backward(loss, together, clock, measured=logging)
            choose(team.players, tuple(team.players))
            task.after_step(now)
            clock.to("watching")
            values: dict[str, float | str] = watch(now, carry, meter) if watch else {}
            if values or logging:
                values |= {f"{n}/lr": r for n, r in rates.items()}
                meter.write(now, {**gather.averaged(logs), **values})
            clock.stop()
            pace.after(now, clock, logs)
            wish = max(gather.everyone(stop.received)) if seen or gather.world() == 1 else 0
            if wish or last or saves.due():
                save(step + 1)
            if wish:
                raise Interrupted(
                    f"stopped at step {step + 1} of {plan.steps}; the run is saved. "
                    "Repeat the command to go on",
                    wish,
                )
    return saves.share()


class Team(NamedTuple):
    """The players of a task with their optimizers, on a device.

    Attributes:
        fabric: Where they run.
        task: What is trained.
        model: The task as Fabric wraps it.
        players: The parameter groups of each player.
        configs: The settings of each player's optimizer.
        optimizers: Each player's optimizer.
        steppers: The same as Fabric wraps them.
    """

    fabric: Fabric
    task: Task
    model: Any
    players: dict[str, list[Group]]
    configs: dict[str, OptimizerConfig]
    optimizers: dict[str, torch.optim.Optimizer]
    steppers: dict[str, Any]

    @classmethod
    def of(cls, fabric: Fabric, task: Task, plan: Plan) -> "Team":
        """The task on its device, every player with an optimizer."""
        players = {name: unfrozen(groups) for name, groups in task.players().items()}
        missing = set(players) - set(plan.optimizers)
        if missing:
            raise ValueError(f"no optimizer for {', '.join(sorted(missing))}")
        configs = {name: plan.optimizers[name] for name in players}
        optimizers = {name: configs[name].over(groups) for name, groups in players.items()}
        model, *wrapped = fabric.setup(task, *optimizers.values(), _reapply_compile=False)
        steppers = dict(zip(optimizers, wrapped, strict=True))
        return cls(fabric, task, model, players, configs, optimizers, steppers)

    def restored(self, state: State | None) -> int:
        """The step to go on with, everything as it was there; 0 without a state."""
        if state is None:
            return 0
        self.task.load_state_dict(state.task)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state.optimizers[name])
        return state.step

    def state(self, step: int) -> State:
        """What a checkpoint keeps."""
        inner = {name: o.state_dict() for name, o in self.optimizers.items()}
        return State(step, self.task.state_dict(), inner)

    def paced(self, now: Progress) -> dict[str, float]:
        """Set the learning rates of a step; returns each player's own."""
        return {name: c.move(self.optimizers[name], now) for name, c in self.configs.items()}

    def forward(
        self, batch: Any, together: tuple[str, ...], seed: Seed, now: Progress, carry: Carry
    ) -> Terms:
        """The loss of a round, the other players frozen."""
        choose(self.players, together)
        layers = seed.fold(*together, "rank", self.fabric.global_rank)
        torch.manual_seed(layers.integer())
        for name in together:
            self.steppers[name].zero_grad()
        terms: Terms = self.model(batch, together, seed, now, carry)
        return terms

    def backward(
        self,
        loss: Tensor | Iterator[Tensor],
        together: tuple[str, ...],
        clock: Clock,
        measured: bool = False,
    ) -> dict[str, Tensor]:
        """The gradients of a round and the steps that follow them; what both are, if asked for."""
        for part in [loss] if isinstance(loss, Tensor) else loss:
            self.fabric.backward(part)
        clock.to("encoder")
        lengths = {f"{n}/gradient": length(self.players[n]) for n in together} if measured else {}
        for name in together:
            self.steppers[name].step()
            if measured:
                of_step = self.configs[name].measured(self.optimizers[name])
                lengths |= {f"{name}/{what}": value for what, value in of_step.items()}
        return lengths


def unfrozen(groups: list[Group]) -> list[Group]:
    """Without the parameters that their network holds still, such as a fixed embedding."""
    return [g._replace(params=[p for p in g.params if p.requires_grad]) for g in groups]


@torch.no_grad()
def length(groups: list[Group]) -> Tensor:
    """The Euclidean length of a player's gradient; 0 where there is none."""
    found = [p.grad.float() for g in groups for p in g.params if p.grad is not None]
    return nn.utils.get_total_norm(found) if found else torch.zeros(())


class Pace:
    """Says one honest line per epoch: the losses, the speed, and where the time went."""

    def __init__(self, plan: Plan, meter: Meter) -> None:
        self.plan = plan
        self.meter = meter

    def after(self, now: Progress, clock: Clock, logs: dict[str, Tensor]) -> None:
        """A step is over."""
        done = now.step + 1
        if self.meter.display.shown:
            loss = logs.get("encoder/loss")
            text = f"loss {float(loss):.3f}" if loss is not None and done % 5 == 0 else ""
            self.meter.display.move(done, now.steps, text)
        if done % self.plan.epoch_steps and done != now.steps:
            return
        seconds = sum(clock.seconds.values())
        speed = clock.timed * self.plan.batch / seconds if seconds else 0.0
        shares = clock.shares()
        if not shares:
            return  # on CUDA, none of this epoch's steps was timed
        found = gather.averaged(logs)
        numbers = "  ".join(f"{n} {v:.3f}" for n, v in found.items() if n.endswith("loss"))
        parts = ", ".join(f"{n} {s:.0%}" for n, s in shares.items() if s >= 0.0005)
        self.meter.display.say(
            f"epoch {now.epoch + 1}/{-(-now.steps // now.epoch_steps)}  {numbers}  "
            f"{speed:.0f} images/s  time: {parts}"
        )
        self.meter.write(
            now, {**{f"time/{n}": s for n, s in shares.items()}, "images_per_s": speed}
        )


def choose(players: dict[str, Any], together: tuple[str, ...]) -> None:
    """Let the parameters of these players take gradients, and no others."""
    for name, groups in players.items():
        for group in groups:
            for p in group.params:
                p.requires_grad_(name in together)


class Stop:
    """Whether a signal asked to stop; 0 = none."""

    def __init__(self) -> None:
        self.received = 0


@contextmanager
def caught() -> Iterator[Stop]:
    """Turns the first Ctrl-C or SIGTERM into a wish; the second acts as always.

    In one of several processes every signal is a wish: their parent has the last word.
    """
    stop = Stop()

    def wish(number: int) -> bool:
        stop.received = number
        return gather.world() == 1

    with heard(wish):
        yield stop
