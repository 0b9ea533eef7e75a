"""What is an encoder good for? Segmentation, detection, masks of scenes, few labels.

Encoders are those of `adversaries.py` (a CNN of 0.3 million parameters, 300 to 400 steps at 32
pixels), trained here where `--out` does not hold them yet. On scenes of 2 to 6 toybox objects: an
FCN and a Faster R-CNN on top of each encoder, and its masks as segmentations, beside k-means
clusters of colours and masks drawn by chance. With few labels: a linear probe, the fine-tuned
encoder, and the same network from scratch. What is measured already under `--out` is not measured
again, so the script may be cut and repeated; some 45 CPU-minutes.

    python benchmarks/downstream.py --seeds 3
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.adversaries import METHODS as ADVERSARIES
from benchmarks.downstream_page import body, judged
from benchmarks.machine import ROOT, machine, write
from benchmarks.trials import CNN, EPOCHS, Case, Study

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.sources import scenes
from masquerade.engine.optimizers import sgd
from masquerade.engine.runtime import Runtime
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import detect, finetune_sgd, linear, maskquality, segment, semi
from masquerade.evaluate.base import ProtocolConfig
from masquerade.jobs import evaluate, masks
from masquerade.maskers import clusters, erase
from masquerade.networks import encoder_file

HELD = "Sequential, budget held"
DYNAMIC = "Sequential, dynamic budget"
METHODS = {n: ADVERSARIES[n] for n in ("SimCLR", "ADIOS", HELD)} | {DYNAMIC: ["dynamic", *CNN]}
SCENES = scenes.Config(pixels=64, count=600, count_test=200)
SOFT = Schedule(warmup=1, start=0.0, per="step")
CLASSES = segment.Config(epochs=8, side=64, optimizer=sgd.Config(lr=0.02, schedule=SOFT))
DENSE: dict[str, ProtocolConfig] = {
    "segment": CLASSES,
    "objects": CLASSES.replace(agnostic=True),
    "detect": detect.Config(
        epochs=4,
        side=96,
        agnostic=True,
        anchors=(16, 24, 32, 48),
        rois=16,
        proposals=50,
        optimizer=sgd.Config(lr=0.02, schedule=SOFT),
    ),
}
TUNED = finetune_sgd.Config(
    epochs=12, batch=32, kept_statistics=False, optimizer=sgd.Config(lr=0.05, schedule=SOFT)
)
FEW: dict[str, dict[str, tuple[float, ...]]] = {
    "toybox": {"groups": (1, 3, 10)},
    "fashion_mnist": {"ratio": (0.01, 0.1)},
}
PROPOSED = ("masks by chance", "colour clusters")
Say = Callable[[str], None]


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "adversaries")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for every run")
    parser.add_argument("--smoke", action="store_true", help="one epoch of everything")
    told = parser.parse_args(words)
    runtime = Runtime(threads=1).resolved()
    torch.set_num_threads(1)
    where = machine(runtime)
    study = Study(
        METHODS, lambda method: "SimCLR", told.out, told.set, lambda case: ["baselines=false"]
    )
    for seed in range(told.seeds):
        for data, methods in (("toybox", METHODS), ("fashion_mnist", ("SimCLR",))):
            for method in methods:
                case = Case(data, method, seed, EPOCHS[data])
                study.run(case)
                measure(study, case, told.smoke)
    figures = collected(study, told.seeds)
    write("downstream", "Finished encoders at work", body(figures), figures, judged(figures), where)
    return 0


def measure(study: Study, case: Case, smoke: bool) -> None:
    """Everything that is measured of one run."""
    run, untrained = RunDir(study.place(case)), case.method == "SimCLR"
    plain = evaluate.Evaluate.of(run, [], {}).replace(tests=("test",), seed=case.seed)
    few: dict[str, ProtocolConfig] = {
        f"few-{key}-{value:g}-{name}": semi.Config(draw=case.seed, head=head).replace(
            **{key: value}
        )
        for key, values in FEW[case.data].items()
        for value in values
        for name, head in (("linear", linear.Config()), ("tuned", TUNED))
    }
    if case.method in ("SimCLR", HELD):
        finish(run, plain.replace(protocols=few, baselines=untrained), smoke)
    if case.data != "toybox":
        return
    if case.method in ("SimCLR", HELD):
        finish(run, plain.replace(data=SCENES, protocols=DENSE, baselines=untrained), smoke)
    if not run.has("eval/scenes.json"):
        run.write_json("eval/scenes.json", scene_masks(run, case))


def finish(run: RunDir, config: evaluate.Evaluate, smoke: bool) -> None:
    """Run the protocols of an evaluation that are not done, one after the other."""
    for name, protocol in config.protocols.items():
        wanted = one_epoch(protocol) if smoke else protocol
        done = run.results("eval").get(name, {})
        if done.get("protocol") == wanted.tree():
            continue
        limit = 64 if smoke else config.limit
        one = config.replace(protocols={name: wanted}, limit=limit)
        evaluate.run(one, run, lambda line: print(f"{run.path.name}, {line}", flush=True))


def one_epoch(protocol: ProtocolConfig) -> ProtocolConfig:
    """A protocol that is over in seconds."""
    if isinstance(protocol, semi.Config):
        return protocol.replace(head=one_epoch(protocol.head))
    return protocol.replace(epochs=1) if "epochs" in type(protocol).model_fields else protocol


def scene_masks(run: RunDir, case: Case) -> dict[str, dict[str, float]]:
    """The quality of a run's masks on scenes; beside SimCLR, which has none, that of the others."""
    card = encoder_file.card(run.path)
    train, test = (SCENES.load(split, card.size) for split in ("train", "test"))
    stream = Seed(case.seed).fold("masks")
    if case.method == "SimCLR":
        drawn = erase.Config(masks=3, grid=4, ratio=0.5).build(card.size, card.channels)
        proposals = dict(
            zip(PROPOSED, (lambda images: drawn.propose(images, stream), coloured), strict=True)
        )
    else:
        trained = masks.learned(run)
        proposals = {case.method: lambda images: masks.proposed(trained, images, stream)}
    return {
        name: maskquality.measure(
            propose,
            train,
            {"test": test},
            size=card.size,
            mean=card.mean,
            std=card.std,
            images=400,
        ).metrics
        for name, propose in proposals.items()
    }


