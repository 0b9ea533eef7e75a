"""What is looked at while an encoder trains: health in words, and pictures of the masks."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from masquerade.core.errors import Collapsed
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.engine import gather
from masquerade.engine.collapse import health, verdict
from masquerade.engine.extract import evaluating
from masquerade.engine.meter import METRICS, Meter
from masquerade.engine.task import Carry, Progress
from masquerade.jobs.settings import Pretrain
from masquerade.jobs.verdicts import verdicts
from masquerade.maskers.base import Masker
from masquerade.pretext.siamese import Siamese

PICTURES = 12


class Watch:
    """Called after every step by the loop; returns numbers for metrics.jsonl now and then.

    Attributes:
        said: The last state of the embeddings that the user was warned of, in a word.
        warned: Of which troubles with the masks the user knows.
    """

    def __init__(self, config: Pretrain, images: ImageSet, task: Siamese, run: RunDir) -> None:
        self.config = config
        self.task = task
        self.run = run
        self.said = ""
        self.warned: set[str] = set()
        rows = np.unique(np.linspace(0, len(images) - 1, PICTURES).round().astype(int))
        self._shown = shown(images, rows, config.size)
        mean, std = config.statistics(images)
        self._plain = plain(images.read(rows), images.extents(rows), config.size, mean, std)

    def __call__(self, now: Progress, carry: Carry, meter: Meter) -> dict[str, float | str]:
        every = max(self.config.log_every, now.steps // 50)
        last = now.step + 1 == now.steps
        if meter.lead and self.task.masker_list() and now.step in moments(now):
            self.keep_pictures(now.step + 1)
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

    def keep_pictures(self, step: int) -> None:
        """Write what the maskers hide on a few images, as they are, without augmentation."""
        hidden = proposed(
            self.task.masker_list(), self._plain, Seed(self.config.seed).fold("pictures")
        )
        grey = (hidden * 255).round().to(torch.uint8).cpu().numpy()
        self.run.write(
            f"masks/step_{step:07d}.npz",
            lambda out: np.savez_compressed(out, images=self._shown, hidden=grey),
        )


def moments(now: Progress) -> set[int]:
    """The steps after which pictures are kept: early, three on the way, the last."""
    return {min(9, now.steps - 1), *(now.steps * k // 4 - 1 for k in (1, 2, 3, 4))} - {-1}


@torch.no_grad()
def proposed(
    maskers: list[Masker], images: Float[Tensor, "B C H W"], seed: Seed
) -> Float[Tensor, "B N H W"]:
    """All masks of all maskers for standardised images, in evaluation mode."""
    masks = []
    for masker in maskers:
        like = next(masker.parameters(), images)
        with evaluating(masker):
            masks.append(masker.propose(images.to(like), seed).float())
    return torch.cat(masks, 1)


def shown(images: ImageSet, rows: np.ndarray, size: int) -> UInt8[np.ndarray, "n H W C"]:
    """Images at the training size as bytes, grey or colour, to be looked at."""
    zero, one = (0.0,) * images.channels, (1.0,) * images.channels
    pixels = plain(images.read(rows), images.extents(rows), size, zero, one)
    pixels = pixels[:, :3] if images.channels >= 3 else pixels[:, :1]
    bytes_ = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return bytes_.permute(0, 2, 3, 1).contiguous().numpy()
