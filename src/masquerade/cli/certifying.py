"""`masquerade certify`: certificates beside each other, and what heads do afterwards."""

from pathlib import Path
from typing import Any

from masquerade import api
from masquerade.cli import show
from masquerade.cli.words import Words, most, sorted_out
from masquerade.core.rundir import RunDir
from masquerade.jobs import certified
from masquerade.jobs import certify as certifying
from masquerade.jobs.certify import Certify
from masquerade.report import certificates

NAMES = {"dpa": "DPA", "roe_dpa": "DPA + run-off", "fa": "FA", "roe_fa": "FA + run-off"}
SUBVERBS = ("predict", "unlearn", "add")
SHORT = ("rule", "ties", "tight")


def run(words: list[str], as_json: bool) -> None:
    """Certify, or do something with certified heads."""
    if words and words[0] in SUBVERBS:
        afterwards(words[0], words[1:], as_json)
        return
    told = sorted_out(words, ("out",), (*Certify.model_fields, *SHORT))
    usage = "masquerade certify RUN-OR-FILE.npz key=value ..."
    if not told.targets:
        raise ValueError(f"name the folder of a run, or a file of features: {usage}")
    most(told.targets, 1, usage)
    name = told.targets[0]
    source: RunDir | Path = Path(name) if name.endswith(".npz") else api.existing(name)
    own = Path(name).stem if isinstance(source, Path) else ""
    out = RunDir(told.reserved.get("out", f"runs/{own}" if own else name))
    config = Certify.of(source if isinstance(source, RunDir) else None)
    content = certifying.run(config.with_words(told.settings), source, out, show.say)
    if as_json:
        show.as_json(content)
        return
    shown(content)
    show.result(certificates.write(out))
    show.following(f"masquerade certify predict {out.path} IMAGES")


def shown(content: dict[str, Any]) -> None:
    """The table of certified accuracy, the sentence, what it rests on, and advice."""
    rules = content["rules"]
    budgets = list(next(iter(rules.values()))["certified"])
    show.heading(
        f"certified accuracy on {content['tests']:,} images; heads on {content['images']:,} of "
        f"{content['data']}"
    )
    columns = ("rule", "models", "one model", "clean", *(f"R = {b}" for b in budgets), "half at")
    show.table(columns, lines(rules))
    for who, others in content["baselines"].items():
        show.heading({"pixels": "raw pixels", "untrained": "the same network untrained"}[who])
        show.table(columns, lines(others))
    show.result(f"R counts {content['unit']}.")
    show.result(content["sentence"])
    if content["why"] and content["scope"] != "nothing":
        show.result(f"Not more than that, because {content['why']}.")
    for one in content["assumptions"]:
        show.result(f"  {one['status']:8}  {one['text']}")
    for name, r in rules.items():
        if name in ("dpa", "fa") or len(rules) == 1:
            show.result(f"{NAMES.get(name, name)}: {sizes(r['health'])}")
    for text in content["advice"]:
        show.result(text)


def lines(rules: dict[str, Any]) -> list[list[Any]]:
    """The rows of the table."""
    return [
        [NAMES.get(n, n), r["models"], r["base"], r["clean"], *r["certified"].values(), half(r)]
        for n, r in rules.items()
    ]


def half(rule: dict[str, Any]) -> int | None:
    """The largest budget at which half of the images are certified; None where not even at 0."""
    return rule["median"] if rule["median"] >= 0 else None


def sizes(health: dict[str, Any]) -> str:
    """What models have to learn from, in a line."""
    return (
        f"{health['models']:,} models see {health['least']:,} to {health['most']:,} images, "
        f"{health['median']:,.0f} in the middle; {health['empty']:.1%} see none, "
        f"{health['absent']:.1%} of their classes are absent"
    )


def afterwards(verb: str, words: list[str], as_json: bool) -> None:
    """Predict, unlearn, add."""
    reserved = {"predict": ("out", "rule", "split")}.get(verb, ("split",))
    told = sorted_out(words, reserved)
    usage = f"masquerade certify {verb} RUN IMAGES"
    if len(told.targets) < 2:
        raise ValueError(f"name the run and the images: {usage}")
    most(told.targets, 2, usage)
    folder, images = RunDir(told.targets[0]), told.targets[1]
    split = told.reserved.get("split", "")
    certified.there(folder)
    if verb == "predict":
        labelled(told, folder, images, split, as_json)
        return
    act = certified.unlearn if verb == "unlearn" else certified.add
    changed = act(folder, images, split, show.say)
    if as_json:
        show.as_json(changed._asdict())
        return
    done = "forgotten" if verb == "unlearn" else "learnt"
    images_ = "1 image" if changed.images == 1 else f"{changed.images:,} images"
    show.result(
        f"{images_} {done}: {changed.heads:,} of {changed.models:,} heads fitted anew, bit for "
        "bit those of a fit from scratch"
    )


def labelled(told: Words, folder: RunDir, images: str, split: str, as_json: bool) -> None:
    """Predictions with radius and sentence."""
    rows = certified.predict(folder, images, told.reserved.get("rule", ""), split, show.say)
    if "out" in told.reserved:
        show.result(certified.write(rows, Path(told.reserved["out"])))
    elif as_json:
        show.as_json([row._asdict() for row in rows])
    else:
        show.lines(certified.Prediction._fields, rows)
