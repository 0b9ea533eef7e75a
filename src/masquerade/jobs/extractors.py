"""What makes features of images for a certificate, and what is known about it.

Raw pixels and untrained networks see images standardised by constants: a mean over all images
would let one poisoned image reach every model.
"""

from pathlib import Path

from masquerade.certify import provenance
from masquerade.certify.provenance import Manifest
from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime
from masquerade.evaluate.frozen import LARGEST, Frozen, Pixels
from masquerade.jobs import finished
from masquerade.jobs.certify_settings import SIDE, Certify
from masquerade.jobs.evaluate import frozen, untrained
from masquerade.networks import encoder_file

MEAN, STD = 0.5, 0.25  # of every channel of every set


def suited(config: Certify, source: RunDir | Path | None) -> None:
    """Raises `ValueError` where a setting makes no sense for such a source."""
    of_run = isinstance(source, RunDir)
    if config.networks and source is not None:
        raise ValueError(
            "networks learn from raw images and need no run: "
            f"masquerade certify {config.data.kind} learner=networks"
        )
    if config.size and source is not None:
        raise ValueError("size= is of raw images; those of a run have the size of its encoder")
    if config.baselines and not of_run:
        raise ValueError("baselines=true compares with a run's encoder: masquerade certify RUN")
    if config.overlap == "drop" and not of_run:
        raise ValueError("overlap=drop is about a run's encoder: masquerade certify RUN")
    if source is None and config.features != "pixels":
        raise ValueError(f"features={config.features} needs a run: masquerade certify RUN")
    if isinstance(source, Path) and config.features != "trained":
        raise ValueError(f"features={config.features} needs a run; {source} has features already")


def side(config: Certify, source: RunDir | None) -> int:
    """Side of the images that are loaded, in pixels: a constant."""
    return encoder_file.card(source.path).size if source else config.size or SIDE


def pixels(size: int, channels: int) -> Frozen:
    """Raw pixels as features, at 32 px at most."""
    return Frozen(Pixels(), min(size, LARGEST), (MEAN,) * channels, (STD,) * channels)


def extractor(source: RunDir, features: str, runtime: Runtime) -> tuple[Frozen, Manifest]:
    """What gives features of a run (`trained`, `untrained`, `pixels`), and what is known of it."""
    if features == "trained":
        return frozen(source, runtime), provenance.manifest(source.path)
    finished.complete(source)
    card = encoder_file.card(source.path)
    if features == "pixels":
        return pixels(card.size, card.channels), provenance.PIXELS
    fresh = untrained(source, runtime)
    fresh.mean, fresh.std = (MEAN,) * card.channels, (STD,) * card.channels
    return fresh, provenance.UNTRAINED
