"""Run folders as jobs leave them, written without training anything."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed

THINGS = "bed chair electronics lamp person plant sofa table vehicle vessel"
CLASSES = tuple(THINGS.split())
Scores = dict[str, dict[str, float]]
SCORES: Scores = {
    "trained": {"test/top1": 0.412, "seen/top1": 0.503},
    "untrained": {"test/top1": 0.321, "seen/top1": 0.362},
    "pixels": {"test/top1": 0.233, "seen/top1": 0.301},
}
WriteRun = Callable[..., RunDir]


def noise(name: str) -> np.random.Generator:
    return np.random.default_rng(Seed(0).fold(name).integer())


def photos(count: int, size: int = 32) -> NDArray[np.uint8]:
    """Bright discs on dark slopes, each with its own colour and place."""
    rng = noise("photos")
    y, x = np.mgrid[:size, :size] / size
    images = []
    for _ in range(count):
        place, colour, slope = rng.uniform(0.25, 0.75, 2), rng.uniform(90, 255, 3), rng.random(3)
        disc = (x - place[0]) ** 2 + (y - place[1]) ** 2 < rng.uniform(0.03, 0.09)
        ground = 20 + 70 * np.outer(x.ravel(), slope).reshape(size, size, 3)
        images.append(np.where(disc[..., None], colour, ground))
    return np.stack(images).round().astype(np.uint8)


def softness(images: NDArray[np.uint8], masks: int, firm: float) -> NDArray[np.uint8]:
    """Masks that follow the brightness of an image, the more so the firmer."""
    light = images.mean(3) / 255
    levels = np.linspace(0.2, 0.8, masks)[None, :, None, None]
    z = firm * (0.2 - np.abs(light[:, None] - levels)) - 1
    return np.asarray((255 / (1 + np.exp(-z))).round(), np.uint8)


def config(title: str, seed: int, maskers: int, **more: Any) -> dict[str, Any]:
    sequential = {"kind": "sequential", "masks": maskers, "budget": 0.25, "overlap": 0.92}
    return {
        "title": title,
        "data": {"kind": "toybox", "preset": "things10", "images": 4000},
        "split": "auto",
        "size": 32,
        "backbone": {"name": "resnet18", "stem": "auto", "weights": None, "options": {}},
        "objective": {"kind": "simclr", "temperature": 0.2, "projector": [2048, 128]},
        "maskers": [sequential] if maskers else [],
        "augment": {"crop_scale": [0.08, 1.0], "flip": 0.5, "jitter": 0.8, "exact": False},
        "optimizers": {"encoder": {"kind": "lars", "lr": 0.3}, "masker": {"kind": "adam"}},
        "step": "reversal",
        "epochs": 20,
        "batch": 256,
        "seed": seed,
        "runtime": {"devices": 1, "precision": "auto"},
        **more,
    }


def rows(steps: int, maskers: int, dead: int | None = 2) -> list[dict[str, float]]:
    rng = noise("metrics")
    found: list[dict[str, float]] = []
    for step in range(0, steps, 2):
        t = step / 300
        row = {
            "step": step,
            "epoch": step // 15,
            "cpu_seconds": 1.7 * step + 3,
            "encoder/loss": 3 + 3 * np.exp(-3 * t) + 0.12 * rng.normal(),
            "encoder/lr": 0.3 * (1 + np.cos(np.pi * t)) / 2,
            "probe/loss": 2.3 - t,
            "probe/top1": 0.1 + 0.35 * (1 - np.exp(-4 * t)) + 0.03 * rng.normal(),
        }
        for k in range(maskers):
            row[f"masker/size/{k}"] = 0.25 + (0.1 - 0.07 * k) * np.sin(3 * t) * t
        if maskers:
            row |= {
                "masker/loss": -row["encoder/loss"],
                "masker/price": 0.02 + 0.2 * np.exp(-5 * t),
            }
            row |= {"masker/softness": 0.75 - 0.5 * t, "masker/image_dependence": 0.2 + 0.4 * t}
            row |= {
                "masker/dimming": 0.9 - 0.6 * t,
                "masker/overlap": 0.2,
                "masker/raggedness": 0.1,
            }
            row |= {"masker/gradient": 0.2, "encoder/gradient": 1.0}
        for k in range(maskers):
            row |= {f"masker/loss/{k}": row["encoder/loss"] + 0.3, f"masker/gain/{k}": 0.3}
            if k == dead and step >= 100:
                row[f"masker/size/{k}"] = 0.01
        found.append(row)
        if step % 10 == 0:
            health = {"std": 0.6 + 0.35 * t, "rankme": 20 + 40 * t}
            health |= {"alignment": 0.5 - 0.2 * t, "uniformity": -2 - 1.2 * t}
            found.append({"step": step, **{f"health/{k}": v for k, v in health.items()}})
        if step % 15 == 14:
            shares = {"data": 0.02, "augmentation": 0.09, "encoder": 0.62, "watching": 0.01}
            shares |= {"masker": 0.26} if maskers else {}
            found.append({"step": step, "epoch": step // 15, "images_per_s": 82.0})
            found[-1] |= {f"time/{k}": v for k, v in shares.items()}
    return found


def measured(scores: Scores, images: int = 1000) -> dict[str, Any]:
    return {
        "protocol": {"k": 20, "metric": "cosine", "vote": "weighted", "layer": "features"},
        "data": "toybox things10 test: rendered objects on real photo tiles",
        "rows": scores,
        "notes": [],
    }


def store(run: RunDir, name: str, arrays: dict[str, NDArray[Any]]) -> None:
    run.write(name, lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]  # by name


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run folder; every part of it can be left out or changed."""

    def write(
        name: str = "sequential",
        *,
        seed: int = 0,
        maskers: int = 4,
        finished: bool = True,
        scores: Scores | None = SCORES,
        labels: bool = True,
        classes: tuple[str, ...] = CLASSES,
        pictures: NDArray[np.uint8] | None = None,
        dead: int | None = 2,
        title: str | None = None,
        **more: Any,
    ) -> RunDir:
        run = RunDir(tmp_path / name)
        pictures = photos(60) if pictures is None else pictures
        run.write_json("config.json", config(title or name, seed, maskers, **more))
        run.write_json("environment.json", {"torch": "2.6", "device": "CPU, bf16", "cores": 2})
        lines = rows(300 if finished else 90, maskers, dead)
        if not labels:
            lines = [{k: v for k, v in r.items() if not k.startswith("probe")} for r in lines]
        run.write_text("metrics.jsonl", "".join(json.dumps(r) + "\n" for r in lines))
        for step, firm in ((10, 1.0), (75, 6.0), (150, 12.0), (300, 20.0)):
            if maskers and (finished or step < 90):
                shown = pictures[:8]
                masks = {"images": shown, "hidden": softness(shown, maskers, firm)}
                store(run, f"masks/step_{step:07d}.npz", masks)
        if finished:
            write_summary(run, name, maskers)
        if finished and scores and labels:
            for protocol, offset in (("knn", -0.05), ("linear", 0.0)):
                moved = {r: {k: v + offset for k, v in s.items()} for r, s in scores.items()}
                run.write_json(f"eval/{protocol}.json", measured(moved))
                store(
                    run, f"eval/{protocol}.npz", {"trained/confusion/test": np.full((10, 10), 10)}
                )
            if maskers:
                about = {"slot": 2, "test/iou": 0.45, "test/square": 0.40, "chosen_on": "train"}
                about |= {"test/ari": 0.31, "test/square_ari": 0.13}
                run.write_json("eval/masks.json", about)
        if finished:
            write_embedding(run, pictures, labels, classes)
        return run

    return write


