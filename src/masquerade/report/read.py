"""What a run folder tells, read for a page: nothing here fails because a file is broken."""

import json
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.report.files import Bytes, Floats, Ints, arrays, table
from masquerade.report.snapshots import Snapshot, snapshots


class Embedding(NamedTuple):
    """Images laid out by what the encoder makes of them.

    Attributes:
        place: [n, 2], a position in the plane; no unit.
        labels: [n], -1 = none.
        pictures: [n, H, W, C].
        queries: [q], rows of `pictures`.
        neighbours: [q, k], rows of `pictures`, nearest first.
        similarity: [q, k], cosine in -1..1.
        classes: Names in label order.
        about: What the producer says of it: method, layer, data.
    """

    place: Floats
    labels: Ints
    pictures: Bytes
    queries: Ints
    neighbours: Ints
    similarity: Floats
    classes: tuple[str, ...]
    about: dict[str, Any]


class Series(NamedTuple):
    """One number over the training, where it was logged and finite.

    Attributes:
        steps: Steps done.
        values: As logged.
        dropped: How many were nan or infinite.
    """

    steps: Floats
    values: Floats
    dropped: int


@dataclass(frozen=True)
class Story:
    """One run as far as its folder tells it.

    Attributes:
        run: The folder.
        config: The settings, nested.
        environment: Versions and machine; empty if unknown.
        summary: What a finished run says of itself; empty while it is not finished.
        rows: Lines of metrics.jsonl, one per step.
        results: What each protocol measured: `{"knn": {"rows": ..., "notes": ...}}`.
        confusion: By protocol, the trained encoder's table of true against given class.
        mask_scores: How masks agree with exact ones; empty if not measured.
        snapshots: Early to late.
        embedding: None where there is none.
        classes: Names in label order; empty if unknown.
        mean: The training images' mean colour, white = 1; None if unknown.
        troubles: One sentence per file that could not be used.
    """

    run: RunDir
    config: dict[str, Any]
    environment: dict[str, Any]
    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    results: dict[str, dict[str, Any]]
    confusion: dict[str, Ints]
    mask_scores: dict[str, Any]
    snapshots: list[Snapshot]
    embedding: Embedding | None
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None
    troubles: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the run is called: its title, or its folder where the title says nothing."""
        title = str(self.config.get("title", ""))
        return title if title not in ("", "pretrain") else self.folder

    @property
    def folder(self) -> str:
        """The folder's own name."""
        return self.run.path.resolve().name

    @property
    def maskers(self) -> list[str]:
        """The names of its maskers, in the order of the settings."""
        found = self.config.get("maskers") or []
        return [str(m.get("kind", "?")) if isinstance(m, dict) else str(m) for m in found]

    @property
    def by_chance(self) -> bool:
        """Whether it hides, and nothing of that is learned, as far as the folder tells."""
        if not self.maskers:
            return False
        if self.snapshots and self.snapshots[-1].copies:
            return not any(copy.learned for copy in self.snapshots[-1].copies)
        return bool(self.rows) and not any(k.startswith("masker/") for r in self.rows for k in r)

    @property
    def finished(self) -> bool:
        """Whether training ended."""
        return bool(self.summary)

    @property
    def steps(self) -> int:
        """Steps done."""
        return int(self.summary.get("steps", self.rows[-1]["step"] + 1 if self.rows else 0))

    @property
    def progress(self) -> str:
        """Steps done, and of how many where that was logged: `1,200 of 4,000 steps`."""
        wanted = next((r["steps"] for r in self.rows if isinstance(r.get("steps"), int)), 0)
        return f"{self.steps:,} of {wanted:,} steps" if wanted else f"{self.steps:,} steps"

    @property
    def cpu_seconds(self) -> float | None:
        """CPU-seconds the training took so far, None if unknown."""
        spent = self.series("cpu_seconds").values
        known = self.summary.get("cpu_seconds", float(spent[-1]) if len(spent) else None)
        return None if known is None else float(known)

    def series(self, key: str) -> Series:
        """One number over the training; empty if it was never logged."""
        found = [(r["step"] + 1, r[key]) for r in self.rows if isinstance(r.get(key), int | float)]
        table = np.array(found, np.float64).reshape(-1, 2)
        fine = np.isfinite(table[:, 1])
        return Series(table[fine, 0], table[fine, 1], int((~fine).sum()))


