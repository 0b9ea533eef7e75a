"""Runs beside each other: which belong together, what they lend each other, what to call them."""

import json
from collections.abc import Sequence
from dataclasses import replace

from masquerade.report.read import Story


def with_baselines(told: Story, donors: Sequence[Story]) -> Story:
    """The run, given the rows it lacks from runs of the same data and network.

    An untrained encoder and raw pixels do not depend on how a run is trained, so a demo
    measures them once. Rows are taken from runs with the same data, size, network and seed.
    """
    keys = ("data", "split", "size", "normalise", "backbone", "seed")
    results = {name: {**r, "rows": dict(r["rows"])} for name, r in told.results.items()}
    for donor in donors:
        if any(donor.config.get(key) != told.config.get(key) for key in keys):
            continue
        for name, result in donor.results.items():
            for row, numbers in result["rows"].items():
                if row != "trained" and name in results:
                    results[name]["rows"].setdefault(row, numbers)
    return replace(told, results=results)


def alike(told: Story) -> str:
    """The settings that two runs share if they differ in nothing but seed, title and machine."""
    rest = {k: v for k, v in told.config.items() if k not in ("seed", "title", "runtime")}
    return json.dumps(rest, sort_keys=True)


def grouped(stories: Sequence[Story]) -> list[list[Story]]:
    """Runs that differ only in their seed, together, in the order of their first."""
    groups: dict[str, list[Story]] = {}
    for told in stories:
        groups.setdefault(alike(told), []).append(told)
    return list(groups.values())


def names(stories: Sequence[Story]) -> list[str]:
    """A name for each of several runs: its title, its seed or folder beside it where needed."""
    seeded = [f"{s.name}, seed {s.config.get('seed', '?')}" for s in stories]
    titles = [s.name for s in stories]
    return [
        title
        if titles.count(title) == 1
        else seed
        if seeded.count(seed) == 1
        else f"{seed}, {told.run.path}"
        for told, title, seed in zip(stories, titles, seeded, strict=True)
    ]
