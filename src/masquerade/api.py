"""The verbs as functions that return objects: `import masquerade as mq; run = mq.pretrain(...)`."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from masquerade.core.config import Settings
from masquerade.core.rundir import RunDir
from masquerade.jobs import evaluate as evaluating
from masquerade.jobs import masks as mask_quality
from masquerade.jobs import predict as predicting
from masquerade.jobs import pretrain as training
from masquerade.jobs.predict import Prediction
from masquerade.jobs.settings import Pretrain
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone
from masquerade.recipes.base import recipe
from masquerade.report import page

Say = Callable[[str], None]
DEMO_IMAGES = 10_000  # at most so many of a split, so that the demo ends in minutes


class Run:
    """A finished run and what can be done with it.

    Attributes:
        folder: Its folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunDir(path)
        self.folder.read_json("config.json")

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path

    @cached_property
    def encoder(self) -> Backbone:
        """The trained encoder, in evaluation mode; `encoder.from_pixels` takes images in [0, 1]."""
        return encoder_file.load(self.path).eval()

    @property
    def settings(self) -> Pretrain:
        """What it was trained with."""
        return Pretrain.parse(self.folder.read_json("config.json"))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """What was logged, one row per logged step, oldest first."""
        rows: dict[int, dict[str, Any]] = {}
        for row in self.folder.lines():
            rows[row["step"]] = rows.get(row["step"], {}) | row
        return list(rows.values())

    @property
    def summary(self) -> dict[str, Any]:
        """Steps, time, verdicts."""
        content: dict[str, Any] = self.folder.read_json("summary.json")
        return content

    def evaluate(self, *protocols: str, **settings: Any) -> dict[str, Any]:
        """Measure the encoder, by kNN, linear probe and map unless some are named."""
        config = evaluating.Evaluate.of(self.folder, list(protocols), {}).override(words(settings))
        return evaluating.run(config, self.folder, training.silent)

    def predict(self, images: str | Path, head: str = "") -> list[Prediction]:
        """Label images with the head that `evaluate` kept."""
        return predicting.run(self.folder, str(images), head, training.silent)

    @property
    def report(self) -> Path:
        """The run as one HTML page, written anew."""
        return page.write(self.folder)


def pretrain(
    recipe_or_settings: str | Pretrain = "sequential",
    out: str | Path = "runs/run",
    scale: str = "small",
    say: Say = print,
    **settings: Any,
) -> Run:
    """Train an encoder without labels.

    Args:
        recipe_or_settings: A recipe's name (`masquerade list recipes`) or settings.
        out: The run's folder; a run that was cut there goes on.
        scale: `small`, `paper` or `smoke`, for a recipe.
        say: Takes lines for the user.
        settings: Changes by name; a dot is written as two underscores (`runtime__threads=1`),
            or give a dict of dotted keys as `changes`.

    Raises:
        ValueError: A setting is wrong; every mistake is named.
        MissingData: The images are not there.
        CannotResume: The folder holds something else.
    """
    known = isinstance(recipe_or_settings, Pretrain)
    config = recipe_or_settings if known else recipe(str(recipe_or_settings), scale)
    assert isinstance(config, Pretrain)
    training.run(config.override(words(settings)), out, say)
    return Run(out)


def words(settings: dict[str, Any]) -> list[str]:
    """Keyword arguments as `key=value` words."""
    import json

    changes = dict(settings.pop("changes", {}))
    changes |= {key.replace("__", "."): value for key, value in settings.items()}
    told = []
    for key, value in changes.items():
        tree = value.tree() if isinstance(value, Settings) else value
        text = tree if isinstance(tree, str) else json.dumps(tree, default=str)
        told.append(f"{key}={text}")
    return told


