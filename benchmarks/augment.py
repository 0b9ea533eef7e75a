"""Augmentation alone, from the cache: ours in batches against torchvision v2, image by image.

Both make the same kind of views of the same pixels: SimCLR's policy, standardised float32. In each
round every contender runs once, in turn, so that what else runs on the machine meets all of them
alike; the ratios are medians over rounds of the ratio within a round. On a CPU the clock counts
CPU-seconds of one thread, on a GPU seconds until it is idle.

    python benchmarks/augment.py
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Goal, Spread, machine, table, write

from masquerade.core.seed import Seed
from masquerade.data.augment import Augmenter, Policy, simclr
from masquerade.data.augment.precision import resampling_dtype
from masquerade.engine.runtime import Runtime

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OURS = "masquerade"


class Case(NamedTuple):
    """What is augmented.

    Attributes:
        size: Side of the views.
        canvas: Side of the canvases, as the cache stores them for views of this size.
        aspect: Shorter / longer side of what a canvas holds; half of them lie, half stand.
        images: How many.
        goal: How many times faster than the best path of torchvision it ought to be on a CPU.
    """

    size: int
    canvas: int
    aspect: float
    images: int
    goal: float | None

    @property
    def name(self) -> str:
        return f"{self.size} px{', blur' if self.policy.blur else ''}"

    @property
    def policy(self) -> Policy:
        return simclr(self.size)


CASES = (
    Case(32, 96, 1.0, 256, 10.0),
    Case(96, 192, 0.75, 64, None),
    Case(224, 448, 0.75, 24, 1.0),
)


class PillowBlur(nn.Module):
    """Pillow's own blur, as the official code of ADIOS and many others has it."""

    def __init__(self, sigma: tuple[float, float]) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, picture: Image.Image) -> Image.Image:
        """A blurred copy."""
        sigma = torch.empty(1).uniform_(*self.sigma).item()
        return picture.filter(ImageFilter.GaussianBlur(sigma))


class Found(NamedTuple):
    """One contender: microseconds per view, and how many times ours they are."""

    microseconds: Spread
    ratio: Spread


