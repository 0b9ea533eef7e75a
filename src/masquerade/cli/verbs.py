"""What each verb does: read the words, call one job, say what came out and what comes next."""

from pathlib import Path
from typing import Any

from masquerade.cli import show
from masquerade.cli.words import sorted_out
from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir


def pretrain(words: list[str], as_json: bool) -> None:
    """Train, go on with a run, or say what training would cost."""
    from masquerade.jobs import dryrun
    from masquerade.jobs import pretrain as job
    from masquerade.jobs.settings import Pretrain
    from masquerade.recipes.base import recipe

    told = sorted_out(words, {"out", "scale", "dry_run", "devices"}, most=1)
    name = told.targets[0] if told.targets else "sequential"
    settings = list(told.settings)
    if "devices" in told.reserved:
        settings.append(f"runtime.devices={told.reserved['devices']}")
    if (Path(name) / "config.json").is_file():
        config = Pretrain.parse(RunDir(name).read_json("config.json"))
        out = told.reserved.get("out", name)
    else:
        config = recipe(name, told.reserved.get("scale", "small"))
        out = told.reserved.get("out", f"runs/{name.rpartition('.')[2]}")
    config = config.override(settings)
    if told.flag("dry_run"):
        cost = dryrun.run(config, show.say)
        if as_json:
            show.as_json(cost._asdict())
        else:
            show.table("", ("would take", ""), cost.rows())
        return
    run = job.run(config, out, show.say)
    summary = run.read_json("summary.json")
    if as_json:
        show.as_json(summary)
    else:
        show.say(summary["verdict"]["text"])
        for text in summary["mask_verdicts"]:
            show.say(text)
        show.results.print(f"{run.path}/encoder.safetensors", markup=False)
        show.following(f"masquerade evaluate {run.path}", f"masquerade report {run.path}")


def evaluate(words: list[str], as_json: bool) -> None:
    """Measure an encoder and print what came out."""
    from masquerade.jobs import evaluate as job

    told = sorted_out(words, {"data", "baselines", "seed"})
    run = existing(told.targets[:1])
    config = job.Evaluate.of(run, told.targets[1:], told.reserved).with_words(told.settings)
    results = job.run(config, run, show.say)
    if as_json:
        show.as_json(results)
        return
    for name, result in results.items():
        rows = result.get("rows", {})
        columns = sorted({key for row in rows.values() for key in row})
        if columns:
            title = f"{name} on {result['data']}"
            show.table(
                title,
                ("", *columns),
                [[n, *(row.get(c) for c in columns)] for n, row in rows.items()],
            )
        for note in result.get("notes", []):
            show.say(note)
    show.following(f"masquerade report {run.path}")


def predict(words: list[str], as_json: bool) -> None:
    """Label new images."""
    from masquerade.jobs import predict as job

    told = sorted_out(words, {"out", "with", "channels"}, most=2)
    run = existing(told.targets[:1])
    if len(told.targets) < 2:
        raise ValueError("name the images too: masquerade predict RUN IMAGES")
    rows = job.run(run, told.targets[1], told.reserved.get("with", ""), show.say)
    if "out" in told.reserved:
        place = job.write(rows, Path(told.reserved["out"]))
        show.results.print(str(place), markup=False)
    elif as_json:
        show.as_json([row._asdict() for row in rows])
    else:
        show.table("", job.Prediction._fields, [list(row) for row in rows])


def report(words: list[str]) -> None:
    """Write the page of a run, or of a demo folder."""
    from masquerade.report import page

    told = sorted_out(words, set())
    if told.targets and (Path(told.targets[0]) / "demo.json").is_file():
        place = page.write_demo(RunDir(told.targets[0]))
    else:
        run = existing(told.targets[:1])
        place = page.write(run, [existing([other]) for other in told.targets[1:]])
    show.results.print(str(place), markup=False)


def doctor(words: list[str], as_json: bool) -> None:
    """Look at every file of a folder."""
    from masquerade.data import doctor as looking

    told = sorted_out(words, {"channels"}, most=1)
    if not told.targets:
        raise ValueError("name a folder: masquerade doctor photos")
    found = looking.examine(Path(told.targets[0]), channels=told.reserved.get("channels", "rgb"))
    raise SystemExit(found)


def cache(words: list[str], as_json: bool) -> None:
    """Show or clear the cache of decoded images."""
    from masquerade.data import cache as kept

    told = sorted_out(words, set(), most=1)
    if told.targets and told.targets != ["clear"]:
        raise ValueError(f"masquerade cache [clear], got {told.targets[0]!r}")
    raise SystemExit(kept)


def demo(words: list[str], as_json: bool) -> None:
    """Run the demo and show its table."""
    from masquerade import api

    told = sorted_out(words, {"out", "data", "seed"}, most=0)
    done = api.demo(
        data=told.reserved.get("data", "toybox"),
        out=told.reserved.get("out", "runs/demo"),
        seed=int(told.reserved.get("seed", "0")),
        settings=told.settings,
        say=show.say,
    )
    content: dict[str, Any] = done.read_json("demo.json")
    if as_json:
        show.as_json(content)
        return
    columns = content["table"]["columns"]
    rows = [[row.get(c) for c in columns] for row in content["table"]["rows"]]
    show.table("", columns, rows)
    for note in content["notes"]:
        show.say(note)
    show.results.print(str(done.path / "report.html"), markup=False)


def export_timm(words: list[str]) -> None:
    """Write an encoder for plain timm."""
    from masquerade.export import weights

    told = sorted_out(words, {"out"}, most=1)
    run = existing(told.targets)
    out = told.reserved.get("out", str(run.path / "timm"))
    show.results.print(str(weights.export(run, Path(out))), markup=False)


def existing(targets: list[str]) -> RunDir:
    """The run folder that is named."""
    if not targets:
        raise ValueError("name the folder of a run, as in runs/sequential")
    run = RunDir(targets[0])
    if not run.has("config.json"):
        raise MissingData(f"{run.path} is no run folder: it holds no config.json")
    return run