def story(run: RunDir) -> Story:
    """Read a run folder.

    Raises:
        MissingData: There is no readable config.json: it is no run.
    """
    config = run.read_json("config.json")
    if not isinstance(config, dict):
        raise MissingData(f"{run.path / 'config.json'} holds no settings")
    troubles: list[str] = []
    results = {
        f.stem: found
        for f in sorted((run.path / "eval").glob("*.json"))
        if (found := table(run, f"eval/{f.name}", troubles))
    }
    mask_scores = results.pop("masks", {})
    about = results.pop("embedding", {})
    results = {n: r for n, r in results.items() if isinstance(r.get("rows"), dict)}
    confusion = {}
    for name in results:
        counts = arrays(run, f"eval/{name}.npz", troubles).get("trained/confusion/test")
        if counts is not None and counts.ndim == 2:
            confusion[name] = counts.astype(np.int64)
    mean = table(run, "encoder.json", troubles).get("mean")
    classes = tuple(str(c) for c in about.get("classes", ())) or classes_of(run)
    told = Story(
        run=run,
        config=config,
        environment=table(run, "environment.json", troubles),
        summary=table(run, "summary.json", troubles),
        rows=merged(run, troubles),
        results=results,
        confusion=confusion,
        mask_scores=mask_scores,
        snapshots=snapshots(run, troubles),
        embedding=embedding(run, about, classes, troubles),
        classes=classes,
        mean=tuple(float(v) for v in mean) if mean else None,
        troubles=tuple(troubles),
    )
    # Older versions measured masks of chance, too, as if somebody had learned them.
    return replace(told, mask_scores={}) if told.by_chance else told


def merged(run: RunDir, troubles: list[str]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, those of one step joined, in the order of the steps."""
    try:
        lines = run.lines()
    except (OSError, UnicodeDecodeError):
        troubles.append("metrics.jsonl cannot be read and is left out.")
        return []
    by_step: dict[int, dict[str, Any]] = {}
    for line in lines:
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            by_step.setdefault(line["step"], {}).update(line)
    return [by_step[step] for step in sorted(by_step)]


def embedding(
    run: RunDir, about: dict[str, Any], classes: tuple[str, ...], troubles: list[str]
) -> Embedding | None:
    """The map and the neighbours, None where they were not made."""
    found = arrays(run, "eval/embedding.npz", troubles)
    stored = {name.removeprefix("trained/"): array for name, array in found.items()}
    if not stored:
        return None
    try:
        place, pictures = stored["map"].astype(np.float64), stored["thumbnails"]
        n = len(place)
        labels = stored.get("labels", np.full(n, -1)).astype(np.int64)
        queries = stored.get("queries", np.zeros(0)).astype(np.int64)
        neighbours = stored.get("neighbours", np.zeros((0, 0))).astype(np.int64)
        similarity = stored.get("similarity", np.zeros(neighbours.shape)).astype(np.float64)
    except (KeyError, ValueError) as error:
        troubles.append(f"eval/embedding.npz lacks {error} and is left out.")
        return None
    fits = place.shape == (n, 2) and len(pictures) == n and len(labels) == n
    inside = all(((rows >= 0) & (rows < n)).all() for rows in (queries, neighbours))
    if not (fits and inside and len(queries) == len(neighbours) == len(similarity)):
        troubles.append("the arrays of eval/embedding.npz do not fit together and are left out.")
        return None
    return Embedding(place, labels, pictures, queries, neighbours, similarity, classes, about)


def classes_of(run: RunDir) -> tuple[str, ...]:
    """The class names that the fitted heads know, in label order; empty if there are none."""
    for path in sorted((run.path / "eval").glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as stored:
                names = json.loads((stored.metadata() or {}).get("classes", "[]"))
        except (OSError, SafetensorError, json.JSONDecodeError):
            continue
        if names:
            return tuple(str(name) for name in names)
    return ()
