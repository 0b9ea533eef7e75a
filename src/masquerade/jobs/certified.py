"""What certified models do afterwards: label new images, forget images, learn more of them."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from masquerade.certify import ensemble, kept, provenance, raw
from masquerade.certify.base import RuleConfig
from masquerade.certify.ensemble import Labelled
from masquerade.certify.kept import Voters
from masquerade.certify.provenance import Claim
from masquerade.certify.raw import Networks
from masquerade.certify.views import square
from masquerade.core.rundir import RunDir
from masquerade.data.images import ImageSet
from masquerade.engine.extract import digest
from masquerade.engine.runtime import Runtime
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.classifier import aligned
from masquerade.jobs import extractors, labelled, voters
from masquerade.jobs.certify_settings import SPREAD
from masquerade.jobs.given import looked_up
from masquerade.jobs.radii import FOLDER


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
        heads: How many of them were fitted anew.
        models: How many there are.
    """

    images: int
    heads: int
    models: int


class New(NamedTuple):
    """Images that a word names, as models see them.

    Attributes:
        features: Of an encoder, or, for networks, pixels.
        digests: Their content.
        files: Their names.
        images: None where only features are known.
    """

    features: Float[Tensor, "N D"] | UInt8[Tensor, "N C S S"]
    digests: Sequence[str]
    files: tuple[str, ...]
    images: ImageSet | None


def predict(
    folder: RunDir, images: str, rule: str = "", split: str = "", say: Callable[[str], None] = print
) -> list[Prediction]:
    """Label new images, each with its radius and the sentence that goes with it.

    Args:
        folder: Where `certify` kept models.
        images: An image file, a folder, a list, a source; an .npz with `features` where the
            heads were fitted on such a file.
        rule: One of those that were certified; the first by default.
        split: The part of a source.
        say: Takes lines for the user.

    Raises:
        MissingData: There are no models, or no images.
        ValueError: No such rule, or the images do not fit.
    """
    kind = "spread" if rule in SPREAD else "plain"
    if not rule and not folder.has(voters.heads("plain")):
        kind = "spread"
    fitted, about = voters.load(folder, kind)
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
    folder: RunDir,
    images: str,
    split: str = "",
    say: Callable[[str], None] = print,
    workers: int = 1,
) -> Changed:
    """Forget training images: the models become those that never saw them, bit for bit.

    Raises:
        MissingData: There are no models, or no images.
        ValueError: An image was not learnt.
    """
    changed = Changed(0, 0, 0)
    for kind in voters.there(folder):
        before, about = voters.load(folder, kind)
        new = shown(folder, about, images, split, say)
        after: Voters
        if isinstance(before, Networks):
            after = raw.remove(before, new.digests, workers, say)
        else:
            after = ensemble.remove(before, new.digests)
        gone = set(new.digests)
        hit = before.own[torch.tensor([d in gone for d in before.digests], dtype=torch.bool)]
        changed = replaced(folder, kind, after, about, hit)
    return changed


def add(
    folder: RunDir,
    images: str,
    split: str = "",
    say: Callable[[str], None] = print,
    workers: int = 1,
) -> Changed:
    """Learn more labelled images: the models become those of a fit on all, bit for bit.

    Raises:
        MissingData: There are no models, or no images.
        ValueError: The images have no labels, or those of a class that the models do not know.
    """
    changed = Changed(0, 0, 0)
    for kind in voters.there(folder):
        before, about = voters.load(folder, kind)
        new = shown(folder, about, images, split, say)
        more = learnable(new, images, before)
        after: Voters
        if isinstance(before, Networks):
            after = raw.add(before, more, workers, say)
        else:
            after = ensemble.add(before, more)
        changed = replaced(folder, kind, after, about, more.own)
    return changed


def learnable(new: New, images: str, before: Voters) -> Labelled:
    """New images with their labels and partitions.

    Raises:
        Unlabelled: One has no label.
    """
    if new.images is None:
        labels = labelled.paired(labelled.opened(Path(images)), "", Path(images))[1]
        own = before.parts.named(new.digests).own
    else:
        labels = aligned(new.images, before.classes)
        own = before.parts.of(new.images).own
    if (labels < 0).any():
        missing = int((labels < 0).sum())
        raise Unlabelled(f"{missing} of {len(labels)} images have no label to learn")
    return Labelled(new.features, labels, new.digests, own)


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
    """New images through the extractor that the models were fitted on.

    Raises:
        ValueError: It is there no more, or the images do not fit it.
    """
    where, origin = runtime(about), about["features"]
    if origin == labelled.FILE:
        path = Path(images)
        arrays = labelled.opened(path)
        if "features" not in arrays or arrays["features"].ndim != 2:
            raise ValueError(f"{path} needs an array features [N, D], as the heads were fitted on")
        found = torch.from_numpy(arrays["features"]).float()
        names = tuple(str(i) for i in range(len(found)))
        return New(found, labelled.contents(arrays, found, path), names, None)
    channels, size = json.loads(about["shape"])
    data = looked_up(images, split, size, channels)
    for note in data.notes:
        say(note)
    if data.channels != channels:
        raise ValueError(f"the models take images of {channels} channels, got {data.channels}")
    return New(seen(folder, about, data, where, (channels, size)), data.digests(), data.files, data)


def seen(
    folder: RunDir, about: dict[str, str], data: ImageSet, where: Runtime, shape: tuple[int, int]
) -> Float[Tensor, "N D"] | UInt8[Tensor, "N C S S"]:
    """What models see of images."""
    channels, size = shape
    origin = about["features"]
    if origin == labelled.IMAGES:
        return square(data, size)
    if origin == "pixels":
        return labelled.steady(extractors.pixels(size, channels), data)
    encoder, _ = extractors.extractor(folder, origin, where)
    if digest(encoder.encoder) != about["extractor"]:
        raise ValueError(
            f"the encoder in {folder.path} is not the one these heads were fitted on; "
            f"masquerade certify {folder.path} fits them anew"
        )
    return labelled.steady(encoder, data)


def claim(folder: RunDir, fitted: Voters, about: dict[str, str]) -> Claim:
    """What may be said about these models as they are now."""
    source = {
        labelled.FILE: provenance.UNKNOWN,
        labelled.IMAGES: provenance.IMAGES,
        "pixels": provenance.PIXELS,
        "untrained": provenance.UNTRAINED,
    }.get(about["features"]) or provenance.manifest(folder.path)
    return provenance.claim(
        source,
        fitted.digests,
        json.loads(about["asserted"]),
        dealt=fitted.parts.assign == "dealt",
        portable=fitted.learner.portable,
        repeats=not isinstance(fitted, Networks) or fitted.machine.accelerator == "cpu",
    )


def replaced(
    folder: RunDir, kind: str, after: Voters, about: dict[str, str], hit: Int[Tensor, " M"]
) -> Changed:
    """Write changed models, and that the numbers in certify.json are those of earlier ones."""
    kept.save(after, folder.file(voters.heads(kind)), about)
    content = folder.read_json(f"{FOLDER}/certify.json")
    content["stale"] = (
        "images came or went since these numbers were computed; predict uses the models as they "
        "are now"
    )
    folder.write_json(f"{FOLDER}/certify.json", content)
    reached = len(after.partition.reach[hit.unique()].unique())
    return Changed(len(hit), reached, after.parts.models)


def write(rows: list[Prediction], place: Path) -> Path:
    """The predictions as a CSV file, written whole or not at all."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(Prediction._fields)
    out.writerows(rows)
    return RunDir(place.parent).write_text(place.name, text.getvalue())
