"""What certified heads do afterwards: label new images, forget images, learn more of them."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.certify import ensemble, provenance
from masquerade.certify.base import RuleConfig
from masquerade.certify.ensemble import Ensemble, Labelled
from masquerade.certify.provenance import UNKNOWN, Claim
from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.data.images import ImageSet
from masquerade.engine.extract import digest
from masquerade.engine.runtime import Runtime
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.classifier import aligned
from masquerade.jobs import labelled
from masquerade.jobs.certify import FILE, SPREAD, extractor, heads
from masquerade.jobs.given import looked_up
from masquerade.jobs.radii import FOLDER

KINDS = ("plain", "spread")


class Prediction(NamedTuple):
    """One image's label and what is proven about it.

    Attributes:
        file: The image.
        label: The name of its class.
        radius: Poisons it survives.
        sentence: What that means.
    """

    file: str
    label: str
    radius: int
    sentence: str


class Changed(NamedTuple):
    """What adding or removing images did.

    Attributes:
        images: How many training images came or went.
        heads: How many heads were fitted anew.
        models: How many there are.
    """

    images: int
    heads: int
    models: int


class New(NamedTuple):
    """Images that a word names, as heads see them.

    Attributes:
        features: Float [N, D].
        digests: Their content.
        files: Their names.
        images: None where only features are known.
    """

    features: Float[Tensor, "N D"]
    digests: Sequence[str]
    files: tuple[str, ...]
    images: ImageSet | None


def predict(
    folder: RunDir, images: str, rule: str = "", split: str = "", say: Callable[[str], None] = print
) -> list[Prediction]:
    """Label new images, each with its radius and the sentence that goes with it.

    Args:
        folder: Where `certify` kept heads.
        images: An image file, a folder, a list, a source; an .npz with `features` where the
            heads were fitted on such a file.
        rule: One of those that were certified; the first by default.
        split: The part of a source.
        say: Takes lines for the user.

    Raises:
        MissingData: There are no heads, or no images.
        ValueError: No such rule, or the images do not fit.
    """
    kind = "spread" if rule in SPREAD else "plain"
    if not rule and not folder.has(heads("plain")):
        kind = "spread"
    fitted, about = kept(folder, kind)
    rules = json.loads(about["rules"])
    name = rule or next(iter(rules))
    if name not in rules:
        raise ValueError(f"rule={name} was not certified; there are: {', '.join(rules)}")
    new = shown(folder, about, images, split, say)
    found = RuleConfig.parse(rules[name]).certify(fitted.ballots(new.features))
    entitled = claim(folder, fitted, about)
    rows = zip(new.files, found.label.tolist(), found.radius.tolist(), strict=True)
    return [Prediction(f, fitted.classes[c], r, entitled.sentence(r)) for f, c, r in rows]


def unlearn(
    folder: RunDir, images: str, split: str = "", say: Callable[[str], None] = print
) -> Changed:
    """Forget training images: the heads become those that never saw them, bit for bit.

    Raises:
        MissingData: There are no heads, or no images.
        ValueError: An image was not learnt.
    """
    changed = Changed(0, 0, 0)
    for kind in there(folder):
        before, about = kept(folder, kind)
        new = shown(folder, about, images, split, say)
        after = ensemble.remove(before, new.digests)
        gone = [d not in set(after.digests) for d in before.digests]
        hit = before.own[torch.tensor(gone)]
        changed = replaced(folder, kind, after, about, hit, sum(gone))
    return changed


def add(
    folder: RunDir, images: str, split: str = "", say: Callable[[str], None] = print
) -> Changed:
    """Learn more labelled images: the heads become those of a fit on all, bit for bit.

    Raises:
        MissingData: There are no heads, or no images.
        ValueError: The images have no labels, or those of a class that the heads do not know.
    """
    changed = Changed(0, 0, 0)
    for kind in there(folder):
        before, about = kept(folder, kind)
        new = shown(folder, about, images, split, say)
        if new.images is None:
            arrays = labelled.opened(Path(images))
            labels = labelled.paired(arrays, "", Path(images))[1]
            own = before.parts.named(new.digests).own
        else:
            labels = aligned(new.images, before.classes)
            own = before.parts.of(new.images).own
        if (labels < 0).any():
            missing = int((labels < 0).sum())
            raise Unlabelled(f"{missing} of {len(labels)} images have no label to learn")
        after = ensemble.add(before, Labelled(new.features, labels, new.digests, own))
        changed = replaced(folder, kind, after, about, own, len(labels))
    return changed


def kept(folder: RunDir, kind: str) -> tuple[Ensemble, dict[str, str]]:
    """The heads in a folder, and what was written down with them."""
    return ensemble.load(folder.path / heads(kind))


def there(folder: RunDir) -> list[str]:
    """Which heads a folder has."""
    kinds = [k for k in KINDS if folder.has(heads(k))]
    if not kinds:
        raise MissingData(
            f"{folder.path} keeps no certified heads: masquerade certify {folder.path} fits them"
        )
    return kinds


def runtime(about: dict[str, str]) -> Runtime:
    """Where the features were made."""
    found = Runtime.parse(json.loads(about["runtime"])).replace(devices=1).resolved()
    torch.set_num_threads(found.threads)
    return found


def shown(
    folder: RunDir,
    about: dict[str, str],
    images: str,
    split: str,
    say: Callable[[str], None],
) -> New:
    """New images through the extractor that the heads were fitted on.

    Raises:
        ValueError: It is there no more, or the images do not fit it.
    """
    where = runtime(about)
    if about["features"] == FILE:
        path = Path(images)
        arrays = labelled.opened(path)
        if "features" not in arrays or arrays["features"].ndim != 2:
            raise ValueError(f"{path} needs an array features [N, D], as the heads were fitted on")
        found = torch.from_numpy(arrays["features"]).float()
        names = tuple(str(i) for i in range(len(found)))
        return New(found, labelled.contents(arrays, found, path), names, None)
    encoder, _ = extractor(folder, about["features"], where)
    if digest(encoder.encoder) != about["extractor"]:
        raise ValueError(
            f"the encoder in {folder.path} is not the one these heads were fitted on; "
            f"masquerade certify {folder.path} fits them anew"
        )
    data = looked_up(images, split, encoder.size, len(encoder.mean))
    for note in data.notes:
        say(note)
    return New(labelled.steady(encoder, data), data.digests(), data.files, data)


def claim(folder: RunDir, fitted: Ensemble, about: dict[str, str]) -> Claim:
    """What may be said about these heads as they are now."""
    source = {
        FILE: UNKNOWN,
        "pixels": provenance.PIXELS,
        "untrained": provenance.UNTRAINED,
    }.get(about["features"]) or provenance.manifest(folder.path)
    return provenance.claim(
        source,
        fitted.digests,
        json.loads(about["asserted"]),
        dealt=fitted.parts.assign == "dealt",
        portable=fitted.learner.portable,
    )


def replaced(
    folder: RunDir, kind: str, after: Ensemble, about: dict[str, str], hit: Tensor, images: int
) -> Changed:
    """Write changed heads, and that the numbers in certify.json are those of earlier ones."""
    ensemble.save(after, folder.file(heads(kind)), about)
    content = folder.read_json(f"{FOLDER}/certify.json")
    content["stale"] = (
        "images came or went since these numbers were computed; predict uses the heads as they "
        "are now"
    )
    folder.write_json(f"{FOLDER}/certify.json", content)
    return Changed(images, len(ensemble.reached(after, hit)), after.parts.models)


def write(rows: list[Prediction], place: Path) -> Path:
    """The predictions as a CSV file, written whole or not at all."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(Prediction._fields)
    out.writerows(rows)
    return RunDir(place.parent).write_text(place.name, text.getvalue())
