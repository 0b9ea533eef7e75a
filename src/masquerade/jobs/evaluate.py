"""Evaluate: protocols on a run's encoder, beside an untrained one and raw pixels."""

import json
from collections.abc import Callable, Mapping
from math import exp
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.runtime import Runtime
from masquerade.evaluate import embedding, knn, linear
from masquerade.evaluate.base import ProtocolConfig, Result, Unlabelled
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.recalibrate import recalibrated, statistics
from masquerade.jobs import finished
from masquerade.jobs.settings import OnImages, Pretrain, limited
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone
from masquerade.pretext import diagnosis

TESTS = ("test", "val", "seen", "shift")


class Evaluate(OnImages):
    """Settings of an evaluation.

    Attributes:
        data: Where the images come from; the run's own source unless told otherwise.
        train: The split that probes are fitted on; `auto` is `train`, or the source's first.
        tests: The splits they are measured on; empty takes those of test, val, seen and shift that
            there are.
        limit: At most so many images of each split, evenly spaced; 0 takes all.
        protocols: By name: what is measured, and how.
        baselines: Whether an untrained encoder and raw pixels are measured too.
        compat: How exact masks become labels when learned masks are measured: `none` with a label
            of its own for the background, `adios` as in the official code, whose background
            shares one with the first object.
        seed: Of every draw.
        runtime: Device, precision, threads; `devices` share the images whose features are taken.
    """

    data: SourceConfig
    train: str = "auto"
    tests: tuple[str, ...] = ()
    limit: int = Field(0, ge=0)
    protocols: dict[str, ProtocolConfig]
    baselines: bool = True
    compat: Literal["none", "adios"] = "none"
    seed: int = Field(0, ge=0)
    runtime: Runtime = Runtime()

    @classmethod
    def of(cls, run: RunDir, names: list[str], changes: Mapping[str, str]) -> "Evaluate":
        """The settings for a run: all protocols unless some are named, its data unless another."""
        trained = finished.settings(run)
        known: dict[str, ProtocolConfig] = {
            "knn": knn.Config(),
            "linear": linear.Config(),
            "embedding": embedding.Config(),
        }
        wanted = {n: known[n] if n in known else ProtocolConfig.called(n)() for n in names or known}
        plain = cls(
            data=trained.data, limit=trained.limit, protocols=wanted, runtime=trained.runtime
        )
        return plain.override([f"{key}={value}" for key, value in changes.items()])

    def with_words(self, words: list[str]) -> "Evaluate":
        """A copy after overrides with two shorthands.

        `knn.k=5` is short for `protocols.knn.k=5`, and `bn=recalibrate` for that of every
        protocol.
        """
        told = []
        for word in words:
            if word.startswith("bn="):
                told += [f"protocols.{name}.{word}" for name in self.protocols]
            elif word.partition(".")[0] in self.protocols:
                told.append(f"protocols.{whole(word)}")
            else:
                told.append(word)
        return self.override(told)

    def splits(self) -> tuple[str, tuple[str, ...]]:
        """The split to fit on and the splits to measure on."""
        have = self.data.splits()
        first = "train" if "train" in have else have[0]
        train = first if self.train == "auto" else self.train
        return train, self.tests or tuple(s for s in TESTS if s in have and s != train)


def whole(word: str) -> str:
    """A word that names a head by its protocol only, with all its settings.

    So that `robustness.head=finetune` may be followed by `robustness.head.optimizer.lr=0.001`.
    """
    key, _, value = word.partition("=")
    if not key.endswith(".head") or value.startswith("{"):
        return word
    return f"{key}={json.dumps(ProtocolConfig.called(value)().tree())}"


