"""What is looked at while an encoder trains: health in words, and pictures of the masks."""

from typing import Any

import numpy as np

from masquerade.core.errors import Collapsed
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.engine import gather
from masquerade.engine.collapse import health, verdict
from masquerade.engine.extract import evaluating
from masquerade.engine.meter import METRICS, Meter
from masquerade.engine.task import Carry, Progress
from masquerade.jobs.settings import Pretrain
from masquerade.jobs.snapshot import coloured, sitters, snapshot
from masquerade.jobs.verdicts import verdicts
from masquerade.pretext.base import Pretext


class Watch:
    """Called after every step by the loop; returns numbers for metrics.jsonl now and then.

    Attributes:
        said: The last state of the embeddings that the user was warned of, in a word.
        warned: Of which troubles with the masks the user knows.
    """

    def __init__(self, config: Pretrain, images: ImageSet, task: Pretext, run: RunDir) -> None:
        self.config = config
        self.task = task
        self.run = run
        self.said = ""
        self.warned: set[str] = set()
        self._sitters = sitters(images, config.size, *config.statistics(images))

    def __call__(self, now: Progress, carry: Carry, meter: Meter) -> dict[str, float | str]:
        every = max(self.config.log_every, now.steps // 50)
        last = now.step + 1 == now.steps
        if now.step in moments(now):
            if self.task.masker_list():
                self.keep_pictures(now.step + 1, meter.lead)
            if meter.lead:
                self.keep_reconstructions(now.step + 1)
        if (now.step + 1) % every and not last:
            return {}
        key, query = (gather.gathered(z) for z in carry.values["embeddings"])
        numbers = health(key, query)
        found = verdict(numbers)
        logs: dict[str, float | str] = {f"health/{n}": v for n, v in numbers._asdict().items()}
        logs |= {"health/state": found.state, "health/verdict": found.text}
        sick = found.state in ("collapsed", "few directions", "broken")
        if sick and now.step >= now.steps // 10:
            if found.state != self.said:
                meter.display.say(f"warning at step {now.step + 1}: {found.text}")
            if self.config.collapse == "stop":
                meter.write(now, logs)
                raise Collapsed(f"step {now.step + 1}: {found.text}")
            self.said = found.state
        if meter.lead and self.task.adversary:
            self.warn(meter)
        return logs

    def warn(self, meter: Meter) -> None:
        """Say once what is wrong with the masks."""
        for judged in verdicts(self.run.lines(METRICS)):
            if not judged.healthy and judged.about not in self.warned:
                self.warned.add(judged.about)
                meter.display.say(f"warning: {judged.text}")

    def keep_pictures(self, step: int, lead: bool) -> None:
        """Write what the maskers make of a few images, without augmentation."""
        seed = Seed(self.config.seed).fold("pictures")
        arrays = snapshot(self.task.masker_list(), self._sitters, seed, step)
        if lead:
            name = f"masks/step_{step:07d}.npz"
            self.run.write(name, lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]  # arrays by name

    def keep_reconstructions(self, step: int) -> None:
        """Write what the pretext itself makes of a few images, if it makes pictures."""
        like = next(self.task.parameters())
        with evaluating(self.task):
            made = self.task.pictures(
                self._sitters.images.to(like), Seed(self.config.seed).fold("pictures")
            )
        arrays: dict[str, Any] = {name: coloured(pixels.cpu()) for name, pixels in made.items()}
        if arrays:
            self.run.write(
                f"reconstructions/step_{step:07d}.npz",
                lambda out: np.savez_compressed(out, **arrays),
            )


def moments(now: Progress) -> set[int]:
    """The steps after which pictures are kept: early, three on the way, the last."""
    return {min(9, now.steps - 1), *(now.steps * k // 4 - 1 for k in (1, 2, 3, 4))} - {-1}
