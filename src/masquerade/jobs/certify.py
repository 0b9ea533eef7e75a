"""Certify: an ensemble on frozen features or raw images, and how many poisons it survives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.certify import provenance
from masquerade.certify.base import Ballots, Certificate
from masquerade.certify.kept import Voters
from masquerade.certify.partition import health
from masquerade.certify.provenance import Assumption, Claim
from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime, environment
from masquerade.jobs import examples, extractors, labelled, radii, voters
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.labelled import Material
from masquerade.jobs.radii import Told
from masquerade.jobs.settings import limited

LOGITS = 1 << 24  # scores at a time


def run(
    config: Certify, source: RunDir | Path | None, out: RunDir, say: Callable[[str], None]
) -> dict[str, Any]:
    """Fit models, certify, and write everything under `certify/`; returns what certify.json says.

    Args:
        config: The settings.
        source: A finished run; an .npz file of features (`labelled.of_file`); None for raw images.
        out: Where `certify/` goes: the run's folder, or any.
        say: Takes lines for the user.

    Raises:
        MissingData: The run has no encoder yet, or the images are not there.
        ValueError: The images do not fit, have no labels, or show fewer than two classes; or a
            setting makes no sense for such a source.
        Interrupted: Ctrl-C or SIGTERM came while networks were trained; the next call goes on.
    """
    extractors.suited(config, source)
    runtime = config.runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    for place in (*map(voters.heads, voters.KINDS), examples.FILE):
        out.file(place).unlink(missing_ok=True)  # those of other settings
    material = gathered(config, source, runtime, say)
    with out.locked():
        found = judged(config, material, runtime, say, out)
    entitled = claim(config, material, runtime)
    content = radii.result(config.tree(), config.shown(), material, entitled, found)
    content["environment"] = environment(runtime)
    content["baselines"] = {}
    if config.baselines:
        assert isinstance(source, RunDir)
        for who in [n for n in ("untrained", "pixels") if n != config.features]:
            content["baselines"][who] = beside(config.replace(features=who), source, runtime, say)
    radii.write(out, content, material, found)
    return content


def judged(
    config: Certify,
    material: Material,
    runtime: Runtime,
    say: Callable[[str], None],
    out: RunDir | None = None,
) -> dict[str, Told]:
    """What every rule says; models and examples are kept in `out` if there is one."""
    found: dict[str, Told] = {}
    for kind in voters.KINDS:
        rules = config.chosen(kind)
        if not rules:
            continue
        parts = config.divided(rules[0])
        say(
            f"{kind}: {parts.models:,} models on {len(material.labels):,} images of {material.name}"
        )
        fitted = voters.fitted(config, kind, material, runtime, out, say)
        found |= certified(config, rules, fitted, material, say)
        if out is None:
            continue
        voters.keep(config, out, kind, fitted, material)
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
    found = judged(config, material, runtime, say)
    return {name: radii.one(told, config.shown(), material) for name, told in found.items()}


def gathered(
    config: Certify, source: RunDir | Path | None, runtime: Runtime, say: Callable[[str], None]
) -> Material:
    """Features and labels of what is certified."""
    if isinstance(source, Path):
        return labelled.of_file(source)
    train, test = config.splits()
    size = extractors.side(config, source)
    known, new = config.data.load(train, size), limited(config.data.load(test, size), config.tests)
    if config.overlap == "drop":
        assert isinstance(source, RunDir)
        known = labelled.unseen(known, provenance.manifest(source.path))
    say(f"{len(known):,} + {len(new):,} images of {known.name}")
    if config.networks:
        return labelled.of_pixels(size, known, new)
    if source is None:
        return labelled.of_images(
            extractors.pixels(size, known.channels), known, new, provenance.PIXELS, "pixels"
        )
    encoder, manifest = extractors.extractor(source, config.features, runtime)
    return labelled.of_images(encoder, known, new, manifest, config.features)


def claim(config: Certify, material: Material, runtime: Runtime) -> Claim:
    """What may be said about certificates on this material."""
    found = provenance.claim(
        material.source,
        material.digests,
        config.asserted,
        dealt=config.assign == "dealt",
        portable=config.learner.portable,
        repeats=not config.networks or runtime.accelerator == "cpu",
    )
    parted = "which images are training images was settled before any could be poisoned"
    if not material.drawn:
        return found
    return found._replace(assumptions=(*found.assumptions, Assumption(parted, "open")))


def certified(
    config: Certify,
    rules: list[str],
    fitted: Voters,
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
        ballots: Ballots = fitted.ballots(tests.features[rows])
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