def run(config: Evaluate, folder: RunDir, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a run's encoder; returns, and writes under `eval/`, one result per protocol.

    A protocol that needs labels where there are none gives one sentence in the place of numbers.

    Raises:
        MissingData: The run has no encoder yet, or the images are not there.
        ValueError: The images do not fit the encoder.
    """
    runtime = config.runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    trained = frozen(folder, runtime, config.runtime.devices)
    encoders = {"trained": trained}
    if config.baselines:
        fresh = untrained(folder, runtime, config.runtime.devices)
        encoders |= {"untrained": fresh, "pixels": trained.pixels()}
    fit_on, measure_on = config.splits()
    train = limited(config.data.load(fit_on, trained.size), config.limit)
    tests = {n: limited(config.data.load(n, trained.size), config.limit) for n in measure_on}
    found = {}
    moved = transferred(finished.settings(folder).data, config.data, train, tests)
    known: dict[float, Renormed] = {}
    for name, protocol in config.protocols.items():
        say(f"{name}: fitted on {train.name}, measured on {', '.join(tests) or 'nothing'}")
        used = Renormed(encoders, {}, [], {})
        if protocol.bn == "recalibrate":
            if protocol.crop not in known:
                known[protocol.crop] = renormed(encoders, train, protocol.crop, config.seed)
            used = known[protocol.crop]
        measured = measure(protocol, used.encoders, train, tests, config)
        found[name] = content = {
            "protocol": protocol.tree(),
            "data": train.name,
            "labelled": train.labels is not None,
            "rows": {who: result.metrics for who, result in measured.items() if result.metrics},
            "notes": [*moved, *notes(measured), *used.notes],
            **used.about,
        }
        keep(folder, name, content, measured, protocol.compares, used.statistics)
    return found


def transferred(
    own: SourceConfig, other: SourceConfig, train: ImageSet, tests: Mapping[str, ImageSet]
) -> list[str]:
    """What was measured on what, where that is not what the encoder was trained on."""
    if own == other:
        return []
    measured = ", ".join(images.name for images in tests.values()) or "nothing"
    return [
        f"transfer: the encoder was trained on {own.kind} images without labels; here it is fitted "
        f"on {train.name}, and measured on {measured}"
    ]


class Renormed(NamedTuple):
    """Encoders, and what was done to their batch norms.

    Attributes:
        encoders: By name.
        about: What is written down: `bn` with the number of images, drift and spread.
        notes: The same in words.
        statistics: What a head fitted on the trained encoder must be used with; often none.
    """

    encoders: dict[str, Frozen]
    about: dict[str, Any]
    notes: list[str]
    statistics: dict[str, Tensor]


def renormed(encoders: dict[str, Frozen], train: ImageSet, crop: float, seed: int) -> Renormed:
    """The encoders with batch-norm statistics of whole images, and how far they had drifted.

    `drift` is the mean over all channels of the distance between the mean kept in training and
    that of whole images, in standard deviations of whole images; `spread` that of the absolute
    logarithm of the quotient of the two deviations. Both are 0 where nothing changes.
    """
    where = Seed(seed).fold("evaluate")
    found = {who: recalibrated(frozen, train, crop, where) for who, frozen in encoders.items()}
    trained = found["trained"]
    others = {who: one.frozen for who, one in found.items()}
    if not trained.images:
        note = "this encoder has no batch norm: bn=recalibrate changes nothing"
        return Renormed(others, {"bn": {"images": 0}}, [note], {})
    before, after = encoders["trained"].encoder, trained.frozen.encoder
    drift, spread = (float(v) for v in diagnosis.drift(before.state_dict(), after.state_dict()))
    note = (
        f"batch-norm statistics re-estimated on {trained.images:,} clean images of {train.name}: "
        f"channel means had drifted by {drift:.2f} standard deviations, deviations by a factor of "
        f"{exp(spread):.2f} (averages over channels)"
    )
    about = {"bn": {"images": trained.images, "drift": drift, "spread": spread}}
    return Renormed(others, about, [note], statistics(trained.frozen))


def frozen(folder: RunDir, runtime: Runtime, devices: int = 1) -> Frozen:
    """The trained encoder of a run, with its projector where the objective has one."""
    config = finished.settings(folder)
    backbone = finished.encoder(folder)
    known = encoder_file.card(folder.path).about.get("projector")
    projector = trained_projector(config, backbone, folder) if known else None
    device = runtime.device()
    return Frozen.of(
        backbone.to(device),
        projector=None if projector is None else projector.to(device).eval(),
        bf16=runtime.precision == "bf16",
        cache=folder.path / "cache",
        devices=devices,
    )


def trained_projector(config: Pretrain, backbone: Backbone, folder: RunDir) -> nn.Module | None:
    """What the objective put between features and embeddings, None if nothing."""
    torch.manual_seed(Seed(config.seed).fold("init", "heads").integer())
    objective = config.objective.build(backbone)
    heads = finished.heads(folder)
    objective.load_state_dict(
        {n.removeprefix("objective."): t for n, t in heads.items() if n.startswith("objective.")},
        strict=False,
    )
    return dict(objective.named_children()).get("projector")


def untrained(folder: RunDir, runtime: Runtime, devices: int = 1) -> Frozen:
    """The same network with fresh weights, whatever training started from."""
    config = finished.settings(folder)
    card = finished.encoder(folder)
    torch.manual_seed(Seed(config.seed).fold("init", "backbone").integer())
    mean, std = card.mean.flatten().tolist(), card.std.flatten().tolist()
    fresh = config.backbone.replace(weights=None).build(card.size, card.channels, mean, std)
    if config.pretext:  # which draws weights of its own
        torch.manual_seed(Seed(config.seed).fold("init", "heads").integer())
        fresh = config.pretext.build(fresh, 0).encoder()
    bf16 = runtime.precision == "bf16"
    place = folder.path / "cache"
    return Frozen.of(fresh.to(runtime.device()), bf16=bf16, cache=place, devices=devices)


def measure(
    protocol: ProtocolConfig,
    encoders: dict[str, Frozen],
    train: ImageSet,
    tests: dict[str, ImageSet],
    config: Evaluate,
) -> dict[str, Result]:
    """One protocol on the trained encoder and, where it makes sense, on the baselines."""
    compared = protocol.compares and protocol.layer == "backbone"
    results = {}
    for who in encoders if compared else ("trained",):
        if not protocol.suits(encoders[who]):
            continue
        seed = Seed(config.seed).fold("evaluate")
        try:
            results[who] = protocol.build().run(encoders[who], train, tests, seed)
        except Unlabelled as missing:
            return {"trained": Result({}, {}, None, (str(missing),))}
    return results


def notes(measured: dict[str, Result]) -> list[str]:
    """What the protocol has to say, with the encoder's name where it is not said of all."""
    told: dict[str, list[str]] = {}
    for who, result in measured.items():
        for note in result.notes:
            told.setdefault(note, []).append(who)
    return [n if len(who) == len(measured) else f"{', '.join(who)}: {n}" for n, who in told.items()]


def keep(
    folder: RunDir,
    name: str,
    content: dict[str, Any],
    measured: dict[str, Result],
    compares: bool,
    normed: dict[str, Tensor],
) -> None:
    """Write numbers, arrays (by encoder, if several are compared) and the fitted head.

    The head takes along the batch-norm statistics it was fitted with, where they are not the
    encoder's own.
    """
    arrays = {f"{who}/{key}": a for who, r in measured.items() for key, a in r.arrays.items()}
    if not compares:
        arrays = measured["trained"].arrays
    if arrays:
        folder.write(f"eval/{name}.npz", lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]  # arrays by name
    head = measured["trained"].head
    if head:
        head.save(folder.file(f"eval/{name}.safetensors"), normed)
    folder.write_json(f"eval/{name}.json", content)
