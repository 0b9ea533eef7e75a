"""Runs beside each other: which belong together, what they lend each other, what to call them."""

import json
from collections.abc import Sequence
from dataclasses import replace

from masquerade.report.read import Story
from masquerade.report.settings import flat
from masquerade.report.words import NONE

FREE = ("seed", "title", "runtime", "log_every", "checkpoint_seconds", "collapse")
SLACK = 0.15  # of the length of a run
MOST = 2  # settings in a name


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
    """The settings that two runs share if they differ in nothing that changes what is learned.

    Seed, title, machine, and how often a run speaks and is saved are no such settings. The length
    is not among them either, see `grouped`.
    """
    rest = {k: v for k, v in told.config.items() if k not in (*FREE, "epochs")}
    return json.dumps(rest, sort_keys=True)


def grouped(stories: Sequence[Story]) -> list[list[Story]]:
    """Runs that differ only in their seed, together, in the order of their first.

    Runs of equal title may also differ in their length by a few per cent: those trained for equal
    CPU time are not all as long.
    """
    groups: list[list[Story]] = []
    for told in stories:
        for group in groups:
            first = group[0]
            if alike(told) == alike(first) and as_long(told, first):
                group.append(told)
                break
        else:
            groups.append([told])
    return groups


def as_long(a: Story, b: Story) -> bool:
    """Whether two runs are trained for as many epochs, or nearly so and have the same title."""
    one, two = a.config.get("epochs"), b.config.get("epochs")
    if one == two:
        return True
    if not (isinstance(one, int | float) and isinstance(two, int | float)):
        return False
    return a.name == b.name and abs(one - two) <= SLACK * max(one, two)


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


def group_names(groups: Sequence[Sequence[Story]]) -> list[str]:
    """A name for each group: its title, and settings that tell apart groups of equal title."""
    titles = [group[0].name for group in groups]
    found = []
    for title, group in zip(titles, groups, strict=True):
        rivals = [g for t, g in zip(titles, groups, strict=True) if t == title]
        apart = [f"{key}={values[rivals.index(group)]}" for key, values in differences(rivals)]
        found.append(", ".join([title, *apart[:MOST]]))
    return [
        name if found.count(name) == 1 else f"{name}, {group[0].run.path}"
        for name, group in zip(found, groups, strict=True)
    ]


def differences(groups: Sequence[Sequence[Story]]) -> list[tuple[str, list[str]]]:
    """The settings in which groups differ: a dotted key, and the value of each group.

    What hides and what compares come first. A group that has no such setting gets a dash.
    """
    trees = [
        dict(flat({k: v for k, v in group[0].config.items() if k not in FREE})) for group in groups
    ]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    found = [(key, [tree.get(key, NONE) for tree in trees]) for key in keys]
    differing = [(key, values) for key, values in found if len(set(values)) > 1]
    return sorted(differing, key=lambda d: not d[0].startswith(("maskers", "objective")))
