"""What a certificate leaves in a folder: numbers per rule, a line per image, arrays."""

import csv
import io
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch

from masquerade.certify.advice import advice
from masquerade.certify.base import Certificate, curve, robustness
from masquerade.certify.partition import Health, Parts
from masquerade.certify.provenance import Claim
from masquerade.core.rundir import RunDir
from masquerade.jobs.labelled import Material

FOLDER = "certify"


class Told(NamedTuple):
    """What a rule says of all test images.

    Attributes:
        certificate: Labels and radii.
        base: The mean share of test images that one model labels rightly.
        health: What its models have to learn from.
        parts: How the training set was divided for it.
    """

    certificate: Certificate
    base: float
    health: Health
    parts: Parts


def result(
    settings: dict[str, Any],
    budgets: Sequence[int],
    material: Material,
    entitled: Claim,
    found: dict[str, Told],
) -> dict[str, Any]:
    """What certify.json says.

    Args:
        settings: Of the job.
        budgets: Numbers of poisons in the table.
        material: What was certified.
        entitled: What may be said.
        found: By rule; not empty.
    """
    plain = [told.health for told in found.values() if told.parts.spread == 1]
    sizes = plain[0] if plain else next(iter(found.values())).health
    return {
        "settings": settings,
        "data": material.name,
        "images": len(material.labels),
        "tests": len(material.tests.truth),
        "classes": list(material.classes),
        "content": content(material),
        "extractor": material.extractor,
        "scope": entitled.scope,
        "unit": entitled.unit,
        "why": entitled.why,
        "sentence": entitled.sentence(),
        "assumptions": [a._asdict() for a in entitled.assumptions],
        "advice": list(advice(sizes, len(material.classes))),
        "rules": {name: one(told, budgets, material) for name, told in found.items()},
    }


def content(material: Material) -> str:
    """A name for the labelled training set: the same in any order."""
    pairs = zip(material.digests, material.labels.tolist(), strict=True)
    text = "\n".join(sorted(f"{digest} {label}" for digest, label in pairs))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def one(told: Told, budgets: Sequence[int], material: Material) -> dict[str, Any]:
    """The numbers of one rule; shares are 0 to 1."""
    accuracy = curve(told.certificate, material.tests.truth)
    last = max(*budgets, len(accuracy))
    whole = curve(told.certificate, material.tests.truth, budget=last)
    empty = torch.zeros(0, dtype=torch.int64)
    return {
        "models": told.parts.models,
        "spread": told.parts.spread,
        "offsets": told.parts.joined(empty).reach[0].tolist(),
        "clean": accuracy[0].item(),
        "base": told.base,
        "median": robustness(accuracy),
        "certified": {str(b): whole[b].item() for b in budgets},
        "curve": accuracy.tolist(),
        "health": told.health._asdict(),
    }


def write(out: RunDir, content: dict[str, Any], material: Material, found: dict[str, Told]) -> None:
    """Write certify.json, and radii as a table and as arrays."""
    arrays = {"truth": material.tests.truth.numpy()}
    for name, told in found.items():
        arrays[f"{name}/label"] = told.certificate.label.numpy()
        arrays[f"{name}/radius"] = told.certificate.radius.numpy()
    out.write(f"{FOLDER}/radii.npz", lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]  # arrays by name
    out.write_text(f"{FOLDER}/radii.csv", listing(material, found))
    out.write_json(f"{FOLDER}/certify.json", content)


def listing(material: Material, found: dict[str, Told]) -> str:
    """One line per test image: its class, and each rule's label and radius."""
    text = io.StringIO()
    out = csv.writer(text)
    names = list(found)
    out.writerow(["file", "truth", *(f"{n}_{k}" for n in names for k in ("label", "radius"))])
    columns = [c for t in found.values() for c in (t.certificate.label, t.certificate.radius)]
    table = torch.stack([material.tests.truth, *columns], 1).tolist()
    for file, (truth, *row) in zip(material.tests.files, table, strict=True):
        named = [material.classes[v] if k % 2 == 0 else v for k, v in enumerate(row)]
        out.writerow([file, material.classes[truth], *named])
    return text.getvalue()