def demo(
    data: str = "toybox",
    out: str | Path = "runs/demo",
    seed: int = 0,
    settings: Sequence[str] = (),
    say: Say = print,
) -> RunDir:
    """SimCLR and Sequential at equal steps, SimCLR at Sequential's CPU-seconds, measured and shown.

    Every part that is done already is not done again, so a demo that was cut goes on. Every set
    is seen for about as many steps as the embedded one; of large sets 10,000 images are used.

    Args:
        data: A source, or a folder with one sub-folder per class.
        out: Where the runs, the table (`demo.json`) and the page (`report.html`) go.
        seed: Of everything.
        settings: `key=value` changes to all runs.
        say: Takes lines for the user.
    """
    folder = RunDir(out)
    changes = [f"data={data}", f"seed={seed}", f"limit={DEMO_IMAGES}"]
    count = len(recipe("simclr").override(changes).images())
    usual = recipe("simclr")
    changes.append(f"epochs={max(1, round(usual.epochs * len(usual.images()) / count))}")
    plain = recipe("simclr").override([*changes, *settings])
    masked = recipe("sequential").override([*changes, *settings])
    runs = {}
    say("1 of 3: SimCLR, no masks")
    runs["SimCLR"] = pretrained(plain, folder, "simclr", say)
    say("2 of 3: SimCLR against an adversary that hides (Sequential), equal steps")
    runs["Sequential"] = pretrained(masked, folder, "sequential", say)
    cost = {name: run.summary["cpu_seconds"] for name, run in runs.items()}
    epochs = max(1, round(plain.epochs * cost["Sequential"] / cost["SimCLR"]))
    epochs = known_epochs(folder.path / "simclr-same-cpu", epochs)
    say(f"3 of 3: SimCLR for as many CPU-seconds as Sequential took, {epochs} epochs")
    longer = plain.replace(epochs=epochs, title="SimCLR, same CPU time")
    runs[longer.title] = pretrained(longer, folder, "simclr-same-cpu", say)
    content = demo_table(runs, say)
    folder.write_json("demo.json", content)
    page.write_demo(folder)
    return folder


def pretrained(config: Pretrain, folder: RunDir, name: str, say: Say) -> Run:
    """One run of the demo."""
    training.run(config, folder.path / name, say)
    return Run(folder.path / name)


def known_epochs(path: Path, epochs: int) -> int:
    """The epochs a run of a cut demo began with, else `epochs`."""
    run = RunDir(path)
    return int(run.read_json("config.json")["epochs"]) if run.has("config.json") else epochs


def demo_table(runs: dict[str, Run], say: Say) -> dict[str, Any]:
    """Every run measured, the untrained encoder and raw pixels beside them."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    masks: dict[str, Any] = {}
    for name, run in runs.items():
        wanted = ["knn", "linear", "embedding"] if name == "Sequential" else ["knn", "linear"]
        config = evaluating.Evaluate.of(run.folder, wanted, {}).replace(baselines=name == "SimCLR")
        found = evaluating.run(config, run.folder, say)
        scores = {p: found[p]["rows"] for p in ("knn", "linear")}
        if name == "SimCLR":
            notes += [n for p in ("knn", "linear") for n in found[p]["notes"]]
            rows += [{"name": "raw pixels", **flat(scores, "pixels")}]
            rows += [{"name": "untrained encoder", **flat(scores, "untrained")}]
        summary = run.summary
        cost = {"steps": summary["steps"], "cpu_seconds": summary["cpu_seconds"]}
        rows.append({"name": name, **cost, **flat(scores, "trained")})
        if mask_quality.has_masks(run.folder, config):
            masks = mask_quality.run(run.folder, config)
    names = list(dict.fromkeys(key for row in rows for key in row))
    return {
        "table": {"columns": names, "rows": rows},
        "main": "sequential",
        "notes": list(dict.fromkeys(notes)),
        "masks": masks,
    }


def flat(scores: dict[str, Any], who: str) -> dict[str, float]:
    """`knn_test`, `linear_seen` and so on: top-1 of one encoder."""
    return {
        f"{protocol}_{key.removesuffix('/top1')}": value
        for protocol, rows in scores.items()
        for key, value in rows.get(who, {}).items()
        if key.endswith("/top1") and "_" not in key
    }
