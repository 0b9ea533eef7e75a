"""What each verb does: read the words, call one job, say what came out and what comes next."""

import json
from pathlib import Path

from masquerade import api, showcase
from masquerade.cli import listing, scores, show
from masquerade.cli.words import Words, most, sorted_out
from masquerade.core import plugins
from masquerade.core.config import Settings
from masquerade.core.errors import MissingData, WrongPath
from masquerade.core.rundir import RunDir
from masquerade.evaluate.base import ProtocolConfig
from masquerade.jobs import dryrun, finished, hide, importing, maskfolder
from masquerade.jobs import predict as predicting
from masquerade.jobs import pretrain as training
from masquerade.jobs.evaluate import Evaluate
from masquerade.jobs.settings import Pretrain
from masquerade.recipes.base import recipes


def pretrain(words: list[str], as_json: bool) -> None:
    """Train, go on with a run, or say what training would cost."""
    if not words:
        raise ValueError(unnamed())
    told = sorted_out(words, ("out", "scale", "dry_run", "devices"), Pretrain.model_fields)
    most(told.targets, 1, "masquerade pretrain RECIPE-OR-RUN key=value ...")
    only_cost = told.flag("dry_run")
    config, out = chosen(told)
    if only_cost:
        cost = dryrun.run(config, show.say)
        if as_json:
            show.as_json(cost._asdict())
        else:
            show.table(("", ""), cost.rows())
        return
    run = training.run(config, out, show.say)
    summary = run.read_json("summary.json")
    if as_json:
        show.as_json({"run": str(run.path), **summary})
        return
    for text in (summary["verdict"]["text"], *summary["mask_verdicts"]):
        show.say(text)
    show.result(run.path / "encoder.safetensors")
    show.following(f"masquerade evaluate {run.path}", f"masquerade report {run.path}")


def chosen(told: Words) -> tuple[Pretrain, str]:
    """The settings and the folder that a pretrain command means: a recipe's, or a run's own."""
    name = told.targets[0] if told.targets else "sequential"
    changes = list(told.settings)
    if "devices" in told.reserved:
        changes.append(f"runtime.devices={told.reserved['devices']}")
    if (Path(name) / "config.json").is_file():
        if "scale" in told.reserved:
            raise ValueError(f"scale= belongs to recipes; {name} is a run and has its settings")
        config = finished.settings(RunDir(name)).override(changes)
        if RunDir(name).has(importing.RECORD):
            on = importing.onwards(RunDir(name), config.backbone.name)
            raise ValueError(f"{name} was imported, not trained here. To train on from it: {on}")
        return config, told.reserved.get("out", name)
    if Path(name).exists() and name.rpartition(".")[2] not in shorts():
        data = f"masquerade pretrain sequential data={name}"
        raise WrongPath(f"{name} is neither a recipe nor a run. To train on it: {data}")
    out = told.reserved.get("out", f"runs/{name.rpartition('.')[2]}")
    if out == "":
        raise ValueError("out= must name a folder")
    return api.settled(name, told.reserved.get("scale", "small"), changes, show.say), out


def shorts() -> set[str]:
    """The recipes' names without their file."""
    return {name.rpartition(".")[2] for name in recipes()}


def unnamed() -> str:
    """What to say where nothing is said about what to train."""
    lines = [f"  {plugin.name:32} {plugin.summary}" for plugin in listing.members("recipes", ())]
    return "\n".join(
        [
            "name a recipe, or the folder of a run that was cut:",
            *lines,
            "For example: masquerade pretrain sequential data=photos size=64 out=runs/photos",
        ]
    )


def evaluate(words: list[str], as_json: bool) -> None:
    """Measure an encoder and print what came out."""
    run, names, told = of_run(words, (), Evaluate)
    results = api.measured(run, names, told.settings, show.say)
    unlabelled = [n for n in names if n in results and not results[n].get("labelled", True)]
    if names and set(unlabelled) == set(results):
        raise MissingData(scores.without_labels(results, unlabelled))
    if as_json:
        show.as_json(results)
        return
    scores.show_all(results)
    show.following(f"masquerade report {run.path}")


