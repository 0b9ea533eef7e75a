"""Certify: heads on frozen features, and how many poisoned training images they survive."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.certify import dpa, ensemble, fa, provenance, roe_dpa, roe_fa
from masquerade.certify.base import Certificate, RuleConfig
from masquerade.certify.ensemble import Ensemble
from masquerade.certify.learners import ridge
from masquerade.certify.learners.base import LearnerConfig
from masquerade.certify.partition import Assign, Parts, health
from masquerade.certify.provenance import Assertion, Assumption, Claim, Manifest
from masquerade.core.rundir import RunDir
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.runtime import Runtime, environment
from masquerade.evaluate.frozen import Frozen
from masquerade.jobs import examples, finished, labelled, radii
from masquerade.jobs.evaluate import TESTS, frozen, untrained
from masquerade.jobs.labelled import Material
from masquerade.jobs.radii import FOLDER, Told
from masquerade.jobs.settings import OnImages, limited
from masquerade.networks import encoder_file

Extractor = Literal["trained", "untrained", "pixels"]
RULES: dict[str, RuleConfig] = {
    "dpa": dpa.Config(),
    "roe_dpa": roe_dpa.Config(),
    "fa": fa.Config(),
    "roe_fa": roe_fa.Config(),
}
SPREAD = ("fa", "roe_fa")  # rules for partitions that reach several models
FILE = "file"  # in the place of an extractor, where features came from a file
SHARES = (0.1, 0.2, 0.3, 0.4)  # of k: the budgets of the table
LOGITS = 1 << 24  # scores at a time


class Certify(OnImages):
    """Settings of a certificate.

    Attributes:
        data: Where the labelled images come from; the run's own source unless told otherwise.
        train: The split that heads are fitted on; `auto` is `train`, or the source's first.
        test: The split whose predictions are certified; `auto` takes the first of test, val and
            seen that there is.
        tests: At most so many of its images, evenly spaced; 0 takes all. Training images are never
            left out: which ones would depend on all of them.
        features: Of the trained encoder, of the same network untrained, or raw pixels.
        rules: By name: how votes make a prediction. Each is a certificate of its own.
        parts: k: a model sees about N / k images. More parts survive more poisons and know less.
        spread: d: partitions that a model of Finite Aggregation sees, of k * d.
        assign: What the partition of an image follows from.
        learner: The base learner.
        asserted: What you answer for and nobody can verify: `label_free` (no label influenced the
            features), `unreachable` (whoever supplies the labelled images could not reach the
            encoder's training images).
        budgets: Numbers of poisons in the table; empty takes tenths of k.
        baselines: Whether an untrained encoder and raw pixels are certified too, to compare with.
        runtime: Device, precision, threads.
    """

    data: SourceConfig
    train: str = "auto"
    test: str = "auto"
    tests: int = Field(0, ge=0)
    features: Extractor = "trained"
    rules: dict[str, RuleConfig] = RULES
    parts: int = Field(50, ge=1)
    spread: int = Field(4, ge=2)
    assign: Assign = "content"
    learner: LearnerConfig = ridge.Config()
    asserted: tuple[Assertion, ...] = ()
    budgets: tuple[int, ...] = ()
    baselines: bool = False
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _ruled(self) -> "Certify":
        if not self.rules:
            raise ValueError("name a rule: rule=dpa")
        if any(b < 0 for b in self.budgets):
            raise ValueError("budgets are numbers of poisons, 0 or more")
        return self

    @classmethod
    def of(cls, run: RunDir | None, changes: Mapping[str, str] = {}) -> "Certify":
        """The settings for a run, or (None) for a file of features, after changes."""
        own: dict[str, Any] = {"data": {"kind": "toybox"}}
        if run:
            trained = finished.settings(run)
            own = {"data": trained.data, "runtime": trained.runtime}
        return cls(**own).with_words([f"{key}={value}" for key, value in changes.items()])

    def with_words(self, words: list[str]) -> "Certify":
        """A copy after overrides with shorthands.

        `rule=dpa,fa` chooses among the rules, `ties=index` and `tight=false` are said of each,
        `asserted=label_free,unreachable` is a list.
        """
        changed, rest = self, []
        for word in words:
            key, _, value = word.partition("=")
            if key == "rule":
                names = [n for n in value.split(",") if n]
                known = {n: self.rules.get(n) or RuleConfig.called(n)() for n in names}
                changed = changed.replace(rules=known)
            else:
                rest.append(word)
        told = []
        for word in rest:
            key, _, value = word.partition("=")
            if key in ("ties", "tight"):
                told += [f"rules.{name}.{word}" for name in changed.rules]
            elif key in ("asserted", "budgets") and not value.startswith(("[", "(")):
                listed = [v for v in value.split(",") if v]
                items: list[Any] = [int(v) if v.isdigit() else v for v in listed]
                told.append(f"{key}={json.dumps(items)}")
            else:
                told.append(word)
        return changed.override(told)

    def splits(self) -> tuple[str, str]:
        """The split to fit on and the split to certify."""
        have = self.data.splits()
        first = "train" if "train" in have else have[0]
        train = first if self.train == "auto" else self.train
        tests = [s for s in TESTS if s in have and s != train]
        if self.test == "auto" and not tests:
            raise ValueError(
                f"data={self.data.kind} has no images besides {train!r} to certify; "
                f"test= names one of {', '.join(have)}"
            )
        return train, tests[0] if self.test == "auto" else self.test

    def divided(self, rule: str) -> Parts:
        """The partitions of a rule."""
        spread = self.spread if rule in SPREAD else 1
        return Parts(parts=self.parts, spread=spread, assign=self.assign)

    def shown(self) -> list[int]:
        """The budgets of the table."""
        tenths = {max(1, round(share * self.parts)) for share in SHARES}
        return sorted(set(self.budgets) or tenths)


def run(
    config: Certify, source: RunDir | Path, out: RunDir, say: Callable[[str], None]
) -> dict[str, Any]:
    """Fit heads, certify, and write everything under `certify/`; returns what certify.json says.

    Args:
        config: The settings.
        source: A finished run, or an .npz file of features (`labelled.of_file`).
        out: Where `certify/` goes: the run's folder, or any.
        say: Takes lines for the user.

    Raises:
        MissingData: The run has no encoder yet, or the images are not there.
        ValueError: The images do not fit, have no labels, or show fewer than two classes.
    """
    runtime = config.runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    for place in (heads("plain"), heads("spread"), examples.FILE):
        out.file(place).unlink(missing_ok=True)  # those of other settings
    material = gathered(config, source, runtime, say)
    found = judged(config, material, say, out)
    content = radii.result(config.tree(), config.shown(), material, claim(config, material), found)
    content["environment"] = environment(runtime)
    content["baselines"] = {}
    if config.baselines and isinstance(source, RunDir):
        for who in [n for n in ("untrained", "pixels") if n != config.features]:
            content["baselines"][who] = beside(config.replace(features=who), source, runtime, say)
    radii.write(out, content, material, found)
    return content


def judged(
    config: Certify, material: Material, say: Callable[[str], None], out: RunDir | None = None
) -> dict[str, Told]:
    """What every rule says; heads and examples are kept in `out` if there is one."""
    found: dict[str, Told] = {}
    for kind in ("plain", "spread"):
        rules = [n for n in config.rules if (n in SPREAD) == (kind == "spread")]
        if not rules:
            continue
        parts = config.divided(rules[0])
        say(f"{kind}: {parts.models:,} heads on {len(material.labels):,} images of {material.name}")
        fitted = ensemble.fit(material.training(parts), material.classes, parts, config.learner)
        found |= certified(config, rules, fitted, material, say)
        if out is None:
            continue
        keep(config, out, kind, fitted, material)
        if "dpa" in rules:
            ties = config.rules["dpa"].ties
            examples.write(out, fitted, found["dpa"].certificate, material.tests, ties)
    return found


def beside(
    config: Certify, source: RunDir, runtime: Runtime, say: Callable[[str], None]
) -> dict[str, Any]:
    """The numbers of each rule on other features of the same images."""
    say(f"{config.features}:")
    material = gathered(config, source, runtime, say)
    found = judged(config, material, say)
    return {name: radii.one(told, config.shown(), material) for name, told in found.items()}


def gathered(
    config: Certify, source: RunDir | Path, runtime: Runtime, say: Callable[[str], None]
) -> Material:
    """Features and labels of what is certified."""
    if isinstance(source, Path):
        return labelled.of_file(source)
    encoder, manifest = extractor(source, config.features, runtime)
    train, test = config.splits()
    size = encoder_file.card(source.path).size
    known, new = config.data.load(train, size), limited(config.data.load(test, size), config.tests)
    say(f"features of {len(known):,} + {len(new):,} images of {known.name}")
    return labelled.of_images(encoder, known, new, manifest)


def extractor(source: RunDir, features: str, runtime: Runtime) -> tuple[Frozen, Manifest]:
    """What gives features (`trained`, `untrained`, `pixels`), and what is known about it."""
    if features == "untrained":
        finished.complete(source)
        return untrained(source, runtime), provenance.UNTRAINED
    trained = frozen(source, runtime)
    if features == "pixels":
        return trained.pixels(), provenance.PIXELS
    return trained, provenance.manifest(source.path)


def claim(config: Certify, material: Material) -> Claim:
    """What may be said about certificates on this material."""
    found = provenance.claim(
        material.source,
        material.digests,
        config.asserted,
        dealt=config.assign == "dealt",
        portable=config.learner.portable,
    )
    parted = "which images are training images was settled before any could be poisoned"
    if not material.drawn:
        return found
    return found._replace(assumptions=(*found.assumptions, Assumption(parted, "open")))


def certified(
    config: Certify,
    rules: list[str],
    fitted: Ensemble,
    material: Material,
    say: Callable[[str], None],
) -> dict[str, Told]:
    """Every rule on one ensemble; scores are made for a few test images at a time."""
    classes, tests = len(material.classes), material.tests
    labels: dict[str, list[Tensor]] = {n: [] for n in rules}
    reach: dict[str, list[Tensor]] = {n: [] for n in rules}
    right = 0.0
    step = max(1, LOGITS // (fitted.parts.models * classes))
    for start in range(0, len(tests.truth), step):
        rows = slice(start, start + step)
        ballots = fitted.ballots(tests.features[rows])
        right += agreeing(ballots.logits, tests.truth[rows])
        for name in rules:
            part = config.rules[name].certify(ballots)
            labels[name].append(part.label)
            reach[name].append(part.radius)
    sizes = health(fitted.partition, fitted.labels, classes)
    base = right / len(tests.truth)
    say(f"certified {len(tests.truth):,} predictions by {', '.join(rules)}")
    return {
        n: Told(Certificate(torch.cat(labels[n]), torch.cat(reach[n])), base, sizes, fitted.parts)
        for n in rules
    }


def agreeing(logits: Float[Tensor, "T K C"], truth: Int[Tensor, " T"]) -> float:
    """The sum over images of the share of models whose highest score is at the right class."""
    heard = logits.amax(2) > -torch.inf
    return ((logits.argmax(2) == truth[:, None]) & heard).double().mean(1).sum().item()


def heads(kind: str) -> str:
    """The file of the heads without a spread (`plain`), or with it (`spread`)."""
    return f"{FOLDER}/{kind}.safetensors"


def keep(config: Certify, out: RunDir, kind: str, fitted: Ensemble, material: Material) -> None:
    """Write the heads of an ensemble, with what a later prediction must know."""
    rules = {n: r.tree() for n, r in config.rules.items() if (n in SPREAD) == (kind == "spread")}
    about = {
        "features": config.features if material.extractor else FILE,
        "extractor": material.extractor,
        "asserted": json.dumps(config.asserted),
        "rules": json.dumps(rules),
        "runtime": json.dumps(config.runtime.tree()),
    }
    ensemble.save(fitted, out.file(heads(kind)), about)
