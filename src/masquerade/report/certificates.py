"""A certificate as one HTML page: the sentence, curves, what it rests on, and who voted."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masquerade.core.rundir import RunDir
from masquerade.jobs import examples
from masquerade.jobs.radii import FOLDER
from masquerade.report.figures import Chart, Curve, chart
from masquerade.report.pictures import uri
from masquerade.report.read import Series
from masquerade.report.tables import Cell, Row, Table
from masquerade.report.template import rendered

PAGE = f"{FOLDER}/report.html"
NAMES = {"dpa": "DPA", "roe_dpa": "DPA + run-off", "fa": "FA", "roe_fa": "FA + run-off"}
BASELINES = {"pixels": "The same on raw pixels", "untrained": "The same, encoder not trained"}
MARKS = {"dpa": "D", "roe_dpa": "R", "fa": "F", "roe_fa": "B"}  # B: both


class Voter(NamedTuple):
    """One model's vote: for the label, for another class, or none; and whether a poison reaches it.

    Attributes:
        kind: `own`, `rival`, `other` or `none`.
        reached: Whether the smallest attack poisons its images.
        words: The same in words.
    """

    kind: str
    reached: bool
    words: str


class Example(NamedTuple):
    """One test image with its voters.

    Attributes:
        picture: A data address; empty where only features are known.
        title: What it is called.
        text: What is proven, and what it would take.
        voters: One per model, those with the same vote together.
    """

    picture: str
    title: str
    text: str
    voters: list[Voter]


def write(folder: RunDir) -> Path:
    """Write `certify/report.html` beside certify.json.

    Raises:
        MissingData: There is no certify.json.
    """
    content = folder.read_json(f"{FOLDER}/certify.json")
    rules = content["rules"]
    page = {
        "name": content["data"],
        "scope": content["scope"],
        "sentence": content["sentence"],
        "why": content["why"],
        "unit": content["unit"],
        "stale": content.get("stale", ""),
        "chart": curves(rules),
        "table": table(rules, content),
        "others": [
            table(found, content)._replace(caption=BASELINES[who], note="")
            for who, found in content["baselines"].items()
        ],
        "health": [(NAMES.get(n, n), r["health"]) for n, r in rules.items()],
        "assumptions": content["assumptions"],
        "advice": content["advice"],
        "examples": shown(folder, content["classes"]),
        "environment": content["environment"],
        "images": content["images"],
        "tests": content["tests"],
    }
    return folder.write_text(PAGE, rendered("certificates.html.jinja", page))


def curves(rules: dict[str, Any]) -> Chart | None:
    """Certified accuracy against budget, all rules in one chart."""
    lines = [
        Curve(
            NAMES.get(name, name),
            Series(np.arange(len(r["curve"]), dtype=float), np.array(r["curve"]), 0),
            slot,
            MARKS.get(name, name[:2]),
        )
        for slot, (name, r) in enumerate(rules.items(), start=1)
    ]
    drawn = chart(
        "Certified accuracy",
        "Test images labelled rightly whatever so many poisons do; above: without any.",
        lines,
        smooth=False,
        share=True,
        floor=0.0,
        axis="poisons",
    )
    if drawn is None:
        return None
    clean = {NAMES.get(name, name): f"{100 * r['clean']:.1f} %" for name, r in rules.items()}
    return drawn._replace(lines=[one._replace(last=clean[one.label]) for one in drawn.lines])


def table(rules: dict[str, Any], content: dict[str, Any]) -> Table:
    """Rules beside each other at some budgets; the best of each is marked."""
    budgets = list(next(iter(rules.values()))["certified"])
    columns = [
        ("one model", [r["base"] for r in rules.values()]),
        ("no poison", [r["clean"] for r in rules.values()]),
        *((f"R = {b}", [r["certified"][b] for r in rules.values()]) for b in budgets),
    ]
    rows = [
        Row(
            NAMES.get(name, name),
            f"{rule['models']:,} models",
            [
                Cell(
                    f"{100 * values[k]:.1f} %", "", head != "one model" and values[k] == max(values)
                )
                for head, values in columns
            ],
        )
        for k, (name, rule) in enumerate(rules.items())
    ]
    caption = f"Certified accuracy on {content['tests']:,} test images"
    return Table(caption, [head for head, _ in columns], rows, f"R counts {content['unit']}.")


def shown(folder: RunDir, classes: list[str]) -> list[Example]:
    """The images with their voters; none where no majority vote was certified."""
    if not folder.has(examples.FILE):
        return []
    with np.load(folder.path / examples.FILE, allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    names = [*classes, "nobody"]
    found = []
    for k in range(len(kept["row"])):
        votes, reached = kept["votes"][k], kept["reached"][k]
        own, rival, true = (int(kept[n][k]) for n in ("label", "rival", "truth"))
        picture = uri(kept["pictures"][k]) if "pictures" in kept else ""
        title = f"{names[own]}, R = {int(kept['radius'][k])}"
        if own != true:
            title += f" (in truth {names[true]})"
        text = (
            f"{int((votes == own).sum())} of {len(votes)} models say {names[own]}, "
            f"{int((votes == rival).sum())} say {names[rival]}. To make it {names[rival]}, poisons "
            f"must reach at least {int(reached.sum())} partitions, for example those framed here."
        )
        order = np.lexsort((~reached, votes, votes != rival, votes != own))
        voters = [
            Voter(
                {own: "own", rival: "rival", len(classes): "none"}.get(int(votes[i]), "other"),
                bool(reached[i]),
                f"model {i}: {names[int(votes[i])]}",
            )
            for i in order
        ]
        found.append(Example(picture, title, text, voters))
    return found
