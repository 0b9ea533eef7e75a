"""The runs of mim.py on Fashion-MNIST: pretrained, fine-tuned, corrupted, attacked."""

import json
from pathlib import Path
from typing import NamedTuple

from benchmarks.trials import masquerade

from masquerade.core.rundir import RunDir

LONGER = "MAE, same CPU"
EPOCHS = 6
BUDGETS = (0.5, 1, 2, 4, 8)  # in levels of 1/255
IMAGES = ["data=fashion_mnist", "limit=4000"]
NARROW = ["backbone.options.embed_dim=64"]
ARMS: dict[str, list[str]] = {
    "MAE": ["mae", *NARROW],
    "MAE + sign noise": ["noise_twin", *NARROW],
    "AEMIM": ["aemim", *NARROW],
}
TUNED = {  # MAE's fine-tuning, cut down to 310 steps
    "epochs": "5",
    "batch": "64",
    "optimizer.schedule.warmup": "1",
    "layer_decay": "0.75",
    "drop_path": "0",
    "augment.crop_scale": "[0.5,1]",
    "mixing.mixup": "0",
    "mixing.cutmix": "0",
    "mixing.erase": "0",
}
Row = dict[str, float]


class Runs(NamedTuple):
    """Where the runs go, and what is changed in all of them.

    Attributes:
        out: Their folder.
        extra: `key=value` of every pretraining.
        measure: `key=value` of every evaluation.
    """

    out: Path
    extra: tuple[str, ...]
    measure: tuple[str, ...]

    def row(self, arm: str, seed: int) -> Row:
        """What an arm ends with; runs what is not done."""
        epochs = EPOCHS
        if arm == LONGER:
            ours, plain = (self._cpu(self._pretrained(a, seed, EPOCHS)) for a in ("AEMIM", "MAE"))
            arm, epochs = "MAE", max(EPOCHS, round(EPOCHS * ours / plain))
        run = self._pretrained(arm, seed, epochs)
        if not all(run.has(f"eval/{name}.json") for name in ("corruptions", "robustness")):
            masquerade(["evaluate", str(run.path), *evaluation(), *self.measure], run.path)
        found = {
            name: run.read_json(f"eval/{name}.json")["rows"]["trained"]
            for name in ("finetune", "corruptions", "robustness")
        }
        attacked = found["robustness"]
        return {
            "clean": found["finetune"]["test/top1"],
            "corrupted": 1 - found["corruptions"]["test/top1"],
            **{f"linf_{level:g}": attacked[f"test/linf_{level:g}_top1"] for level in BUDGETS},
            "noise": attacked[f"test/noise_linf_{BUDGETS[-1]:g}_top1"],
            "epochs": epochs,
            "cpu": self._cpu(run),
        }

    def _pretrained(self, arm: str, seed: int, epochs: int) -> RunDir:
        words = "".join(c if c.isalnum() else "-" for c in arm.lower())
        place = self.out / f"{words}-{epochs}-epochs-seed-{seed}"
        if not (place / "summary.json").exists():
            recipe, *changes = ARMS[arm]
            told = [f"seed={seed}", f"epochs={epochs}", "runtime.threads=1", *self.extra]
            masquerade(["pretrain", recipe, f"out={place}", *IMAGES, *changes, *told], place)
        return RunDir(place)

    def _cpu(self, run: RunDir) -> float:
        return float(run.read_json("summary.json")["cpu_seconds"])


def evaluation() -> list[str]:
    """The words of the evaluation: one fine-tuned network, which the others find in the cache."""
    found = ["finetune", "corruptions", "robustness", "limit=4000", "baselines=false"]
    found += ["runtime.threads=1", "corruptions.head=finetune", "robustness.head=finetune"]
    for before in ("finetune", "corruptions.head", "robustness.head"):
        found += [f"{before}.{key}={value}" for key, value in TUNED.items()]
    pgd = {"attack": {"kind": "pgd", "steps": 20}, "measure": "ce"}
    return [
        *found,
        "corruptions.images=400",
        "corruptions.severities=[1,3,5]",
        "robustness.images=300",
        "robustness.blind=false",
        f"robustness.linf={json.dumps(BUDGETS)}",
        f"robustness.strikes={json.dumps([pgd])}",
    ]
