"""The models of a certificate: fitted or trained, kept in a folder, found again."""

import json
from collections.abc import Callable

from masquerade.certify import ensemble, kept, raw
from masquerade.certify.kept import Voters
from masquerade.certify.learners import networks
from masquerade.certify.learners.base import HeadConfig
from masquerade.certify.school import Machine
from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.labelled import Material
from masquerade.jobs.radii import FOLDER

KINDS = ("plain", "spread")


def heads(kind: str) -> str:
    """The file of the models without a spread (`plain`), or with it (`spread`)."""
    return f"{FOLDER}/{kind}.safetensors"


def fitted(
    config: Certify,
    kind: str,
    material: Material,
    runtime: Runtime,
    out: RunDir | None,
    say: Callable[[str], None],
) -> Voters:
    """The models of a kind; networks that lie in `out` already are not trained again."""
    parts = config.divided(config.chosen(kind)[0])
    training, classes, learner = material.training(parts), material.classes, config.learner
    if isinstance(learner, networks.Config):
        assert out is not None
        machine = Machine(runtime.accelerator, runtime.precision)
        place = kept.folder(out.file(heads(kind)))
        return raw.fit(training, classes, parts, learner, machine, place, config.workers, say)
    assert isinstance(learner, HeadConfig)
    return ensemble.fit(training, classes, parts, learner)


def keep(config: Certify, out: RunDir, kind: str, found: Voters, material: Material) -> None:
    """Write the models, with what a later prediction must know."""
    about = {
        "features": material.origin,
        "shape": json.dumps(material.shape),
        "extractor": material.extractor,
        "asserted": json.dumps(config.asserted),
        "rules": json.dumps({n: config.rules[n].tree() for n in config.chosen(kind)}),
        "runtime": json.dumps(config.runtime.tree()),
    }
    kept.save(found, out.file(heads(kind)), about)


def load(folder: RunDir, kind: str) -> tuple[Voters, dict[str, str]]:
    """The models of a kind in a folder, and what was written down with them."""
    return kept.load(folder.path / heads(kind))


def there(folder: RunDir) -> list[str]:
    """Which kinds of models a folder has."""
    kinds = [k for k in KINDS if folder.has(heads(k))]
    if not kinds:
        raise MissingData(
            f"{folder.path} keeps no certified models: masquerade certify {folder.path} fits them"
        )
    return kinds