def photographs(case: Case) -> tuple[Tensor, Tensor]:
    """Smooth colours with some noise, channels last as the cache stores them, and the extents."""
    generator = Seed(0).fold(case.name).generator()
    coarse = torch.rand(case.images, 3, 12, 12, generator=generator)
    smooth = nn.functional.interpolate(coarse, (case.canvas, case.canvas), mode="bicubic")
    noise = torch.randn(smooth.shape, generator=generator)
    pixels = ((smooth + 0.05 * noise).clamp(0, 1) * 255).byte()
    shorter = round(case.canvas * case.aspect)
    extent = torch.tensor([[case.canvas, shorter], [shorter, case.canvas]])
    return pixels.contiguous(memory_format=torch.channels_last), extent.repeat(case.images // 2, 1)


def pipeline(case: Case, blur: nn.Module, *, early: bool = False) -> v2.Compose:
    """A SimCLR pipeline of torchvision with the numbers of the policy.

    Args:
        case: Names the policy.
        blur: What blurs, sigma drawn inside.
        early: Whether pixels become floats before all else instead of last.
    """
    p = case.policy
    jitter = v2.ColorJitter(p.brightness, p.contrast, p.saturation, p.hue)
    steps = [
        v2.RandomResizedCrop(case.size, p.crop_scale, p.crop_ratio, antialias=True),
        v2.RandomHorizontalFlip(p.flip),
        v2.RandomApply([jitter], p.jitter),
        v2.RandomGrayscale(p.grey),
        v2.RandomApply([blur], p.blur) if p.blur else v2.Identity(),
    ]
    floats = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    ordered = [*floats, *steps] if early else [*steps, *floats]
    return v2.Compose([*ordered, v2.Normalize(list(MEAN), list(STD))])


def contenders(case: Case, device: torch.device) -> dict[str, Callable[[], object]]:
    """Functions that each make two views of every image; all read from memory, none decodes."""
    pixels, extent = photographs(case)
    crops = [p[:, :h, :w] for p, (h, w) in zip(pixels, extent.tolist(), strict=True)]
    held = pixels.to(device)
    ours = Augmenter(case.policy, case.size, MEAN, STD)
    exact = Augmenter(case.policy.replace(exact=True), case.size, MEAN, STD)
    kernel = case.size // 20 * 2 + 1  # SimCLR: 10 % of the size, odd; 23 at 224
    wide = v2.GaussianBlur(kernel, case.policy.blur_sigma)
    late, early = pipeline(case, wide), pipeline(case, wide, early=True)
    planar = [c.contiguous().to(device) for c in crops]
    strided = [c.to(device) for c in crops]
    found: dict[str, Callable[[], object]] = {
        OURS: lambda: ours.views(held, extent, Seed(1)),
        "masquerade, exact=true": lambda: exact.views(held, extent, Seed(1)),
        "torchvision, uint8 tensors": lambda: twice(late, planar),
        "torchvision, uint8 tensors, channels last": lambda: twice(late, strided),
        "torchvision, float32 tensors": lambda: twice(early, planar),
    }
    if device.type == "cpu":
        pictures = [v2.functional.to_pil_image(c) for c in crops]
        found["torchvision, Pillow images"] = lambda: twice(late, pictures)
        if case.policy.blur:
            theirs = pipeline(case, PillowBlur(case.policy.blur_sigma))
            found["torchvision, Pillow images and blur"] = lambda: twice(theirs, pictures)
    return found


def twice(transform: v2.Compose, images: list[Any]) -> tuple[Tensor, Tensor]:
    """Two stacked views of every image."""
    first, second = (torch.stack([transform(image) for image in images]) for _ in range(2))
    return first, second


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """CPU-seconds, or on a GPU wall seconds until it is idle."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(case: Case, device: torch.device, rounds: int) -> dict[str, Found]:
    """All contenders of one case; a first round warms up and is not counted."""
    work = contenders(case, device)
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, run in work.items():
            taken = seconds(run, device) / (2 * case.images) * 1e6
            if number:
                times[name].append(taken)
    return {
        name: Found(
            Spread.of(taken),
            Spread.of([t / own for t, own in zip(taken, times[OURS], strict=True)]),
        )
        for name, taken in times.items()
    }


def best(found: dict[str, Found]) -> str:
    """The fastest path of torchvision."""
    theirs = [name for name in found if name.startswith("torchvision")]
    return min(theirs, key=lambda name: found[name].ratio.median)


def said(case: Case, found: dict[str, Found]) -> str:
    """A case in words, and a table of its contenders."""
    sides = "" if case.aspect == 1 else f", the shorter side {case.aspect:g} of the longer"
    rows = [(n, f.microseconds.said(0), f.ratio.said(1)) for n, f in found.items()]
    return (
        f"## {case.name}\n\n{case.images} images of {case.canvas} px{sides}, as "
        f"the cache keeps them for views of {case.size} px.\n\n"
        + table(("path", "microseconds per view", "times masquerade"), rows)
    )


def main() -> None:
    """Measure all cases and write docs/results/augment (augment_cuda on a GPU)."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    told = parser.parse_args()
    runtime = Runtime(accelerator=told.device, threads=1).resolved()
    torch.set_num_threads(runtime.threads)
    where, device = machine(runtime), runtime.device()
    results = {case: measured(case, device, told.rounds) for case in CASES}
    goals = [
        Goal(
            f"{case.name}: at least {case.goal:g} times as fast as the best path of torchvision",
            f"{found[best(found)].ratio.said(1)} times ({best(found)})",
            found[best(found)].ratio.median >= case.goal,
        )
        for case, found in results.items()
        if case.goal is not None
    ]
    goals.append(
        Goal(
            "32 px: about 73 microseconds per view (DESIGN.md)",
            f"{results[CASES[0]][OURS].microseconds.said(0)}",
            results[CASES[0]][OURS].microseconds.median <= 73,
        )
    )
    dtype = resampling_dtype(torch.empty(1, 3, 1, 1, dtype=torch.uint8, device=device))
    clock = "CPU time of one thread" if device.type == "cpu" else "wall time"
    body = (
        f"Two SimCLR views of every image, standardised float32 ({clock}; median, lowest and "
        f"highest of {told.rounds} rounds in which all take turns; ratios within a round). "
        f"masquerade resamples in {str(dtype).removeprefix('torch.')} here. Blur of torchvision: "
        "the kernel of SimCLR, 10 % of the size; Pillow's blur has no kernel size."
    )
    figures = {
        case.name: {
            "case": case._asdict(),
            "policy": case.policy.tree(),
            "paths": {
                n: {k: s._asdict() for k, s in f._asdict().items()} for n, f in found.items()
            },
            "best_of_torchvision": best(found),
        }
        for case, found in results.items()
    }
    write(
        "augment" if device.type == "cpu" else "augment_cuda",
        "Augmentation alone, from the cache",
        [body, *(said(case, found) for case, found in results.items())],
        {"cases": figures, "rounds": told.rounds},
        goals,
        where,
    )


if __name__ == "__main__":
    main()