def write_summary(run: RunDir, title: str, maskers: int) -> None:
    run.write_json(
        "summary.json",
        {
            "title": title,
            "data": "toybox things10 train: rendered objects on real photo tiles",
            "images": 4000,
            "steps": 300,
            "epochs": 20,
            "cpu_seconds": 512.3,
            "images_per_cpu_second": 149.9,
            "checkpoint_share": 0.01,
            "verdict": {
                "healthy": True,
                "text": "healthy: different images get different embeddings",
            },
            "mask_verdicts": ["mask 3 hides almost nothing (1 % of the image)"] if maskers else [],
            "notes": [],
            "encoder_line": "resnet18, small stem (3x3, no max-pool) because images are 32 px",
        },
    )


def write_embedding(
    run: RunDir, pictures: NDArray[np.uint8], labels: bool, classes: tuple[str, ...]
) -> None:
    n = len(pictures)
    label = np.arange(n) % len(classes)
    angle = 2 * np.pi * label / len(classes)
    place = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.28 * noise("map").normal(size=(n, 2))
    near = np.linalg.norm(place[:, None] - place[None], axis=2).argsort(1)
    queries = np.arange(0, min(n, 6))
    arrays = {
        "map": place.astype(np.float32),
        "labels": label if labels else np.full(n, -1),
        "thumbnails": pictures,
        "queries": queries,
        "neighbours": near[queries, 1:8],
        "similarity": np.linspace(0.95, 0.6, 7)[None].repeat(len(queries), 0),
    }
    store(run, "eval/embedding.npz", arrays)
    about = {"classes": list(classes) if labels else [], "method": "PCA", "data": "test"}
    run.write_json("eval/embedding.json", about)