def coloured(images: torch.Tensor) -> torch.Tensor:
    """The clusters of each image's colours as masks, as many as Sequential has and one more."""
    return F.one_hot(clusters.clusters(images, 4), 4).permute(0, 3, 1, 2).float()


def collected(study: Study, seeds: int) -> dict[str, Any]:
    """Every figure: by what is measured, then by row, one value for each seed."""
    found: dict[str, Any] = {"dense": {}, "masks": {}, "few": {}, "cost": {}}
    found["background"] = background()
    for data, method, seed in ((d, m, s) for d in FEW for m in METHODS for s in range(seeds)):
        run = RunDir(study.place(Case(data, method, seed, EPOCHS[data])))
        if not run.has("summary.json"):
            continue
        for name, result in run.results("eval").items():
            if name == "scenes":
                for who, numbers in result.items():
                    for key, value in numbers.items():
                        put(found["masks"], (who, key), value)
            for who, row in result.get("rows", {}).items():
                row_name = method if who == "trained" else who
                if name in DENSE:
                    for key, value in row.items():
                        put(found["dense"], (row_name, f"{name} {key}"), value)
                if name.startswith("few-") and "test/top1" in row:
                    put(found["few"], (data, name, row_name), row["test/top1"])
        if data == "toybox":
            summary = run.read_json("summary.json")
            put(found["cost"], (method,), summary["cpu_seconds"] / summary["steps"])
    return found


def background() -> float:
    """The share of the pixels of the test scenes that show no object."""
    scene = SCENES.load("test", SCENES.pixels)
    assert scene.dense is not None
    rows = torch.arange(len(scene)).numpy()
    return float((scene.dense.semantic(rows) == 0).float().mean())


def put(tree: dict[str, Any], path: tuple[str, ...], value: float) -> None:
    """Add a value to the list at the end of a path."""
    *way, last = path
    for key in way:
        tree = tree.setdefault(key, {})
    tree.setdefault(last, []).append(value)


if __name__ == "__main__":
    sys.exit(main())
