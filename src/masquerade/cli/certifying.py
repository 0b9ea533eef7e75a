"""`masquerade certify`: certificates beside each other, and what heads do afterwards."""

from pathlib import Path
from typing import Any, NamedTuple

from masquerade import api
from masquerade.cli import show
from masquerade.cli.words import Words, most, sorted_out
from masquerade.core import plugins
from masquerade.core.errors import WrongPath
from masquerade.core.rundir import RunDir
from masquerade.data.sources.base import SourceConfig
from masquerade.jobs import certified, voters
from masquerade.jobs import certify as certifying
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.given import Source
from masquerade.report import certificates

NAMES = {"dpa": "DPA", "roe_dpa": "DPA + run-off", "fa": "FA", "roe_fa": "FA + run-off"}
SUBVERBS = ("predict", "unlearn", "add")
SHORT = ("rule", "ties", "tight")


class Asked(NamedTuple):
    """What a command is about.

    Attributes:
        source: A run, a file of features, or None: raw images.
        out: The folder that gets `certify/`.
        config: The settings.
    """

    source: RunDir | Path | None
    out: RunDir
    config: Certify


def run(words: list[str], as_json: bool) -> None:
    """Certify, or do something with certified models."""
    if words and words[0] in SUBVERBS:
        afterwards(words[0], words[1:], as_json)
        return
    asked = understood(sorted_out(words, ("out",), (*Certify.model_fields, *SHORT)))
    content = certifying.run(asked.config, asked.source, asked.out, show.say)
    if as_json:
        show.as_json(content)
        return
    shown(content)
    show.result(certificates.write(asked.out))
    show.following(f"masquerade certify predict {asked.out.path} IMAGES")


def understood(told: Words) -> Asked:
    """What a command names: a run's folder, a file of features, or images.

    A folder of a run is a run, an .npz file holds features; everything else is what `data=` takes.
    """
    usage = "masquerade certify RUN, FILE.npz or IMAGES key=value ..."
    if not told.targets:
        raise ValueError(
            f"name the folder of a run, a file of features, or labelled images: {usage}"
        )
    most(told.targets, 1, usage)
    name = told.targets[0]
    path, given = Path(name), told.reserved.get("out")
    if name.endswith(".npz"):
        config = Certify.of(None).with_words(told.settings)
        return Asked(path, RunDir(given or f"runs/{path.stem}"), config)
    if not is_source(name) and ((path / "config.json").is_file() or holds_runs(path)):
        folder = api.existing(name)
        return Asked(folder, RunDir(given or name), Certify.of(folder).with_words(told.settings))
    if any(word.startswith("data=") for word in told.settings):
        raise ValueError(f"{name} names the images already; data= belongs to a run")
    data = pictured(name)
    config = Certify.raw(data, told.settings)
    return Asked(None, RunDir(given or f"runs/certified-{path.stem}"), config)


def is_source(name: str) -> bool:
    """Whether a word is the name of a source of images."""
    return name in plugins.names(SourceConfig.family)


def holds_runs(path: Path) -> bool:
    """Whether a folder is a demo, or holds runs in its folders."""
    return (path / "demo.json").is_file() or any(path.glob("*/config.json"))


def pictured(name: str) -> SourceConfig:
    """A source of images by its name or path.

    Raises:
        WrongPath: There is nothing of that name.
    """
    if not is_source(name) and not Path(name).expanduser().exists():
        known = ", ".join(plugins.names(SourceConfig.family))
        raise WrongPath(
            f"{name} is no run, no file and no source of images (looked from {Path.cwd()}). "
            f"Sources: {known}"
        )
    return Source.parse({"data": name}).data


def shown(content: dict[str, Any]) -> None:
    """The table of certified accuracy, the sentence, what it rests on, and advice."""
    rules = content["rules"]
    budgets = list(next(iter(rules.values()))["certified"])
    show.heading(
        f"certified accuracy on {content['tests']:,} images; fitted on {content['images']:,} of "
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
    reserved = ("out", "rule", "split") if verb == "predict" else ("split", "workers")
    told = sorted_out(words, reserved)
    usage = f"masquerade certify {verb} RUN IMAGES"
    if len(told.targets) < 2:
        raise ValueError(f"name the run and the images: {usage}")
    most(told.targets, 2, usage)
    folder, images = RunDir(told.targets[0]), told.targets[1]
    split = told.reserved.get("split", "")
    voters.there(folder)
    if verb == "predict":
        labelled(told, folder, images, split, as_json)
        return
    act = certified.unlearn if verb == "unlearn" else certified.add
    changed = act(folder, images, split, show.say, max(1, told.whole("workers", 1)))
    if as_json:
        show.as_json(changed._asdict())
        return
    done = "forgotten" if verb == "unlearn" else "learnt"
    images_ = "1 image" if changed.images == 1 else f"{changed.images:,} images"
    show.result(
        f"{images_} {done}: {changed.heads:,} of {changed.models:,} models fitted anew, bit for "
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
