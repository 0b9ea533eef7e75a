"""An ensemble in one safetensors file; the weights of networks lie in a folder beside it."""

import json
from pathlib import Path

import numpy as np
import torch

from masquerade.certify.ensemble import Ensemble
from masquerade.certify.learners import networks
from masquerade.certify.learners.base import HeadConfig, LearnerConfig
from masquerade.certify.partition import Parts
from masquerade.certify.raw import Networks
from masquerade.certify.school import Machine
from masquerade.core import tensorfile

Voters = Ensemble | Networks
OWN = {"parts", "learner", "classes"}  # what a file must say


def save(voters: Voters, place: Path, about: dict[str, str] | None = None) -> None:
    """Write an ensemble to one file, whole or not at all; `about` is kept with it."""
    said = {
        "parts": json.dumps(voters.parts.tree()),
        "learner": json.dumps(voters.learner.tree()),
        "classes": json.dumps(voters.classes),
        **(about or {}),
    }
    names = np.frombuffer(bytes.fromhex("".join(voters.digests)), np.uint8)
    width = len(names) // max(1, len(voters.digests))
    tensors = {
        "digests": torch.from_numpy(names.reshape(len(voters.digests), width).copy()),
        "features": voters.features,
        "labels": voters.labels,
        "own": voters.own,
        "seen": voters.seen,
    }
    if isinstance(voters, Networks):
        said["machine"] = json.dumps(voters.machine)
    else:
        tensors["weights"] = voters.weights
    tensorfile.save(place, tensors, said)


def load(place: Path) -> tuple[Voters, dict[str, str]]:
    """The ensemble in a file, and what is kept with it; nothing in the file is run.

    Raises:
        MissingData: There is no such file, or it holds no ensemble.
    """
    found, said = tensorfile.load(place, OWN, "ensemble", "masquerade certify makes one")
    own = {name: json.loads(said.pop(name)) for name in OWN}
    parts, learner = Parts.parse(own["parts"]), LearnerConfig.parse(own["learner"])
    digests = tuple(row.tobytes().hex() for row in found["digests"].numpy())
    shared = found["features"], found["labels"], found["own"]
    if isinstance(learner, networks.Config):
        machine = Machine(*json.loads(said.pop("machine")))
        return Networks(
            parts,
            learner,
            tuple(own["classes"]),
            digests,
            *shared,
            found["seen"],
            machine,
            folder(place),
        ), said
    assert isinstance(learner, HeadConfig)
    return Ensemble(
        parts,
        learner,
        tuple(own["classes"]),
        digests,
        *shared,
        found["weights"],
        found["seen"],
    ), said


def folder(place: Path) -> Path:
    """Where the weights of networks lie, beside the ensemble's own file."""
    return place.with_suffix("")
