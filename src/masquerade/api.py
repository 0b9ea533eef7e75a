"""The verbs as functions that return objects: `import masquerade as mq; run = mq.pretrain(...)`."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from masquerade.core.config import Settings
from masquerade.core.errors import WrongPath
from masquerade.core.rundir import RunDir
from masquerade.export.masker import load_masker as load_masker
from masquerade.jobs import certify as certifying
from masquerade.jobs import embed as embedding
from masquerade.jobs import evaluate as evaluating
from masquerade.jobs import finished, hide, importing
from masquerade.jobs import masks as mask_quality
from masquerade.jobs import predict as predicting
from masquerade.jobs import pretrain as training
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.hide import Masks
from masquerade.jobs.importing import Import
from masquerade.jobs.predict import Prediction
from masquerade.jobs.settings import Pretrain, fitting
from masquerade.networks.backbone import Backbone
from masquerade.recipes.base import recipe
from masquerade.report import page

Say = Callable[[str], None]
Measured = dict[str, Any]


class Run:
    """A run and what can be done with it: `mq.Run("runs/photos").encoder`.

    Attributes:
        folder: Its folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Takes a folder that `pretrain` wrote; raises `MissingData` for any other."""
        self.folder = existing(path)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path

    @cached_property
    def encoder(self) -> Backbone:
        """The trained encoder, in evaluation mode; `encoder.from_pixels` takes images in [0, 1]."""
        return finished.encoder(self.folder)

    @property
    def settings(self) -> Pretrain:
        """What it was trained with."""
        return finished.settings(self.folder)

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

    def evaluate(self, *protocols: str, say: Say = training.silent, **settings: Any) -> Measured:
        """Measure the encoder: `run.evaluate("knn", knn__k=10, data="photos/labelled")`.

        Args:
            protocols: `knn`, `linear`, `embedding`, or `masks` for what the maskers hide; all
                that the images allow unless some are named.
            say: Takes lines for the user.
            settings: Changes by name, as for `pretrain`.

        Returns:
            By protocol: `rows`, the numbers of each encoder, and `notes`, sentences.
        """
        return measured(self.folder, protocols, words(settings), say)

    def certify(self, say: Say = training.silent, **settings: Any) -> Measured:
        """Prove how many poisoned labelled images predictions survive: `run.certify(parts=100)`.

        Args:
            say: Takes lines for the user.
            settings: Changes by name, as for `masquerade certify`: `rule="dpa"`, `data=...`.

        Returns:
            What `certify/certify.json` says: scope, sentence, assumptions, and by rule the curve
            of certified accuracy.
        """
        config = Certify.of(self.folder).with_words(words(settings))
        return certifying.run(config, self.folder, self.folder, say)

    def predict(self, images: str | Path, head: str = "", split: str = "") -> list[Prediction]:
        """Label images with the head that `evaluate` kept."""
        return predicting.run(self.folder, str(images), head, split, training.silent)

    def masks(
        self,
        images: str | Path,
        out: str | Path = "",
        masker: int | None = None,
        hard: bool = True,
        split: str = "",
        say: Say = training.silent,
    ) -> Masks:
        """Write what the learned masker hides in images: `run.masks("photos").folder`.

        Args:
            images: A file, a folder, a list, an array or a source.
            out: The folder to write; `masks/NAME` in the run's folder unless one is named.
            masker: Its place in the run's settings, from 0; the first that has learned.
            hard: Whether label maps are written beside the soft masks.
            split: The part of a source.
            say: Takes lines for the user.

        Raises:
            ValueError: The run has no learned masker, or the images do not fit it.
            MissingData: The images are not there.
        """
        return hide.run(self.folder, str(images), str(out), masker, hard, split, say)

    def embed(
        self,
        images: str | Path = "",
        out: str | Path = "",
        split: str = "",
        say: Say = training.silent,
    ) -> Path:
        """Write the features of images with their names: `run.embed("photos", "features.npz")`.

        Args:
            images: A file, a folder, a list, an array or a source; the run's own if empty.
            out: `.npz`, `.parquet` or `.csv`; `embed/NAME.npz` in the run's folder unless named.
            split: The part of a source, or several parted by commas.
            say: Takes lines for the user.

        Returns:
            The file.
        """
        return embedding.run(self.folder, str(images), str(out), split, say)

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
    changes = words(settings)
    if isinstance(recipe_or_settings, Pretrain):
        config = recipe_or_settings.override(changes)
        told(recipe_or_settings, config, say)
    else:
        config = settled(recipe_or_settings, scale, changes, say)
    training.run(config, out, say)
    return Run(out)


def import_encoder(
    source: str | Path, backbone: str, out: str | Path, say: Say = print, **settings: Any
) -> Run:
    """Make a run of somebody else's checkpoint: `import_encoder("moco.pth", "resnet50", "runs/m")`.

    Args:
        source: A file of timm, torchvision, MoCo, MAE, solo-learn or lightly; no code in it is run.
        backbone: The name of its network, as timm or `torchvision:` have it.
        out: The run's folder.
        say: Takes lines for the user.
        settings: Changes by name, as for `masquerade import`: `size=96`, `backbone__stem="small"`.

    Raises:
        ValueError: It cannot be read safely, or does not hold the whole network.
        MissingData: There is no such file.
    """
    config = Import.parse({"backbone": {"name": backbone}}).override(words(settings))
    return Run(importing.run(config, str(source), Path(out), say).path)


def settled(name: str, scale: str, changes: Sequence[str], say: Say) -> Pretrain:
    """A recipe's settings after `key=value` changes.

    Unless the changes name a batch, it is made smaller where there are not images enough for it,
    and that is said.
    """
    plain = recipe(name, scale)
    config = plain.override(changes)
    told(plain, config, say)
    asked = any(text.startswith("batch=") for text in changes)
    return config if asked else fitting(config, say)


def told(before: Pretrain, after: Pretrain, say: Say) -> None:
    """Says which changes of the settings have no effect."""
    for note in training.unheard(before, after):
        say(note)


def existing(path: str | Path) -> RunDir:
    """The folder of a run.

    Raises:
        MissingData: It is none; the text says what it is instead.
    """
    run = RunDir(path)
    if run.has("config.json"):
        return run
    if run.has("demo.json"):
        runs = sorted(str(p.parent) for p in run.path.glob("*/config.json"))
        raise WrongPath(f"{path} is a demo of several runs; name one: {', '.join(runs)}")
    if run.path.is_dir():
        raise WrongPath(f"{path} is no run: the folder holds no config.json{nearby(run.path)}")
    if run.path.exists():
        raise WrongPath(f"{path} is a file, not the folder of a run{nearby(run.path)}")
    raise WrongPath(f"{path} does not exist (looked from {Path.cwd()}){nearby(run.path)}")


def nearby(path: Path) -> str:
    """The runs beside a wrong path, or in it, as the end of a sentence."""
    places = [*path.glob("*/config.json"), *path.parent.glob("*/config.json")]
    there = sorted(str(place.parent) for place in places)
    return f". There are: {', '.join(there[:8])}" if there else ""


def measured(folder: RunDir, names: Sequence[str], changes: Sequence[str], say: Say) -> Measured:
    """Protocols on a run's encoder, and its masks where there are exact ones to compare with."""
    config = evaluating.Evaluate.of(folder, [n for n in names if n != "masks"], {})
    config = config.with_words(list(changes))
    found = evaluating.run(config, folder, say) if set(names) != {"masks"} else {}
    if "masks" in names or (not names and mask_quality.has_masks(folder, config)):
        say("masks: compared with the exact ones")
        found["masks"] = mask_quality.run(folder, config)
    return found


def plain(value: Any) -> Any:
    """What JSON takes in the place of settings and paths."""
    return value.tree() if isinstance(value, Settings) else str(value)


def words(settings: dict[str, Any]) -> list[str]:
    """Keyword arguments as `key=value` words."""
    import json

    changes = dict(settings.pop("changes", {}))
    changes |= {key.replace("__", "."): value for key, value in settings.items()}
    told = []
    for key, value in changes.items():
        text = str(value) if isinstance(value, str | Path) else json.dumps(value, default=plain)
        told.append(f"{key}={text}")
    return told