def predict(words: list[str], as_json: bool) -> None:
    """Label new images."""
    run, images, told = of_run(words, ("out", "with", "split"))
    usage = "masquerade predict RUN IMAGES"
    if not images:
        raise ValueError(f"name the images too: {usage}")
    most(images, 1, usage)
    given = told.reserved
    head, split = given.get("with", ""), given.get("split", "")
    rows = predicting.run(run, images[0], head, split, show.say)
    if "out" in given:
        show.result(predicting.write(rows, Path(given["out"])))
    elif as_json:
        show.as_json([row._asdict() for row in rows])
    else:
        show.lines(predicting.Prediction._fields, rows)


def masks(words: list[str], as_json: bool) -> None:
    """Write what a learned masker hides in images."""
    run, images, told = of_run(words, ("out", "masker", "hard", "split"))
    usage = "masquerade masks RUN IMAGES"
    if not images:
        raise ValueError(f"name the images too: {usage}")
    most(images, 1, usage)
    given = told.reserved
    found = hide.run(
        run,
        images[0],
        given.get("out", ""),
        told.whole("masker", 0) if "masker" in given else None,
        told.flag("hard", usual=True),
        given.get("split", ""),
        show.say,
    )
    if as_json:
        show.as_json(json.loads((found.folder / maskfolder.LIST).read_text("utf-8")))
        return
    kinds = "share each pixel" if found.exclusive else "may overlap"
    count = len(found.images[0].masks)
    each = "one mask each" if count == 1 else f"{count} masks each, which {kinds}"
    many = "1 image" if len(found.images) == 1 else f"{len(found.images):,} images"
    show.say(f"{many}, {each}; {found.folder / maskfolder.LIST} lists them")
    show.result(found.folder)


def report(words: list[str], as_json: bool) -> None:
    """Write the page of a run, or of a demo folder."""
    from masquerade.report import page  # heavy: matplotlib

    targets = sorted_out(words).targets
    if not targets:
        raise ValueError("name the folder of a run: masquerade report runs/sequential")
    demo_folder = RunDir(targets[0])
    if demo_folder.has("demo.json"):
        most(targets, 1, "masquerade report DEMO")
        place = page.write_demo(demo_folder)
    elif demo_folder.has("tickets.json"):
        from masquerade.report import tickets

        place = tickets.write(demo_folder, [RunDir(target) for target in targets[1:]])
    else:
        run, *others = [api.existing(target) for target in targets]
        place = page.write(run, others)
    written(place, "report", as_json)


def demo(words: list[str], as_json: bool) -> None:
    """Run the demo and show its table."""
    told = sorted_out(words, ("out", "data", "seed", "devices"), Pretrain.model_fields)
    most(told.targets, 0, "masquerade demo data=... out=...")
    given = told.reserved
    devices = [f"runtime.devices={given['devices']}"] if "devices" in given else []
    done = showcase.demo(
        data=given.get("data", "toybox"),
        out=given.get("out", "runs/demo"),
        seed=told.whole("seed", 0),
        settings=[*devices, *told.settings],
        say=show.say,
    )
    content = done.read_json("demo.json")
    if as_json:
        show.as_json(content)
        return
    scores.show_demo(content)
    show.result(done.path / "report.html")


def of_run(
    words: list[str], reserved: tuple[str, ...], settings: type[Settings] | None = None
) -> tuple[RunDir, list[str], Words]:
    """The run that is named first, the other names, and all words."""
    fields = settings.model_fields if settings else ()
    protocols = (*plugins.names(ProtocolConfig.family), "protocols", "bn") if settings else ()
    told = sorted_out(words, reserved, (*fields, *protocols))
    if not told.targets:
        raise ValueError("name the folder of a run, as in runs/sequential")
    return api.existing(told.targets[0]), told.targets[1:], told


def written(place: Path, what: str, as_json: bool) -> None:
    """Where something was written."""
    if as_json:
        show.as_json({what: str(place)})
    else:
        show.result(place)
